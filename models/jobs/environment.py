"""The environment that a child of the daemon gets: what is listed here, since keys go by any name."""

from __future__ import annotations

import os

NAMES = frozenset(
    (
        *("PATH", "HOME", "USER", "LOGNAME", "SHELL", "LANG", "LANGUAGE", "TZ", "TMPDIR", "LD_LIBRARY_PATH"),
        *("VIRTUAL_ENV", "REGIMEN_CACHE", "XDG_CACHE_HOME", "XDG_RUNTIME_DIR", "SSL_CERT_FILE", "SSL_CERT_DIR"),
        # where a cluster is and how it is spoken to; its token is read from a file
        *("RAY_ADDRESS", "RAY_AUTH_MODE", "RAY_AUTH_TOKEN_PATH"),
        # by these history is fetched where nothing else leads out
        *("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "NO_PROXY", "http_proxy", "https_proxy", "all_proxy", "no_proxy"),
    )
)
BEGINNINGS = ("LC_", "PYTHON", "OMP_", "ORT_", "KMP_", "MKL_", "OPENBLAS_", "CUDA_", "NVIDIA_")


def listed() -> dict[str, str]:
    """This process's environment, but for what is not listed."""
    return {name: value for name, value in os.environ.items() if name in NAMES or name.startswith(BEGINNINGS)}
