"""Telling the service manager how the daemon is: systemd's notification protocol, in a few datagrams and no package.

systemd hands over a socket and a watchdog's time by the environment; without them every word goes nowhere. Source:
sd_notify(3), sd_watchdog_enabled(3).
"""

from __future__ import annotations

import logging
import os
import socket
import time
from collections.abc import MutableMapping

log = logging.getLogger("daemon.notify")

SOCKET, WATCHDOG, WATCHDOG_PID = "NOTIFY_SOCKET", "WATCHDOG_USEC", "WATCHDOG_PID"
FEEDS = 3
"""How often the watchdog is fed within its time, so that two lost words kill nobody."""


class Manager:
    """The service manager that started this process, if one did.

    What it hands over is taken out of the environment: a child of the daemon must not speak for it.

    Attributes
    ----------
    watchdog_s : float or None
        After so many seconds without a word the daemon is killed; None where nobody waits for one.
    """

    def __init__(self, environment: MutableMapping[str, str] = os.environ) -> None:
        address = environment.pop(SOCKET, "")
        wait, whose = environment.pop(WATCHDOG, ""), environment.pop(WATCHDOG_PID, "")
        self._socket: socket.socket | None = None
        self._address = "\0" + address[1:] if address.startswith("@") else address
        if address:
            self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC)
            self._socket.setblocking(False)
        ours = bool(address) and wait.isdecimal() and whose in ("", str(os.getpid()))
        self.watchdog_s: float | None = int(wait) / 1e6 if ours and int(wait) else None
        self.unheard = 0
        """Words that found no room, or nobody."""

    @property
    def present(self) -> bool:
        """Whether there is anybody to tell."""
        return self._socket is not None

    def ready(self) -> bool:
        """The daemon trades; after a reload: the new configuration is in force, or the old one still is."""
        return self._say("READY=1")

    def status(self, line: str) -> bool:
        """One line for ``systemctl status``."""
        return self._say("STATUS=" + " ".join(line.split()))

    def reloading(self) -> bool:
        """The configuration is being read again."""
        return self._say(f"RELOADING=1\nMONOTONIC_USEC={time.clock_gettime_ns(time.CLOCK_MONOTONIC) // 1000}")

    def stopping(self) -> bool:
        """The daemon comes to rest."""
        return self._say("STOPPING=1")

    def alive(self) -> bool:
        """The watchdog's food."""
        return self._say("WATCHDOG=1")

    def extend(self, seconds: float) -> bool:
        """Ask for so much time, from now, before a start or a stop is taken for hung."""
        return self._say(f"EXTEND_TIMEOUT_USEC={round(seconds * 1e6)}")

    def close(self) -> None:
        """Nothing more is told."""
        if self._socket is not None:
            self._socket.close()
            self._socket = None

    def _say(self, text: str) -> bool:
        """Send one datagram, without ever waiting; False if it did not arrive."""
        if self._socket is None:
            return False
        try:
            self._socket.sendto(text.encode(), self._address)
        except OSError as error:  # a full queue, or a manager that is starting anew: the next word may find room
            self.unheard += 1
            log.debug("the service manager did not hear %s: %s", text.partition("=")[0], error)
            return False
        return True
