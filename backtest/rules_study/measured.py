"""Figures of each variant and of their differences, with intervals: every variant under the same draws of days."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from backtest import significance
from market.candles import Floats
from models.metrics import Interval
from models.resampling import Drawn

Flags = NDArray[np.bool_]

AIM = 1.2
"""What the rules by regime were to be: a Sharpe ratio of so many times that of the fixed terms."""


@dataclass(frozen=True)
class Compared:
    """A variant less another, paired: each draw takes the same days of both.

    Attributes
    ----------
    sharpe, drawdown : Interval
        Difference of the annual Sharpe ratios, and of the largest drawdowns.
    above : float
        Share of the draws in which this one's Sharpe ratio is higher.
    beyond_aim : Interval
        Sharpe ratio less `AIM` times the other's. Above 0, with the other's above 0, the aim is reached.
    aim_reached : float
        Share of the draws in which it is.
    relative : float or None
        Sharpe ratio over the other's, less one; None where the other has none above 0.
    relative_interval : Interval or None
        The same with bounds; None where the other's Sharpe ratio cannot be told from 0, for then a ratio has none.
    """

    sharpe: Interval
    drawdown: Interval
    above: float
    beyond_aim: Interval
    aim_reached: float
    relative: float | None
    relative_interval: Interval | None


@dataclass(frozen=True)
class Figures:
    """One variant's annual Sharpe ratio, largest drawdown (by the day) and return of the days, and their draws."""

    sharpe: Drawn
    drawdown: Drawn
    growth: Drawn

    def against(self, other: Figures) -> Compared:
        """This variant less the other."""
        a, b = self.sharpe, other.sharpe
        reached = (b.draws > 0) & (a.draws >= AIM * b.draws)
        known = np.isfinite(a.draws) & np.isfinite(b.draws)
        relative = a.value / b.value - 1 if b.value > 0 else None
        bounds = None
        if relative is not None and b.interval().low > 0:
            bounds = Drawn(relative, a.draws / b.draws - 1).interval()
        return Compared(
            sharpe=a.minus(b).interval(),
            drawdown=self.drawdown.minus(other.drawdown).interval(),
            above=_share(a.draws > b.draws, known),
            beyond_aim=Drawn(a.value - AIM * b.value, a.draws - AIM * b.draws).interval(),
            aim_reached=_share(reached, known),
            relative=relative,
            relative_interval=bounds,
        )


def figures(
    daily: Mapping[str, Floats],
    block: int = significance.BLOCK_DAYS,
    draws: int = significance.DRAWS,
    seed: int = 0,
) -> dict[str, Figures]:
    """The figures of variants' daily returns (D,), each on the same days, under the same draws of blocks.

    Raises
    ------
    ValueError
        If the variants differ in days.
    """
    lengths = {len(d) for d in daily.values()}
    if len(lengths) != 1:
        raise ValueError(f"variants of {sorted(lengths)} days cannot be paired; play them on the same days")
    chunks: dict[str, list[tuple[Floats, Floats, Floats]]] = {name: [] for name in daily}
    for rows in significance.resampled(lengths.pop(), block, draws, seed):
        for name, series in daily.items():
            chunks[name].append(_of(series[rows]))
    made = {}
    for name, series in daily.items():
        values = [float(v[0]) for v in _of(series[None, :])]
        drawn = [np.concatenate(part) for part in zip(*chunks[name], strict=True)]
        made[name] = Figures(*(Drawn(v, d) for v, d in zip(values, drawn, strict=True)))
    return made


def _of(daily: Floats) -> tuple[Floats, Floats, Floats]:
    """Sharpe ratio, largest drawdown and return of each row of daily returns (N, D)."""
    equity: Floats = np.asarray(np.cumprod(1 + daily, axis=-1), dtype=np.float64)
    peak: Floats = np.maximum(np.maximum.accumulate(equity, axis=-1), 1.0)
    fall: Floats = np.asarray((1 - equity / peak).max(axis=-1), dtype=np.float64)
    growth: Floats = equity[..., -1] - 1
    return significance.annual_sharpe(daily), fall, growth


def _share(came: Flags, known: Flags) -> float:
    return float(came[known].mean()) if known.any() else float("nan")
