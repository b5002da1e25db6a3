"""The truth: what the exchange holds, asked for behind the daemon's back, and the hand that meddles with it."""

from __future__ import annotations

import hashlib
import hmac
import json
import sqlite3
import time
from collections import Counter
from collections.abc import Mapping
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlencode
from urllib.request import Request, urlopen

from daemon.journal import FILE
from tests.local_exchange import PATIENCE, LocalExchange

KEY = SECRET = "local"
FIRST_BAR_MS = 3_600_000
PAGE = 1_000


@dataclass
class Account:
    """One account at a local exchange, seen over its own signed REST.

    Attributes
    ----------
    orders, stops : Counter
        How many orders, and conditional orders, were ever placed under each client id.
    entries : Counter
        How many orders that were not reduce-only were placed per (symbol, open time of the bar).
    """

    place: LocalExchange
    bar_ms: int = FIRST_BAR_MS
    orders: Counter[str] = field(default_factory=Counter)
    stops: Counter[str] = field(default_factory=Counter)
    entries: Counter[tuple[str, int]] = field(default_factory=Counter)
    _next: dict[tuple[str, str], int] = field(default_factory=dict)

    def count(self, symbols: tuple[str, ...]) -> None:
        """Count the orders placed since the last call."""
        for symbol in symbols:
            for row in self._new("allOrders", "orderId", symbol):
                if row["origType"] != "MARKET" or not str(row["clientOrderId"]).startswith("rg"):
                    continue  # a stop's own market order carries the stop's id; the hand's orders are not the daemon's
                self.orders[row["clientOrderId"]] += 1
                if not row["reduceOnly"]:
                    self.entries[symbol, int(row["time"]) // self.bar_ms * self.bar_ms] += 1
            for row in self._new("allAlgoOrders", "algoId", symbol):
                self.stops[row["clientAlgoId"]] += 1

    def last_close(self, symbol: str) -> str:
        """Closing price of the newest closed hour, as the exchange writes it."""
        with urlopen(f"{self.place.url}/fapi/v1/klines?symbol={symbol}&interval=1h&limit=2", timeout=10) as reply:
            rows: list[list[Any]] = json.load(reply)
        return str(rows[0][4])

    def close_by_hand(self, symbol: str, quantity: str) -> None:
        """Close a position (signed decimal text) at market, as its owner might on the exchange's page."""
        side = "BUY" if quantity.startswith("-") else "SELL"
        self.signed(
            "POST", "order",
            {"symbol": symbol, "side": side, "type": "MARKET", "quantity": quantity.lstrip("-"), "reduceOnly": "true"},
        )  # fmt: skip

    def cancel_stop_by_hand(self, client_id: str) -> None:
        """Cancel a resting stop."""
        self.signed("DELETE", "algoOrder", {"clientAlgoId": client_id})

    def signed(self, method: str, endpoint: str, params: Mapping[str, object]) -> Any:
        """One signed request below ``/fapi/v1``."""
        query = urlencode({**params, "timestamp": time.time_ns() // 1_000_000, "recvWindow": 60_000})
        signature = hmac.new(SECRET.encode(), query.encode(), hashlib.sha256).hexdigest()
        url = f"{self.place.url}/fapi/v1/{endpoint}?{query}&signature={signature}"
        with urlopen(Request(url, method=method, headers={"X-MBX-APIKEY": KEY}), timeout=60 * PATIENCE) as reply:
            return json.load(reply)

    def _new(self, endpoint: str, id_name: str, symbol: str) -> list[dict[str, Any]]:
        first = self._next.get((endpoint, symbol), 0)
        rows: list[dict[str, Any]] = []
        while True:
            page = self.signed("GET", endpoint, {"symbol": symbol, id_name: first, "limit": PAGE})
            page = [row for row in page if row[id_name] >= first]
            rows += page
            if page:
                first = max(row[id_name] for row in page) + 1
            if len(page) < PAGE:
                self._next[endpoint, symbol] = first
                return rows


def settled(folder: Path) -> int:
    """Open time (ms) of the newest candle that a state directory's journal has settled, -1 for none."""
    if not (folder / FILE).exists():
        return -1
    with closing(sqlite3.connect(f"file:{folder / FILE}?mode=ro", uri=True)) as journal:
        try:
            (bar,) = journal.execute("SELECT max(bar) FROM settled").fetchone()
        except sqlite3.OperationalError:  # its tables are about to be made
            return -1
    return -1 if bar is None else int(bar)
