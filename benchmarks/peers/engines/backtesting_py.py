"""backtesting.py: market orders on the close, a margin account, the stop given with the entry."""

from __future__ import annotations

import warnings

import backtesting
import numpy as np
import pandas as pd

from benchmarks.peers.frame import HOUR_MS, Frame
from benchmarks.peers.measured import Measured, timed
from benchmarks.peers.rule import CASH, ENTER, EXIT, FEE, LEVERAGE


class Rule(backtesting.Strategy):  # type: ignore[misc]
    """The rule as its `next`, once a bar."""

    def init(self) -> None:
        """No indicator is needed: the signal is a column."""

    def next(self) -> None:
        """Decide at this bar's close."""
        signal = self.data.Signal[-1]
        if self.position:
            if signal < EXIT:
                self.position.close()
        elif signal > ENTER and not self._stopped():
            self.buy(size=int(self.data.Quantity[-1]), sl=self.data.Stop[-1])

    def _stopped(self) -> bool:
        """Whether the last trade ended inside this bar: an exit on the close carries the bar before."""
        done = self._broker.closed_trades  # the public property copies the whole list at every call
        return bool(done) and done[-1].exit_bar == len(self.data) - 1


def table(frame: Frame) -> pd.DataFrame:
    """The frame as a DataFrame, with a flat bar before and after.

    The engine asks from its second bar on, and fills on a close when the next bar comes: this way no bar is lost.
    """
    times = np.concatenate(([frame.time_ms[0] - HOUR_MS], frame.time_ms, [frame.time_ms[-1] + HOUR_MS]))
    columns = {
        name: np.concatenate(([frame.open[0]], column, [frame.close[-1]]))
        for name, column in (("Open", frame.open), ("High", frame.high), ("Low", frame.low), ("Close", frame.close))
    }
    neither = (ENTER + EXIT) / 2
    columns["Signal"] = np.concatenate(([neither], frame.signal, [neither]))
    columns["Quantity"] = np.concatenate(([0.0], frame.quantity, [0.0]))
    columns["Stop"] = np.concatenate(([0.0], frame.stop, [0.0]))
    columns["Volume"] = np.full(len(times), 1e9)
    return pd.DataFrame(columns, index=pd.to_datetime(times, unit="ms"))


def measure(frame: Frame) -> Measured:
    """`Backtest.run()`, which cannot be had without its statistics."""
    warnings.filterwarnings("ignore")
    backtesting.backtesting._tqdm = lambda bars, *_, **__: bars  # its progress bar costs time

    def prepared() -> backtesting.Backtest:
        return backtesting.Backtest(
            table(frame), Rule, cash=CASH, commission=FEE, margin=1 / LEVERAGE, trade_on_close=True
        )

    test, setup = timed(prepared)
    said, run = timed(test.run)
    done = said["_trades"]
    stops = int((done["ExitPrice"] <= done["SL"] + 1e-9).sum())
    return Measured(
        backtesting.__version__,
        setup,
        run,
        int(said["# Trades"]),
        stops,
        float(said["Equity Final [$]"]),
    )
