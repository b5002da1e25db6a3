"""The environment that a child of the daemon gets: what is listed here, since keys go by any name."""

from __future__ import annotations

import os

NAMES = frozenset(
    (
        *("PATH", "HOME", "USER", "LOGNAME", "SHELL", "LANG", "LANGUAGE", "TZ", "TMPDIR", "LD_LIBRARY_PATH"),
        *("VIRTUAL_ENV", "XDG_CACHE_HOME", "XDG_RUNTIME_DIR", "SSL_CERT_FILE", "SSL_CERT_DIR"),
        *("REGIMEN_CACHE", "REGIMEN_API_URL", "REGIMEN_ARCHIVE_URL"),
        # where a cluster is and how it is spoken to; its token is read from a file
        *("RAY_ADDRESS", "RAY_AUTH_MODE", "RAY_AUTH_TOKEN_PATH"),
        # by these history is fetched where nothing else leads out
        *("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "NO_PROXY", "http_proxy", "https_proxy", "all_proxy", "no_proxy"),
    )
)
COMPUTES = ("CUDA_", "NVIDIA_", "NCCL_", "PYTORCH_", "OMP_", "KMP_", "MKL_", "OPENBLAS_", "NUMBA_", "ORT_")
"""How variables begin that say how numbers are computed, and on what."""
BEGINNINGS = ("LC_", "PYTHON", *COMPUTES)


def listed() -> dict[str, str]:
    """This process's environment, but for what is not listed."""
    return {name: value for name, value in os.environ.items() if name in NAMES or name.startswith(BEGINNINGS)}
