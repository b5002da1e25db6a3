"""The venue: engine, desk and replay of one exchange, with the wall clock that only signatures and keys live by."""

from __future__ import annotations

import secrets
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import count

from market.candles import Candles
from market.exchange.account import Costs
from market.exchange.desk import Desk
from market.exchange.engine import Engine
from market.exchange.feed import Feed
from market.exchange.orders import KeyExpired
from market.exchange.refusals import Code, Refusal
from market.exchange.replay import Replay
from market.funding import Funding
from market.instruments import Instrument, cash_text

History = tuple[Instrument, Candles, Funding | None]
"""What is replayed of one symbol."""


@dataclass(frozen=True, slots=True)
class Permissions:
    """What the API key may do; a trading key need not and should not be able to withdraw."""

    reading: bool = True
    futures: bool = True
    withdrawals: bool = False
    internal_transfer: bool = False
    universal_transfer: bool = False
    ip_restricted: bool = True

    def check(self, reads: bool) -> None:
        """Refuse what the key may not do; every change of the account needs `futures`."""
        if not (self.reading if reads else self.futures):
            raise Refusal(Code.BAD_API_KEY)


class Venue:
    """Everything the codec answers from.

    Parameters
    ----------
    histories : sequence of History
        Symbols with their base candles and funding, in the order events follow.
    start : int
        Open time (ms) of the first bar traded in.
    bars : int, optional
        How many bars to play.
    cash : int
        First deposit, cash units.
    costs : Costs
        Fees and slippage.
    wall_ms : callable
        The wall clock, ms.
    """

    def __init__(
        self,
        histories: Sequence[History],
        *,
        start: int,
        bars: int | None,
        cash: int,
        costs: Costs,
        wall_ms: Callable[[], int],
    ) -> None:
        self.engine = Engine([instrument for instrument, _, _ in histories], cash, costs)
        self.desk = Desk(self.engine)
        self.replay = Replay(self.engine, [Feed(*history) for history in histories], start, bars)
        self.wall_ms = wall_ms
        self.listen_key = ""
        self.permissions = Permissions()
        self._foreign_ids = count(1)

    def open_listen_key(self) -> str:
        """The account's listen key, made anew once it was closed."""
        self.listen_key = self.listen_key or secrets.token_hex(32)
        return self.listen_key

    def expire_listen_key(self) -> None:
        """The listen key dies; the user stream is told of it and hears no more."""
        if self.listen_key:
            self.engine.emit(KeyExpired(self.engine.time, self.listen_key))
            self.listen_key = ""

    def foreign_id(self) -> str:
        """A client id as the exchange's website gives to orders made by hand."""
        return f"web_{next(self._foreign_ids):020d}"

    def state(self) -> dict[str, object]:
        """What a harness wants to know, amounts in decimal text: clock, wallet, sums, positions, open orders."""
        engine, ledger = self.engine, self.engine.ledger
        return {
            "market_time": self.replay.time,
            "done": self.replay.done,
            "bars_left": self.replay.bars_left,
            "cash": cash_text(ledger.cash),
            "fees": cash_text(ledger.fees),
            "funding": cash_text(ledger.funding),
            "realized": cash_text(ledger.realized),
            "insurance": cash_text(ledger.insurance),
            "imbalance": cash_text(ledger.imbalance()),
            "prices": {s: i.price_text(engine.prices[s]) for s, i in engine.instruments.items()},
            "positions": {
                symbol: {
                    "quantity": engine.instruments[symbol].quantity_text(position.side * position.quantity),
                    "cost": cash_text(position.cost),
                    "margin": cash_text(position.margin),
                    "liquidation": engine.instruments[symbol].price_text(engine.liquidation_price(symbol)),
                }
                for symbol, position in ledger.positions.items()
            },
            "stops": [
                {
                    "symbol": stop.symbol,
                    "client_id": stop.client_id,
                    "side": "BUY" if stop.side > 0 else "SELL",
                    "trigger": engine.instruments[stop.symbol].price_text(stop.trigger),
                    "quantity": engine.instruments[stop.symbol].quantity_text(stop.quantity),
                }
                for stop in engine.stops.open()
            ],
            "orders": len(engine.orders),
            "open_orders": len(engine.orders.open()),
            "fills": len(engine.fills),
        }
