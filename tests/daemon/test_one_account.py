"""One account: another deployment on it halts this one, deposits are no profit, and each counts once."""

from __future__ import annotations

import pytest

from daemon.commands import Alert, Command, PriceCoin, RecordState, RecordTrade, Submit
from daemon.events import (
    BalanceUpdated,
    CoinPriced,
    Event,
    Filled,
    OperatorCommand,
    Order,
    OrderStatus,
    OrderUpdated,
    Reconciled,
    RestingStop,
    StopUpdated,
    SymbolTruth,
    Tick,
    Transferred,
)
from daemon.identity import prefix
from market.instruments import CASH
from strategy.plan import Reason, TradingState
from tests.daemon.engine_play import HOUR, PRICE, START, Play, of

OTHERS = f"{prefix('another host')}entry"


pytestmark = pytest.mark.usefixtures("booted")


def truth(*, stops: tuple[RestingStop, ...] = (), orders: tuple[str, ...] = ()) -> Reconciled:
    return Reconciled(10_000 * CASH, (SymbolTruth("BTCUSDT", 0, 0, 0, 20, True, stops, orders),))


@pytest.mark.parametrize(
    "sign",
    [
        Filled("BTCUSDT", OTHERS, 77, 1, PRICE, 10, 5, START + HOUR),
        OrderUpdated("BTCUSDT", OTHERS, OrderStatus.ACCEPTED),
        StopUpdated("BTCUSDT", OTHERS, OrderStatus.ACCEPTED, -1, PRICE - 9_000, 10),
        truth(stops=(RestingStop(OTHERS, 0, 0, 0),)),
        truth(orders=(OTHERS,)),
    ],
    ids=["execution", "order", "stop", "resting stop", "open order"],
)
def test_any_sign_of_another_deployment_halts(play: Play, sign: Event) -> None:
    said = play.tell(sign)
    assert of(said, RecordState)
    assert any("another deployment" in alert.text for alert in of(said, Alert))
    memory = play.engine.state.memory
    assert (memory.state, memory.reason) == (TradingState.HALTED, Reason.OTHER_DEPLOYMENT)
    assert of(play.candle(0, p_long=0.9), Submit) == []


def test_what_is_open_is_closed_when_another_deployment_shows_itself(play: Play) -> None:
    play.tell(play.enter())
    said: list[Command] = [*play.tell(OrderUpdated("BTCUSDT", OTHERS, OrderStatus.ACCEPTED)), *play.tell(Tick())]
    (close,) = of(said, Submit)
    (trade,) = of(play.fill(close.approved.order.client_id, -1, close.approved.order.quantity), RecordTrade)
    assert trade.trade.reason == Reason.OTHER_DEPLOYMENT


def test_an_operator_resumes_and_a_new_sign_halts_again(play: Play) -> None:
    play.tell(OrderUpdated("BTCUSDT", OTHERS, OrderStatus.ACCEPTED))
    assert play.tell(OrderUpdated("BTCUSDT", OTHERS, OrderStatus.FILLED)) == []  # told once
    play.tell(OperatorCommand(Order.RESUME, "me"))
    assert play.engine.state.memory.state is TradingState.ACTIVE
    play.tell(truth())
    assert play.engine.state.memory.state is TradingState.ACTIVE
    play.tell(truth(orders=(OTHERS,)))
    assert play.engine.state.memory.state is TradingState.HALTED


def test_orders_of_people_and_of_our_own_halt_nothing(play: Play) -> None:
    play.tell(OrderUpdated("BTCUSDT", "web_123", OrderStatus.ACCEPTED))
    play.tell(truth(orders=("web_123", f"{prefix('test')}entry")))
    assert play.engine.state.memory.state is TradingState.ACTIVE


def test_a_deposit_told_by_the_stream_and_found_by_asking_counts_once(play: Play) -> None:
    play.candle(0)
    before = play.engine.state.memory.peak
    play.tell(BalanceUpdated(11_000 * CASH, 1_000 * CASH, "DEPOSIT", "", START + HOUR))
    play.tell(Transferred(1_000 * CASH, START + HOUR + 40))
    assert play.engine.state.memory.peak == before + 1_000 * CASH


def test_a_withdrawal_while_the_daemon_was_away_is_no_loss(play: Play) -> None:
    play.candle(0)
    before = play.engine.state.memory.peak
    play.tell(Transferred(-2_000 * CASH, START + HOUR))
    play.tell(Reconciled(8_000 * CASH, truth().symbols))
    play.candle(1)
    memory = play.engine.state.memory
    assert (memory.state, memory.peak) == (TradingState.ACTIVE, before - 2_000 * CASH)


def test_a_fee_in_another_coin_is_counted_at_its_price_and_leaves_the_wallet_alone(play: Play) -> None:
    stop = play.enter()
    play.tell(stop)
    fee = {"fee": 0, "fee_asset": "BNB", "coin_fee": 2_000_000}  # a fiftieth of a coin
    grown = Filled("BTCUSDT", "by hand", 70, 1, PRICE, 1, time=START + HOUR, **fee)
    assert of(play.tell(grown), PriceCoin) == [PriceCoin("BNB")]
    lot = play.engine.state.books["BTCUSDT"].lot
    assert lot is not None
    assert lot.coin_fees == 0  # its price is not known yet
    play.tell(CoinPriced("BNB", 600 * CASH))
    assert lot.coin_fees == 12 * CASH
    cash = play.engine.state.cash
    (trade,) = of(
        play.tell(Filled("BTCUSDT", "by hand", 71, -1, PRICE, lot.quantity, time=START + HOUR, **fee)), RecordTrade
    )
    assert trade.trade.fees == 24 * CASH + 5
    assert trade.trade.profit == -trade.trade.fees
    assert trade.trade.cash_after == cash
