"""Comparing what daemon, plain and compiled engine made of the same candles: field by field, to the last unit."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import fields
from itertools import zip_longest

import numpy as np

from backtest.engine import OpenPosition, Result
from market.instruments import Instrument, cash_text
from market.trades import Trade
from tests.parity.replay import Outcome, Standing


def first_difference(
    ours: Sequence[Trade], theirs: Sequence[Trade], who: tuple[str, str] = ("daemon", "backtest")
) -> str | None:
    """Where two lists of trades part, in words, or None if they are identical."""
    for number, (one, other) in enumerate(zip_longest(ours, theirs), start=1):
        if one is None or other is None:
            name, trade = (who[1], other) if one is None else (who[0], one)
            return f"trade {number}: only the {name} made it: {trade}"
        if different := one.difference(other):
            return f"trade {number}: {different} ({', '.join(who)})\n  {who[0]:9}{one}\n  {who[1]:9}{other}"
    return None


def daemon_difference(outcome: Outcome, plain: Result, instruments: Sequence[Instrument]) -> str | None:
    """Where daemon and exchange differ from the plain engine: trades, decisions, equity, wallet, what is still open."""
    if difference := first_difference(outcome.trades, plain.trades):
        return difference
    if outcome.cash != plain.cash:
        return f"wallet: the exchange says {cash_text(outcome.cash)}, the backtest {cash_text(plain.cash)}"
    if outcome.reasons != plain.reasons:
        return f"decisions by reason: the daemon's {outcome.reasons}, the backtest's {plain.reasons}"
    closes = list(zip(plain.curve_time[:-1].tolist(), plain.curve_equity[:-1].tolist(), strict=True))
    for ours, theirs in zip_longest(outcome.equity, closes):
        if ours != theirs:
            return f"equity at a close (ms, cash units): the daemon's {ours}, the backtest's {theirs}"
    stands, expected = outcome.standing, open_positions(plain.open, instruments)
    return None if stands == expected else f"still open: at the exchange {stands}, in the backtest {expected}"


def open_positions(positions: Sequence[OpenPosition], instruments: Sequence[Instrument]) -> Standing:
    """What a backtest ended on, in the exchange's words."""
    named = {i.symbol: i for i in instruments}
    told: Standing = {}
    for one in positions:
        position, instrument = one.position, named[one.symbol]
        told[one.symbol] = {
            "quantity": instrument.quantity_text(position.side * position.quantity),
            "cost": cash_text(position.cost),
            "margin": cash_text(position.margin),
            "liquidation": instrument.price_text(position.liquidation),
            "stops": [instrument.price_text(position.stop)],
        }
    return told


def result_difference(compiled: Result, plain: Result) -> str | None:
    """Where the compiled engine's result differs from the plain one's, in any field, or None."""
    if difference := first_difference(compiled.trades, plain.trades, ("compiled", "plain")):
        return difference
    for field in fields(Result):
        ours, theirs = getattr(compiled, field.name), getattr(plain, field.name)
        same = np.array_equal(ours, theirs) if isinstance(theirs, np.ndarray) else ours == theirs
        if not same:
            return f"{field.name}: the compiled engine's {ours}, the plain engine's {theirs}"
    return None
