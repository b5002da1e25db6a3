"""hftbacktest: made for order books, so each bar becomes four states of a book with one level: open, low, high, close.

There is no stop order. The strategy looks after each state and sells at market once the bid is at or below its stop,
so a stop fills at the bar's low; and the ask stands one tick above the bid, since equal prices would cross.
"""

from __future__ import annotations

from importlib.metadata import version

import numpy as np
from hftbacktest import (
    BUY_EVENT,
    DEPTH_CLEAR_EVENT,
    DEPTH_EVENT,
    EXCH_EVENT,
    GTC,
    LOCAL_EVENT,
    MARKET,
    SELL_EVENT,
    BacktestAsset,
    HashMapMarketDepthBacktest,
)
from hftbacktest.types import event_dtype
from numba import njit
from numpy.typing import NDArray

from benchmarks.peers.frame import HOUR_MS, Frame
from benchmarks.peers.measured import Measured, timed, timed_often
from benchmarks.peers.rule import CASH, ENTER, EXIT, FEE, SCALE

TICK = 1 / SCALE
NS = 1_000_000
HOUR_NS = HOUR_MS * NS
STATE_NS = 60_000 * NS
"""Between two states of a bar."""
DEPTH = 1e12
LOW, CLOSE = 1, 3


def events(frame: Frame) -> NDArray[np.void]:
    """Four events a state: both sides are cleared, then each gets its one level."""
    prices = np.column_stack((frame.open, frame.low, frame.high, frame.close)).ravel()
    instants = (frame.time_ms[:, None] * NS + STATE_NS * np.arange(1, 5)).ravel()
    kinds = [DEPTH_CLEAR_EVENT | BUY_EVENT, DEPTH_CLEAR_EVENT | SELL_EVENT, DEPTH_EVENT | BUY_EVENT]
    kinds.append(DEPTH_EVENT | SELL_EVENT)
    told = np.zeros((len(prices), 4), event_dtype)
    told["ev"] = np.array(kinds, dtype=np.uint64) | np.uint64(EXCH_EVENT | LOCAL_EVENT)
    told["exch_ts"] = told["local_ts"] = instants[:, None]
    told["px"][:, 0] = np.inf
    told["px"][:, 1] = np.inf
    told["px"][:, 2] = prices
    told["px"][:, 3] = prices + TICK
    told["qty"][:, 2:] = DEPTH
    return told.ravel()


@njit  # its bindings are ctypes pointers, which numba cannot cache
def trade(market, first_ns, signals, quantities, stops):  # type: ignore[no-untyped-def]
    """The rule; returns trades closed, and those among them that the stop closed."""
    trades = fired = orders = 0
    stop = 0.0
    for bar in range(len(signals)):
        stopped = False
        for state in range(4):
            due = first_ns + bar * HOUR_NS + (state + 1) * STATE_NS + 1_000
            if market.elapse(due - market.current_timestamp) != 0:
                return trades, fired
            if state > LOW:
                continue
            held, bid = market.position(0), market.depth(0).best_bid
            if held > 0 and bid <= stop + 1e-9:
                orders += 1
                market.submit_sell_order(0, orders, bid, held, GTC, MARKET, True)
                market.clear_inactive_orders(0)
                trades += 1
                fired += 1
                stopped = True
        held, depth = market.position(0), market.depth(0)
        if held > 0:
            if signals[bar] < EXIT:
                orders += 1
                market.submit_sell_order(0, orders, depth.best_bid, held, GTC, MARKET, True)
                market.clear_inactive_orders(0)
                trades += 1
        elif not stopped and signals[bar] > ENTER:
            orders += 1
            market.submit_buy_order(0, orders, depth.best_ask, quantities[bar], GTC, MARKET, True)
            market.clear_inactive_orders(0)
            stop = stops[bar]
    return trades, fired


def simulate(frame: Frame, told: NDArray[np.void]) -> tuple[int, int, float]:
    """Build the engine over the events and trade: trades, stops, equity."""
    asset = (
        BacktestAsset()
        .data(told)
        .linear_asset(1.0)
        .constant_order_latency(0, 0)
        .risk_adverse_queue_model()
        .no_partial_fill_exchange()
        .trading_value_fee_model(FEE, FEE)
        .tick_size(TICK)
        .lot_size(1.0)
    )
    market = HashMapMarketDepthBacktest([asset])
    trades, stops = trade(market, int(frame.time_ms[0]) * NS, frame.signal, frame.quantity, frame.stop)
    state = market.state_values(0)
    equity = CASH + state.balance - state.fee + state.position * frame.close[-1]
    market.close()
    return trades, stops, float(equity)


def measure(frame: Frame) -> Measured:
    """Engine and run, warm; making the events is the set-up."""
    few = frame[:300]
    _, jit = timed(lambda: simulate(few, events(few)))
    told, setup = timed(lambda: events(frame))
    (trades, stops, equity), run = timed_often(lambda: simulate(frame, told))
    return Measured(
        version("hftbacktest"),
        setup,
        run,
        int(trades),
        int(stops),
        equity,
        jit,
    )
