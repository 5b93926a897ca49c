"""What of this process's environment a child gets: an allow-list, since children read foreign files and need no keys."""

from __future__ import annotations

import os

KEPT = frozenset(
    {"PATH", "HOME", "LANG", "TMPDIR", "LD_LIBRARY_PATH", "XDG_CACHE_HOME", "TZ", "NO_COLOR", "HF_HOME", "HF_HUB_CACHE", "HF_HUB_OFFLINE"}
)
KEPT_PREFIXES = ("CUDA", "NVIDIA", "LC_", "OMP_", "MKL_", "PYTORCH_")
FOR_THE_HUB = frozenset({"HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "NO_PROXY", "SSL_CERT_FILE", "SSL_CERT_DIR", "REQUESTS_CA_BUNDLE"})
"""How one gets out of this network; also in small letters. An address of a proxy may hold a password."""
FOR_THE_HUB_PREFIXES = ("HF_", "HUGGING_FACE_")


def child_environment(*, own: str, needs_hub: bool = False) -> dict[str, str]:
    """Return what a child gets: what begins with `own`, and the Hub's token and the proxies only if it fetches from there."""
    hub = {name: value for name, value in os.environ.items() if name.upper() in FOR_THE_HUB or name.startswith(FOR_THE_HUB_PREFIXES)}
    kept = {name: value for name, value in os.environ.items() if name in KEPT or name.startswith((own, *KEPT_PREFIXES))}
    return kept | hub if needs_hub else kept
