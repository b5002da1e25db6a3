"""The snapshot: everything a venue knows beside its orders and executions, as one JSON object, and back."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, replace
from decimal import Decimal
from typing import Any

from market.exchange.account import Settings
from market.exchange.depth import Depth, Rest
from market.exchange.fee_coin import FeeCoin
from market.exchange.ledger import Ledger, Position
from market.exchange.orders import Fill, Income, Order, OrderStatus, Stop, StopFate, StopStatus, SymbolStatus
from market.exchange.replay import Replay, ReplayError
from market.exchange.venue import Venue
from market.tiers import Bracket

Row = dict[str, Any]

TERMS = ("min_quantity", "min_notional", "funding_hours")
"""What of an instrument may have been changed while it was traded, its tiers apart."""


class SnapshotError(ValueError):
    """The snapshot is of another market."""


def account(venue: Venue) -> Row:
    """The venue as it stands, ready to be written as JSON; amounts in the units they are kept in."""
    engine = venue.engine
    return {
        "time": engine.time,
        "prices": engine.prices,
        "marks": engine.marks,
        "quotes": engine.quotes,
        "status": engine.status,
        "ledger": engine.ledger,
        "settings": engine.settings,
        "realized": engine.realized,
        "ids": [engine.order_ids.upcoming, engine.stop_ids.upcoming],
        "hedge_mode": engine.hedge_mode,
        "multi_assets": engine.multi_assets,
        "can_trade": engine.can_trade,
        "depth": {**asdict(engine.depth), "quantity": _text(engine.depth.quantity)},
        "fee_coin": engine.fee_coin,
        "stop_fates": engine.stop_fates,
        "leverage_clips": engine.leverage_clips,
        "spawned": {str(order_id): stop.id for order_id, stop in engine.spawned.items()},
        "instruments": {
            symbol: {"tick": str(instrument.tick), "step": str(instrument.step), "brackets": instrument.brackets}
            | {name: getattr(instrument, name) for name in TERMS}
            for symbol, instrument in engine.instruments.items()
        },
        "venue": venue.kept(),
        "market": venue.replay.place() if isinstance(venue.replay, Replay) else None,
    }


def restore(venue: Venue, found: Row, rows: Mapping[str, list[Row]]) -> None:
    """Bring a fresh venue to a snapshot and the rows of its book.

    Raises
    ------
    SnapshotError
        If its symbols are others, or its history is.
    """
    engine = venue.engine
    if list(found["prices"]) != list(engine.instruments):
        raise SnapshotError(f"the state is of {', '.join(found['prices'])}, not of {', '.join(engine.instruments)}")
    for symbol, row in found["instruments"].items():
        ours = engine.instruments[symbol]
        if (Decimal(row.pop("tick")), Decimal(row.pop("step"))) != (ours.tick, ours.step):
            raise SnapshotError(f"{symbol} has another tick or step now, in which the state's amounts are counted")
    if isinstance(venue.replay, Replay) is not (found["market"] is not None):
        raise SnapshotError("a replay's state does not go on in a mirror, nor a mirror's in a replay")
    if isinstance(venue.replay, Replay):
        try:
            venue.replay.resume(found["market"])
        except ReplayError as error:
            raise SnapshotError(str(error)) from error
    engine.drain()
    engine.time, engine.prices, engine.marks = found["time"], found["prices"], found["marks"]
    engine.quotes = {symbol: (bid, ask) for symbol, (bid, ask) in found["quotes"].items()}
    engine.status = {symbol: SymbolStatus(word) for symbol, word in found["status"].items()}
    positions = {symbol: Position(**row) for symbol, row in found["ledger"].pop("positions").items()}
    engine.ledger = Ledger(**found["ledger"], positions=positions)
    engine.settings = {symbol: Settings(**row) for symbol, row in found["settings"].items()}
    engine.realized = found["realized"]
    engine.order_ids.upcoming, engine.stop_ids.upcoming = found["ids"]
    engine.hedge_mode, engine.multi_assets = found["hedge_mode"], found["multi_assets"]
    engine.can_trade = found["can_trade"]
    engine.depth = _depth(found["depth"])
    engine.fee_coin = None if found["fee_coin"] is None else FeeCoin(**found["fee_coin"])
    engine.leverage_clips = found["leverage_clips"]
    engine.stop_fates = {symbol: StopFate(word) for symbol, word in found["stop_fates"].items()}
    if isinstance(venue.replay, Replay):  # a mirror's terms are its upstream's of today
        _restore_instruments(venue, found["instruments"])
    _restore_book(venue, rows)
    engine.spawned = {int(order_id): engine.stops[stop_id] for order_id, stop_id in found["spawned"].items()}
    venue.take_back(found["venue"])


def _restore_instruments(venue: Venue, found: Mapping[str, Row]) -> None:
    instruments = venue.engine.instruments
    for symbol, row in found.items():
        brackets = tuple(Bracket(**bracket) for bracket in row.pop("brackets"))
        instruments[symbol] = replace(instruments[symbol], brackets=brackets, **row)


def _restore_book(venue: Venue, rows: Mapping[str, list[Row]]) -> None:
    engine = venue.engine
    for row in rows["orders"]:
        order = Order(**row | {"status": OrderStatus(row["status"])})
        engine.orders.place(order)
        if not order.is_open:
            engine.orders.settle(order)
    for row in rows["stops"]:
        stop = Stop(**row | {"status": StopStatus(row["status"])})
        engine.stops.place(stop)
        if stop.status not in (StopStatus.NEW, StopStatus.TRIGGERING):
            engine.stops.settle(stop)
    engine.fills.extend(Fill(**row) for row in rows["fills"])
    engine.incomes.extend(Income(**row) for row in rows["incomes"])


def _depth(row: Row) -> Depth:
    quantity = None if row["quantity"] is None else Decimal(row["quantity"])
    return Depth(row["share_ppm"], quantity, Rest(row["rest"]), row["seed"])


def _text(value: object) -> str | None:
    return None if value is None else str(value)
