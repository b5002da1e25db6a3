"""Our engine under the comparison's rule: the real rules, sizing, caps, fills and integers, with nothing left out.

What the rule does not have is switched off by its value, not by another path: no short can be wanted, the cap on the
notional always binds, one regime is in force throughout, halts, price band and funding are absent.
"""

from __future__ import annotations

import platform
from dataclasses import replace
from decimal import Decimal

import numpy as np

from backtest import engine
from backtest.bars import SymbolFrame
from backtest.broker import Costs
from benchmarks.peers.frame import HOUR_MS, Frame
from benchmarks.peers.measured import Measured, timed, timed_often
from benchmarks.peers.rule import CASH, ENTER, EXIT, FEE_PPM, LEVERAGE, NOTIONAL, SCALE, STOP_BPS
from market import instruments, trades
from market.candles import Candles
from market.instruments import Instrument
from market.timeframes import Timeframe
from models.prediction import PredictionHistory
from strategy.live_config import BPS, NO_HALTS, PPB, LiveConfig, Rules

COSTS = Costs(taker_ppm=FEE_PPM, slippage_ppm=0)
LONGEST_HOLD = 1_000_000
MID = 1


def rules() -> Rules:
    """The comparison's rule in the words of `configs/live_config.yaml`, made plain."""
    return replace(
        LiveConfig(halts=NO_HALTS).rules(),
        name="peers",
        long_entry=round(ENTER * PPB) + 1,  # above, where ours says "at least"
        long_exit=round(EXIT * PPB),
        short_entry=PPB + 1,
        short_exit=0,
        edge=0,
        max_hold_bars=LONGEST_HOLD,
        confirm=1,
        leverage=(LEVERAGE,) * 3,
        stop_bps=(STOP_BPS,) * 3,
        margin_bps=BPS,  # all of equity: the cap on the notional decides
        reserve_bps=0,
        risk_bps=BPS,
        max_notional=NOTIONAL * instruments.CASH,
        max_positions=1,
        stop_cooldown=1,  # the close of the bar in which the stop fired, and no other
        price_band_bps=0,
    )


def symbol_frame(frame: Frame) -> SymbolFrame:
    """The frame as our engine reads one.

    Our orders fill at the next bar's open. It is this bar's close throughout, so a flat bar is added for the last one.
    """
    instrument = Instrument("PEERUSDT", "PEER", tick=Decimal(1) / SCALE, step=Decimal(1))
    last = frame.close[-1]
    unknown = np.full(len(frame) + 1, np.nan)
    candles = Candles(
        Timeframe.parse("1h"),
        np.append(frame.time_ms, frame.time_ms[-1] + HOUR_MS),
        open=np.append(frame.open, last),
        high=np.append(frame.high, last),
        low=np.append(frame.low, last),
        close=np.append(frame.close, last),
        volume=unknown,
        quote_volume=unknown,
        trades=unknown,
        taker_base=unknown,
        taker_quote=unknown,
    )
    predictions = PredictionHistory(
        open_time=frame.time_ms,
        p_long=frame.signal,
        p_short=np.zeros(len(frame)),
        regime=np.full(len(frame), MID, dtype=np.int8),
        horizons={},
        refusals={},
    )
    return SymbolFrame(instrument, candles, candles, None, predictions)


def measure(frame: Frame) -> Measured:
    """The compiled engine, as sweeps and the judge use it."""

    def first() -> object:
        from backtest import compiled  # its import is part of the wait

        few = compiled.prepare([symbol_frame(frame[:300])])
        return compiled.simulate(few, rules(), COSTS, LONGEST_HOLD, CASH * instruments.CASH)

    _warm_imports()
    _, jit = timed(first)
    from backtest import compiled

    ours = symbol_frame(frame)
    prepared, setup = timed(lambda: compiled.prepare([ours]))
    said, run = timed_often(lambda: compiled.simulate(prepared, rules(), COSTS, LONGEST_HOLD, CASH * instruments.CASH))
    return Measured(
        _version(),
        setup,
        run,
        int(said.trades),
        int(said.stops),
        said.equity / instruments.CASH,
        jit,
    )


def measure_plain(frame: Frame) -> Measured:
    """The plain engine, which the compiled one is held against."""
    ours, setup = timed(lambda: [symbol_frame(frame)])
    result, run = timed(lambda: engine.run(ours, rules(), COSTS, LONGEST_HOLD, CASH * instruments.CASH))
    stops = sum(trade.reason == trades.STOP for trade in result.trades)
    return Measured(
        _version(),
        setup,
        run,
        len(result.closed),
        stops,
        result.equity / instruments.CASH,
    )


def _warm_imports() -> None:
    """numba itself takes half a second to import, compiled code or not; every engine here has it loaded before."""
    import numba

    del numba


def _version() -> str:
    return f"this tree, Python {platform.python_version()}"
