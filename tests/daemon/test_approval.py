"""Pre-trade approval: each denial at the moment of sending, and what is never held up."""

from __future__ import annotations

from dataclasses import replace
from decimal import Decimal
from pathlib import Path

import pytest

from daemon import approval
from daemon.approval import HOUR_MS, MINUTE_MS, Denial, Denied, Standing, approve_entry
from daemon.commands import (
    Alert,
    Command,
    MarketOrder,
    PlaceStop,
    Purpose,
    RecordDecisions,
    RecordTrade,
    SetLeverage,
    Submit,
)
from daemon.engine import Engine
from daemon.events import (
    LeverageRead,
    OperatorCommand,
    Order,
    OrderStatus,
    StopUpdated,
    StreamLive,
    StreamStale,
)
from daemon.journal import Journal
from daemon.state import Book, Lot, Sent
from market.instruments import CASH, Instrument
from strategy.live_config import LiveConfig
from strategy.plan import Enter, Reason
from tests.daemon.engine_play import SETTINGS, START, Play, of

BTC = Instrument("BTCUSDT", "BTC", tick=Decimal("0.1"))
CLOSE, AT = 300_000, START
RULES = replace(LiveConfig().rules(), entries_per_hour=2, orders_per_minute=3)
GOAL = Enter("BTCUSDT", 1, 100, 10, 200, Reason.LONG_SIGNAL)  # 3,000 of notional
ORDER = MarketOrder("BTCUSDT", "id", Purpose.ENTRY, 1, 100, reduce_only=False)
BOOK = Book(leverage=10, isolated=True)
LOT = Lot(1, 100, BTC.notional(CLOSE, 100), 100, BTC.notional(CLOSE, 100), AT, AT, 10, 200)
GOOD = Standing(RULES, None, 10_000 * CASH, 0, 0, Sent())


def denied(
    order: MarketOrder = ORDER,
    goal: Enter = GOAL,
    book: Book = BOOK,
    standing: Standing = GOOD,
    instrument: Instrument = BTC,
) -> Denial | None:
    try:
        approve_entry(order, goal, instrument, book, CLOSE, standing, AT)
    except Denied as error:
        return error.denial
    return None


def test_an_entry_within_every_limit_is_approved() -> None:
    assert approve_entry(ORDER, GOAL, BTC, BOOK, CLOSE, GOOD, AT).order == ORDER


@pytest.mark.parametrize("barred", [Denial.NOT_ACTIVE, Denial.DEAF, Denial.STALE])
def test_nothing_is_opened_while_restricted_deaf_or_blind(barred: Denial) -> None:
    assert denied(standing=replace(GOOD, barred=barred)) is barred


def test_nothing_is_opened_beside_a_position_or_on_other_terms_than_wanted() -> None:
    assert denied(book=Book(leverage=10, isolated=True, lot=LOT)) is Denial.POSITION_OPEN
    assert denied(book=Book(leverage=10, isolated=True, foreign=5)) is Denial.FOREIGN_POSITION
    assert denied(book=Book(leverage=10, isolated=False)) is Denial.NOT_ISOLATED
    assert denied(book=Book(leverage=9, isolated=True)) is Denial.LEVERAGE_DIFFERS


def test_notional_is_capped_below_and_above() -> None:
    assert denied(order=replace(ORDER, quantity=0)) is Denial.TOO_SMALL
    assert denied(instrument=replace(BTC, min_notional=3_001 * CASH)) is Denial.TOO_SMALL
    assert denied(standing=replace(GOOD, rules=replace(RULES, max_notional=2_999 * CASH))) is Denial.NOTIONAL_CAP
    assert denied(standing=replace(GOOD, rules=replace(RULES, max_notional=3_000 * CASH))) is None
    assert denied(standing=replace(GOOD, equity=299 * CASH)) is Denial.NOTIONAL_DIFFERS


def test_positions_are_capped() -> None:
    assert denied(standing=replace(GOOD, positions=RULES.max_positions)) is Denial.POSITION_CAP


def test_margin_leaves_the_reserve_as_equity_is_now() -> None:
    assert denied(standing=replace(GOOD, margins=7_700 * CASH)) is None
    assert denied(standing=replace(GOOD, margins=7_700 * CASH + 1)) is Denial.RESERVE


def test_the_price_must_not_have_left_its_band() -> None:
    for price, want in ((303_000, None), (303_001, Denial.PRICE_BAND), (297_000, None), (296_999, Denial.PRICE_BAND)):
        assert denied(book=Book(leverage=10, isolated=True, price=price)) is want
    off = replace(GOOD, rules=replace(RULES, price_band_bps=0))
    assert denied(book=Book(leverage=10, isolated=True, price=1), standing=off) is None


def test_the_stop_must_lie_within_half_the_way_to_liquidation() -> None:
    assert denied(goal=replace(GOAL, leverage=30), book=Book(leverage=30, isolated=True)) is Denial.STOP_TOO_FAR


def test_entries_within_an_hour_and_orders_within_a_minute_are_limited() -> None:
    def sent(entries: list[int], orders: list[int]) -> Standing:
        return replace(GOOD, sent=Sent(entries, orders))

    assert denied(standing=sent([AT - HOUR_MS + 1], [])) is None
    assert denied(standing=sent([AT - HOUR_MS + 1, AT - 5], [])) is Denial.ENTRY_RATE
    assert denied(standing=sent([AT - HOUR_MS, AT - 5], [])) is None
    assert denied(standing=sent([], [AT - MINUTE_MS + 1] * 3)) is Denial.ORDER_RATE
    assert denied(standing=sent([], [AT - MINUTE_MS] * 3)) is None
    assert denied(standing=sent([AT + 5] * 2, [])) is Denial.ENTRY_RATE, "a clock that was set back frees nothing"


def test_closing_and_protecting_orders_know_no_limits_but_the_position() -> None:
    assert approval.approve_close(replace(ORDER, side=-1, reduce_only=True), LOT)
    with pytest.raises(Denied):
        approval.approve_close(replace(ORDER, side=-1, reduce_only=True), None)


class Rated(Play):
    """An engine that may enter once an hour by the clock."""

    def __init__(self, folder: Path, state: object = None) -> None:
        super().__init__(folder)
        rules = replace(SETTINGS.rules, entries_per_hour=1, orders_per_minute=1)
        self.engine = Engine(replace(SETTINGS, rules=rules), state)  # type: ignore[arg-type]

    def entry(self, index: int) -> list[Command]:
        leverage = self.candle(index, p_long=0.7)
        return self.tell(LeverageRead("BTCUSDT", of(leverage, SetLeverage)[0].leverage, True))


def test_the_order_rate_is_kept_across_a_restart_and_holds_up_no_stop(tmp_path: Path) -> None:
    play = Rated(tmp_path)
    play.boot()
    (submit,) = of(play.entry(0), Submit)
    order = submit.approved.order
    placed = of(play.fill(order.client_id, 1, order.quantity), PlaceStop)
    assert placed, "a stop is placed though the minute is full"
    assert play.engine.state.sent.entries == [play.at - 1]
    again = Rated(tmp_path, Journal(tmp_path).state())
    assert again.engine.state.sent == play.engine.state.sent
    again.trade_id = play.trade_id
    again.boot(quantity=order.quantity, cost=BTC.notional(CLOSE, order.quantity))
    (close,) = of(again.tell(OperatorCommand(Order.FLATTEN, "me")), Submit)
    assert of(again.fill(close.approved.order.client_id, -1, order.quantity), RecordTrade)
    again.tell(StopUpdated("BTCUSDT", placed[0].approved.order.client_id, OrderStatus.CANCELED))
    again.tell(OperatorCommand(Order.RESUME, "me"))
    out = again.entry(1)
    assert of(out, Submit) == []
    assert any(str(Denial.ENTRY_RATE) in a.text for a in of(out, Alert))


def test_the_price_seen_when_leverage_is_read_bounds_the_entry(play: Play) -> None:
    play.boot()
    (leverage,) = of(play.candle(0, p_long=0.7), SetLeverage)
    out = play.tell(LeverageRead("BTCUSDT", leverage.leverage, True, 30_300.1))
    assert of(out, Submit) == []
    assert any(str(Denial.PRICE_BAND) in a.text for a in of(out, Alert))


@pytest.mark.parametrize(("stream", "why"), [("market", Reason.STALE), ("private", Reason.DEAF)])
def test_no_entry_is_decided_on_stale_data(play: Play, stream: str, why: Reason) -> None:
    play.boot()
    play.tell(StreamStale(stream, "silence"))
    (decided,) = of(play.candle(0, p_long=0.7), RecordDecisions)
    assert decided.decisions[0].reason is why
    play.tell(StreamLive(stream))
    assert of(play.candle(1, p_long=0.7), SetLeverage)


def test_an_entry_that_was_decided_is_not_sent_once_data_is_stale(play: Play) -> None:
    play.boot()
    (leverage,) = of(play.candle(0, p_long=0.7), SetLeverage)
    play.tell(StreamStale("market", "silence"))
    assert of(play.tell(LeverageRead("BTCUSDT", leverage.leverage, True)), Submit) == []
