"""The invariants: what must hold of exchange, daemon and journal once a daemon has come to rest after a kill."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

from daemon.journal import FILE
from daemon.lots import wallet_effect
from daemon.state import DaemonState
from market import catalogue, fills
from market.instruments import cash, cash_text
from strategy.live_config import Rules
from tests.crash.truth import Account

SIDES = {"long": 1, "short": -1}


def broken(
    truth: dict[str, Any], status: dict[str, Any], journal: Path, account: Account, rules: Rules, deposit: int
) -> list[str]:
    """Every invariant that does not hold, in words; empty when all do.

    Parameters
    ----------
    truth, status : dict
        The exchange's control state and the daemon's own status.
    journal : Path
        The state directory.
    account : Account
        Has counted every order placed so far.
    deposit : int
        The wallet before the first trade, cash units.
    """
    return [
        *_positions(truth, status),
        *_stops(truth, status, rules),
        *_nothing_doubled(account),
        *_money(truth, status, account),
        *_journal(truth, status, journal, deposit),
    ]


def unprotected(truth: dict[str, Any]) -> set[str]:
    """Symbols whose position at the exchange has no stop of the right side and at least its size."""
    covered = {
        stop["symbol"]
        for stop in truth["stops"]
        if (position := truth["positions"].get(stop["symbol"]))
        and stop["side"] == _closing_side(position["quantity"])
        and float(stop["quantity"]) >= float(position["quantity"].lstrip("-"))
    }
    return set(truth["positions"]) - covered


def _positions(truth: dict[str, Any], status: dict[str, Any]) -> Iterator[str]:
    theirs = {symbol: position["quantity"] for symbol, position in truth["positions"].items()}
    ours = {p["symbol"]: ("-" if p["side"] == "short" else "") + p["quantity"] for p in status["positions"]}
    if theirs != ours:
        yield f"position: the exchange holds {theirs}, the daemon {ours}"
    if truth["open_orders"]:
        yield f"orders: {truth['open_orders']} are still open at the exchange"


def _stops(truth: dict[str, Any], status: dict[str, Any], rules: Rules) -> Iterator[str]:
    known = {p["symbol"]: p for p in status["positions"]}
    for symbol in {*truth["positions"], *(s["symbol"] for s in truth["stops"])}:
        resting = [s for s in truth["stops"] if s["symbol"] == symbol]
        position = truth["positions"].get(symbol)
        if position is None or len(resting) != 1:
            if position is not None or resting:
                holds = "a position" if position else "no position"
                yield f"stops: {symbol} has {holds} and {len(resting)} stops"
            continue
        (stop,), size = resting, position["quantity"]
        if (stop["side"], stop["quantity"]) != (_closing_side(size), size.lstrip("-")):
            yield f"stops: {symbol} {size} is covered by {stop['side']} {stop['quantity']}"
        if stop["trigger"] not in _triggers(symbol, position, rules):
            yield f"stops: {symbol} triggers at {stop['trigger']}, and no rule puts it there"
        ours = known.get(symbol, {})
        if ours.get("stop") != stop["trigger"] or not ours.get("protected"):
            yield f"stops: {symbol} rests at {stop['trigger']}; the daemon says {ours.get('stop')}, {ours}"


def _triggers(symbol: str, position: dict[str, Any], rules: Rules) -> set[str]:
    """Where the rules may put the stop of a position: one price a regime."""
    instrument = catalogue.instrument(symbol)
    steps = instrument.steps(position["quantity"].lstrip("-"))
    side = -1 if position["quantity"].startswith("-") else 1
    cost = cash(position["cost"])
    return {instrument.price_text(fills.stop_price(cost, steps, instrument.unit, side, bps)) for bps in rules.stop_bps}


def _nothing_doubled(account: Account) -> Iterator[str]:
    for what, placed in (("order", account.orders), ("stop", account.stops)):
        for client_id, times in placed.items():
            if times > 1:
                yield f"doubled: {what} {client_id} was placed {times} times"
    for (symbol, bar), times in account.entries.items():
        if times > 1:
            yield f"doubled: {times} entries of {symbol} in the bar of {bar} ms"


def _money(truth: dict[str, Any], status: dict[str, Any], account: Account) -> Iterator[str]:
    if cash(truth["imbalance"]):
        yield f"ledger: the exchange's own books differ by {truth['imbalance']}"
    if cash(status["cash"]) != cash(truth["cash"]):
        yield f"cash: the exchange says {truth['cash']}, the daemon {status['cash']}"
    equity = cash(truth["cash"])
    for symbol, position in truth["positions"].items():
        instrument = catalogue.instrument(symbol)
        side = -1 if position["quantity"].startswith("-") else 1
        steps = instrument.steps(position["quantity"].lstrip("-"))
        close = instrument.ticks(account.last_close(symbol))
        equity += side * (instrument.notional(close, steps) - cash(position["cost"]))
    if cash_text(equity) != status["equity"]:
        yield f"equity: {cash_text(equity)} by the exchange's numbers, the daemon says {status['equity']}"


def _journal(truth: dict[str, Any], status: dict[str, Any], folder: Path, deposit: int) -> Iterator[str]:
    try:
        with closing(sqlite3.connect(f"file:{folder / FILE}?mode=ro", uri=True)) as db:
            (sound,) = db.execute("PRAGMA integrity_check").fetchone()
            (profit,) = db.execute("SELECT coalesce(sum(profit + funding), 0) FROM trades").fetchone()
            (paid,) = db.execute("SELECT coalesce(sum(amount), 0) FROM funding").fetchone()
            (booked,) = db.execute("SELECT coalesce(sum(funding), 0) FROM trades").fetchone()
            (executions,) = db.execute("SELECT count(*) FROM fills").fetchone()
            (holes,) = db.execute("SELECT max(seq) - min(seq) + 1 - count(*) FROM events").fetchone()
            (orphans,) = db.execute(
                "SELECT count(*) FROM intents WHERE event_seq NOT IN (SELECT seq FROM events)"
            ).fetchone()
            (body,) = db.execute("SELECT body FROM state").fetchone()
        state = DaemonState.load(body)
    except (sqlite3.DatabaseError, ValueError, TypeError) as error:
        yield f"journal: cannot be read: {error!r}"
        return
    if sound != "ok":
        yield f"journal: integrity check says {sound}"
    if holes or orphans:
        yield f"journal: {holes} events missing between others, {orphans} intents of no event"
    if executions != truth["fills"]:
        yield f"journal: {executions} executions on record, {truth['fills']} at the exchange"
    lots = [book.lot for book in state.books.values() if book.lot]
    explained = profit + sum(wallet_effect(lot) for lot in lots) - paid
    moved = cash(truth["cash"]) - deposit
    if explained != moved:
        yield f"journal: its books explain {cash_text(explained)}, the wallet moved {cash_text(moved)}"
    if paid != booked + sum(lot.funding for lot in lots):
        yield f"funding: {cash_text(paid)} was paid, {cash_text(booked)} of it stands in trades"


def _closing_side(quantity: str) -> str:
    return "BUY" if quantity.startswith("-") else "SELL"
