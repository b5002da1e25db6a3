"""``python -m daemon`` as it is for a live account, in a world where every host is this machine.

``python tests/daemon/live_over_tls.py PORT CA_FILE run --config FILE --live``: names resolve to 127.0.0.1:PORT, and
the certificate authority of CA_FILE is the only one that is trusted. Nothing else differs, and nothing leaves.
"""

from __future__ import annotations

import socket
import ssl
import sys

import aiohttp
from aiohttp.abc import AbstractResolver, ResolveResult

from daemon.__main__ import main


class Loopback(AbstractResolver):
    """Every name is 127.0.0.1, every port this one."""

    def __init__(self, port: int) -> None:
        self._port = port

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_INET
    ) -> list[ResolveResult]:
        where = ("127.0.0.1", self._port)
        return [ResolveResult(hostname=host, host=where[0], port=where[1], family=family, proto=0, flags=0)]

    async def close(self) -> None:
        pass


def connect() -> aiohttp.ClientSession:
    """The session of such a world."""
    trusted = ssl.create_default_context(cafile=sys.argv[2])
    return aiohttp.ClientSession(connector=aiohttp.TCPConnector(ssl=trusted, resolver=Loopback(int(sys.argv[1]))))


if __name__ == "__main__":
    main(args=sys.argv[3:], obj=connect)
