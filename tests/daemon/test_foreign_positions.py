"""A position that no order of ours explains is adopted, left alone or closed, as configured."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from daemon import engine as engine_module
from daemon.commands import Alert, PlaceStop, RecordDecisions, RecordTrade, SetLeverage, Submit
from daemon.desk import Foreign
from daemon.events import InstrumentRead, OrderStatus, Reconciled, StopUpdated, SymbolTruth
from daemon.identity import of_another, prefix
from daemon.state import DaemonState
from market.instruments import CASH
from strategy.plan import Reason
from tests.daemon.engine_play import BTC, PRICE, SETTINGS, Play, of

HELD = 100


def told(
    tmp_path: Path, foreign: Foreign, leaving: frozenset[str] = frozenset(), state: DaemonState | None = None
) -> Play:
    play = Play(tmp_path / f"{foreign}-{len(leaving)}-{state is not None}", state)
    settings = replace(SETTINGS, foreign=foreign, leaving=leaving)
    play.engine = engine_module.Engine(settings, state)
    return play


@pytest.mark.parametrize("found", ["at the start", "while running"])
def test_an_adopted_position_is_protected(tmp_path: Path, found: str) -> None:
    play = told(tmp_path, Foreign.ADOPT)
    if found == "at the start":
        out = play.boot(HELD, BTC.notional(PRICE, HELD))
    else:
        play.boot()
        out = play.fill("web-1", 1, HELD)
    (place,) = of(out, PlaceStop)
    assert (place.approved.order.side, place.approved.order.quantity) == (-1, HELD)


@pytest.mark.parametrize("found", ["at the start", "while running"])
def test_a_closed_position_is_closed_at_market_and_told_as_such(tmp_path: Path, found: str) -> None:
    play = told(tmp_path, Foreign.CLOSE)
    if found == "at the start":
        out = play.boot(HELD, BTC.notional(PRICE, HELD))
    else:
        play.boot()
        out = play.fill("web-1", 1, HELD)
    (close,) = of(out, Submit)
    order = close.approved.order
    assert (order.side, order.quantity, order.reduce_only) == (-1, HELD, True)
    (trade,) = of(play.fill(order.client_id, -1, HELD), RecordTrade)
    assert trade.trade.reason == "not ours, closed as configured"


@pytest.mark.parametrize("found", ["at the start", "while running"])
def test_an_ignored_position_is_left_alone_and_bars_its_symbol(tmp_path: Path, found: str) -> None:
    play = told(tmp_path, Foreign.IGNORE)
    if found == "at the start":
        out = play.boot(HELD, BTC.notional(PRICE, HELD))
    else:
        play.boot()
        out = play.fill("web-1", 1, HELD)
    assert of(out, PlaceStop) == of(out, Submit) == []
    said = play.candle(0, p_long=0.7)
    assert of(said, SetLeverage) == of(said, Submit) == []
    assert of(said, RecordDecisions)[0].decisions[0].reason is Reason.FOREIGN
    play.fill("web-2", -1, HELD)  # its owner closes it, and the symbol is ours again
    assert of(play.candle(1, p_long=0.7), SetLeverage)


def test_an_ignored_position_is_known_again_after_a_restart_and_adopted_if_that_is_wanted_now(tmp_path: Path) -> None:
    play = told(tmp_path, Foreign.IGNORE)
    play.boot(HELD, BTC.notional(PRICE, HELD))
    state = play.engine.state.dump()
    again = told(tmp_path, Foreign.IGNORE, state=DaemonState.load(state))
    assert of(again.boot(HELD, BTC.notional(PRICE, HELD)), Alert) == []
    adopting = told(tmp_path, Foreign.ADOPT, state=DaemonState.load(state))
    assert of(adopting.boot(HELD, BTC.notional(PRICE, HELD)), PlaceStop)


def test_a_position_is_never_read_as_flat_at_first_sight(tmp_path: Path) -> None:
    play = told(tmp_path, Foreign.ADOPT)
    play.boot()
    play.tell(play.enter())
    again = told(tmp_path, Foreign.ADOPT, state=DaemonState.load(play.engine.state.dump()))
    again.boot(0)
    again.boot(0)
    assert again.engine.state.books["BTCUSDT"].lot is not None
    again.at += SETTINGS.patience.answer_ms
    again.boot(0)
    assert again.engine.state.books["BTCUSDT"].lot is None


def test_a_symbol_that_was_removed_with_a_position_open_is_looked_after_and_not_entered_again(tmp_path: Path) -> None:
    play = told(tmp_path, Foreign.ADOPT, leaving=frozenset({"BTCUSDT"}))
    (place,) = of(play.boot(HELD, BTC.notional(PRICE, HELD)), PlaceStop)
    (close,) = of(play.candle(0, p_long=0.3, p_short=0.7), Submit)  # the opposite signal closes it
    play.fill(close.approved.order.client_id, -1, HELD)
    play.tell(StopUpdated("BTCUSDT", place.approved.order.client_id, OrderStatus.CANCELED))
    said = play.candle(1, p_long=0.7)
    assert of(said, RecordDecisions)[0].decisions[0].reason is Reason.REMOVED


def test_a_suspended_symbol_is_not_entered_until_it_trades_again(tmp_path: Path) -> None:
    play = told(tmp_path, Foreign.ADOPT)
    play.boot()
    assert of(play.tell(InstrumentRead(BTC, trading=False)), Alert)
    assert play.tell(InstrumentRead(BTC, trading=False)) == []
    said = play.candle(0, p_long=0.7)
    assert of(said, RecordDecisions)[0].decisions[0].reason is Reason.SUSPENDED
    play.tell(InstrumentRead(BTC))
    assert of(play.candle(1, p_long=0.7), SetLeverage)


def test_positions_in_symbols_of_others_are_told_of_once(tmp_path: Path) -> None:
    play = told(tmp_path, Foreign.ADOPT)
    truth = SymbolTruth("BTCUSDT", 0, 0, 0, 20, True, ())
    assert of(play.tell(Reconciled(10_000 * CASH, (truth,), ("DOGEUSDT",))), Alert)
    assert of(play.tell(Reconciled(10_000 * CASH, (truth,), ("DOGEUSDT",))), Alert) == []


def test_only_orders_of_this_program_and_another_deployment_are_another_hosts(tmp_path: Path) -> None:
    assert of_another(f"{prefix('here')}abc", "there")
    assert not of_another(f"{prefix('here')}abc", "here")
    assert not of_another("rgx-by-hand", "here")
    assert not of_another("", "here")
