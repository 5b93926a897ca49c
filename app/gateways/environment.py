"""What of this process's environment a child gets: an allow-list, since children read foreign files and need no keys."""

from __future__ import annotations

import os

KEPT = frozenset({
    "PATH", "HOME", "LANG", "TMPDIR", "LD_LIBRARY_PATH", "XDG_CACHE_HOME", "TZ", "NO_COLOR", "HF_HOME", "HF_HUB_CACHE", "HF_HUB_OFFLINE",
    "SSL_CERT_FILE", "SSL_CERT_DIR",
})  # fmt: skip
KEPT_PREFIXES = ("CUDA", "NVIDIA", "LC_", "OMP_", "MKL_", "PYTORCH_")
WAYS_OUT = frozenset({"HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "NO_PROXY", "REQUESTS_CA_BUNDLE"})
"""How one gets out of this network; also in small letters. An address of a proxy may hold a password."""
FOR_THE_HUB_PREFIXES = ("HF_", "HUGGING_FACE_")
FOR_S3_PREFIXES = ("AWS_",)


def child_environment(*, own: str, needs_hub: bool = False, needs_s3: bool = False) -> dict[str, str]:
    """Return what a child gets: what begins with `own`, and keys and proxies only for where it fetches from."""
    prefixes = (own, *KEPT_PREFIXES, *(FOR_THE_HUB_PREFIXES if needs_hub else ()), *(FOR_S3_PREFIXES if needs_s3 else ()))
    goes_out = needs_hub or needs_s3
    return {
        name: value
        for name, value in os.environ.items()
        if name in KEPT or name.startswith(prefixes) or (goes_out and name.upper() in WAYS_OUT)
    }
