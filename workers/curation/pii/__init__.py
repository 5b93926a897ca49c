"""Personal data in texts, found without a network: what it is and how well it is found stands in docs/pii.md."""

from workers.curation.pii.finder import Finder
from workers.curation.pii.secrets import SUSPECT, find_secrets

__all__ = ["SUSPECT", "Finder", "find_secrets"]
