"""What of this process's environment a child gets: an allow-list, since children read foreign files and need no keys."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from app.domain.tracking import variables_of

if TYPE_CHECKING:
    from collections.abc import Collection

    from app.domain.tracking import Tracker

KEPT = frozenset({
    "PATH", "HOME", "LANG", "TMPDIR", "LD_LIBRARY_PATH", "XDG_CACHE_HOME", "TZ", "NO_COLOR", "HF_HOME", "HF_HUB_CACHE", "HF_HUB_OFFLINE",
    "SSL_CERT_FILE", "SSL_CERT_DIR", "LRU_CACHE_CAPACITY",
})  # fmt: skip
KEPT_PREFIXES = ("CUDA", "NVIDIA", "LC_", "OMP_", "GOMP_", "MKL_", "ONEDNN_", "PYTORCH_")
WAYS_OUT = frozenset({"HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "NO_PROXY", "REQUESTS_CA_BUNDLE"})
"""How one gets out of this network; also in small letters. An address of a proxy may hold a password."""
FOR_THE_HUB_PREFIXES = ("HF_", "HUGGING_FACE_")
FOR_S3_PREFIXES = ("AWS_",)
TRACKIO_SPACE = "TRACKIO_SPACE_ID"
"""Where trackio is to write to a Space of the Hub, which asks for the Hub's token."""


def child_environment(*, own: str, needs_hub: bool = False, needs_s3: bool = False, trackers: Collection[Tracker] = ()) -> dict[str, str]:
    """Return what a child gets: what begins with `own`, and keys and proxies only for where it fetches from or sends numbers to."""
    prefixes = (own, *KEPT_PREFIXES, *(FOR_THE_HUB_PREFIXES if needs_hub else ()), *(FOR_S3_PREFIXES if needs_s3 else ()))
    goes_out = bool(needs_hub or needs_s3 or trackers)
    of_trackers = variables_of(trackers, os.environ)
    if TRACKIO_SPACE in of_trackers and "HF_TOKEN" in os.environ:
        of_trackers["HF_TOKEN"] = os.environ["HF_TOKEN"]
    return of_trackers | {
        name: value
        for name, value in os.environ.items()
        if name in KEPT or name.startswith(prefixes) or (goes_out and name.upper() in WAYS_OUT)
    }
