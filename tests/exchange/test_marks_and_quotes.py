"""A market told in marks and quotes: what each of the three prices decides."""

from __future__ import annotations

from dataclasses import replace

import pytest

from market import fills
from market.exchange.desk import Desk
from market.exchange.engine import Engine
from market.exchange.orders import AccountEvent
from market.exchange.refusals import Code, Refusal
from tests.exchange.test_engine import BTC, PRICE, limit, market, stop, venue

BID, ASK = PRICE - 10, PRICE + 10


def quoted() -> tuple[Engine, Desk]:
    engine, desk = venue()
    engine.quote("BTCUSDT", BID, ASK, 1_001)
    engine.mark("BTCUSDT", PRICE, 1_001)
    return engine, desk


def test_market_orders_fill_at_the_best_quote_and_nothing_worse() -> None:
    engine, desk = quoted()
    desk.place(market(1, 100))
    desk.place(market(-1, 100))
    assert [fill.price for fill in engine.fills] == [ASK, BID]


def test_without_quotes_market_orders_fill_at_the_last_price_slipped() -> None:
    engine, desk = venue()
    desk.place(market(1, 100))
    assert engine.fills[-1].price == fills.slipped(PRICE, 1, 100)


def test_a_limit_order_crosses_the_opposite_quote_and_not_the_last_price() -> None:
    engine, desk = quoted()
    assert desk.place(limit(1, 100, PRICE)).status == "NEW"
    assert desk.place(limit(1, 100, ASK)).status == "FILLED"
    engine.quote("BTCUSDT", PRICE - 30, PRICE, 1_002)
    assert (engine.fills[-1].price, engine.fills[-1].maker) == (PRICE, True)


@pytest.mark.parametrize(("bid", "ask"), [(0, 10), (11, 10), (-1, 10)])
def test_a_quote_that_is_none_is_an_error(bid: int, ask: int) -> None:
    engine, _ = venue()
    with pytest.raises(ValueError, match="no quote"):
        engine.quote("BTCUSDT", bid, ask, 1_001)


def test_a_stop_on_the_mark_fires_at_the_mark_alone_and_fills_at_the_quote() -> None:
    engine, desk = quoted()
    desk.place(market(1, 100))
    placed = desk.place_stop(replace(stop(-1, 2_950_000), working_type="MARK_PRICE"))
    engine.visit("BTCUSDT", 2_900_000, 2_000)
    assert placed.status == "NEW"
    engine.quote("BTCUSDT", 2_951_000, 2_951_100, 2_001)
    engine.mark("BTCUSDT", 2_949_999, 2_002)
    assert placed.status == "FINISHED"
    assert engine.fills[-1].price == 2_951_000


def test_a_stop_on_the_last_price_ignores_the_mark() -> None:
    engine, desk = quoted()
    desk.place(market(1, 100))
    placed = desk.place_stop(stop(-1, 2_950_000))
    engine.mark("BTCUSDT", 2_900_000, 2_000)
    assert placed.status == "NEW"
    engine.visit("BTCUSDT", 2_950_000, 2_001)
    assert placed.status == "FINISHED"
    assert engine.fills[-1].price == BID


def test_a_stop_past_its_own_price_already_is_refused_whatever_the_other_price_says() -> None:
    engine, desk = quoted()
    desk.place(market(1, 100))
    engine.mark("BTCUSDT", 2_940_000, 2_000)
    with pytest.raises(Refusal) as refused:
        desk.place_stop(replace(stop(-1, 2_950_000), working_type="MARK_PRICE"))
    assert refused.value.code is Code.WOULD_TRIGGER
    assert desk.place_stop(stop(-1, 2_950_000)).status == "NEW"


def test_liquidation_goes_by_the_mark() -> None:
    engine, desk = quoted()
    desk.place(market(1, 100))
    engine.visit("BTCUSDT", 2_000_000, 2_000)
    assert engine.ledger.positions
    engine.mark("BTCUSDT", engine.liquidation_price("BTCUSDT"), 2_001)
    assert not engine.ledger.positions
    assert engine.ledger.imbalance() == 0


def test_funding_and_open_profit_go_by_the_mark() -> None:
    engine, desk = quoted()
    desk.place(market(1, 100))
    engine.mark("BTCUSDT", PRICE + 500, 2_000)
    engine.drain()
    engine.fund("BTCUSDT", 10_000, 2_000)
    assert engine.ledger.funding == fills.funding_payment(BTC.notional(PRICE + 500, 100), 1, 10_000)
    assert engine.open_profit("BTCUSDT") == BTC.notional(PRICE + 500 - ASK, 100)
    (told,) = engine.drain()
    assert isinstance(told, AccountEvent)
    assert told.price == PRICE + 500
