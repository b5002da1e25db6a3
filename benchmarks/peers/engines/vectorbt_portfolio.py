"""vectorbt: `Portfolio.from_signals`, fills at the close, a stop as a share of the entry.

The free version knows neither ticks (the stop stands where it falls) nor leverage (cash goes below what was spent).
"""

from __future__ import annotations

import numpy as np
import vectorbt

from benchmarks.peers.frame import Frame
from benchmarks.peers.measured import NOTHING, Measured, timed, timed_often
from benchmarks.peers.rule import CASH, ENTER, EXIT, FEE, STOP_BPS

STOP = STOP_BPS / 10_000


def simulate(frame: Frame) -> tuple[vectorbt.Portfolio, int, float]:
    """The portfolio, with the two figures that everyone is asked for."""
    portfolio = vectorbt.Portfolio.from_signals(
        frame.close,
        entries=frame.signal > ENTER,
        exits=frame.signal < EXIT,
        open=frame.open,
        high=frame.high,
        low=frame.low,
        size=frame.quantity,
        size_type="amount",
        sl_stop=STOP,
        fees=FEE,
        init_cash=CASH,
        accumulate=False,
        freq="1h",
    )
    return portfolio, portfolio.trades.count(), portfolio.final_value()


def measure(frame: Frame) -> Measured:
    """Simulation, trade count and final value; arrays are read as they are, so nothing is set up."""
    _, jit = timed(lambda: simulate(frame[:300]))
    (portfolio, _, equity), run = timed_often(lambda: simulate(frame))
    records = portfolio.trades.records
    closed = records[records["status"] == 1]
    stops = np.sum(closed["exit_price"] <= closed["entry_price"] * (1 - STOP) + 1e-9)
    return Measured(
        vectorbt.__version__,
        NOTHING,
        run,
        len(closed),
        int(stops),
        float(equity),
        jit,
    )
