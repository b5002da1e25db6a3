"""Client order ids: derived, not drawn, so that a restart gives the same id to the same deed.

Binance accepts 36 characters of ``[.A-Z:/a-z0-9_-]`` (USDT-M futures, New Order). The first eight of ours say whose
order it is: the program, then the deployment.
"""

from __future__ import annotations

import base64
import hashlib
import re

from daemon.commands import Purpose

PROGRAM = "rg"


def prefix(deployment: str) -> str:
    """How every client id of this deployment begins."""
    return f"{PROGRAM}{hashlib.sha256(deployment.encode()).hexdigest()[:5]}-"


def of_another(client_id: str, deployment: str) -> bool:
    """Whether an order was made by this program, but by another deployment of it."""
    return re.match(rf"{PROGRAM}[0-9a-f]{{5}}-", client_id) is not None and not client_id.startswith(prefix(deployment))


def client_id(deployment: str, bar: int, symbol: str, purpose: Purpose, attempt: int) -> str:
    """The id of one order: 32 characters from deployment, candle (open time, ms), symbol, purpose and attempt.

    `attempt` rises only after a terminal answer to the one before.
    """
    seed = f"{deployment}|{bar}|{symbol}|{purpose}|{attempt}".encode()
    return prefix(deployment) + base64.b32encode(hashlib.sha256(seed).digest())[:24].decode().lower()
