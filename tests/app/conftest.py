"""What tests of the application share."""

from tests.applications import made_once

__all__ = ["made_once"]
