"""The order book of one account: every order and stop ever placed, and which of them are open."""

from __future__ import annotations

from typing import TypeVar

from market.exchange.orders import Order, Stop

Entry = TypeVar("Entry", Order, Stop)


class Ids:
    """Rising ids of one kind of order; `upcoming` is the next one."""

    def __init__(self, first: int) -> None:
        self.upcoming = first

    def __next__(self) -> int:
        self.upcoming += 1
        return self.upcoming - 1


class Shelf(dict[int, Entry]):
    """Orders of one kind by id, oldest first, with the open ones of each symbol at hand."""

    def __init__(self) -> None:
        super().__init__()
        self._open: dict[str, dict[int, Entry]] = {}
        self._latest: dict[tuple[str, str], Entry] = {}

    def place(self, entry: Entry) -> None:
        """Keep a new order; it is open until `settle`."""
        self[entry.id] = entry
        self._open.setdefault(entry.symbol, {})[entry.id] = entry
        self._latest[entry.symbol, entry.client_id] = entry

    def settle(self, entry: Entry) -> None:
        """The order is no longer open; it stays on record."""
        self._open[entry.symbol].pop(entry.id, None)

    def open(self, symbol: str | None = None) -> list[Entry]:
        """Open orders, oldest first, of one symbol or of all."""
        if symbol is not None:
            return list(self._open.get(symbol, {}).values())
        return sorted((entry for shelf in self._open.values() for entry in shelf.values()), key=lambda entry: entry.id)

    def any_open(self, symbol: str) -> bool:
        """Whether the symbol has an open order."""
        return bool(self._open.get(symbol))

    def find(self, symbol: str, id_: int | None, client_id: str | None) -> Entry | None:
        """The order with this id, or the latest with this client id; None if there is none in `symbol`."""
        if id_ is not None:
            entry = self.get(id_)
            return entry if entry is not None and entry.symbol == symbol else None
        return self._latest.get((symbol, client_id or ""))

    def holds_open(self, symbol: str, client_id: str) -> bool:
        """Whether an open order of the symbol carries this client id; ids are unique among open orders only."""
        return any(entry.client_id == client_id for entry in self._open.get(symbol, {}).values())
