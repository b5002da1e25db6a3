"""Liquidations when the price gaps: real hours have next to no gaps, so they are spliced in, at random hours.

A gap scales every price from an hour on; the next one goes the other way, so that the price comes back and no drift is
added. Where gaps fall knows nothing of positions; each variant meets the same ones.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from backtest.rules_study.accounts import Player, together
from market.aggregate import aggregate
from market.candles import Candles, Floats
from market.instruments import Instrument
from strategy.live_config import Rules

SIZES = (0.06, 0.12, 0.25)
"""Beyond every stop; beyond the liquidation price at 10x; beyond that at 5x."""
EVERY_DAYS = 30
"""One gap in so many days, on average."""


@dataclass(frozen=True)
class Gapped:
    """Means over the seeds for one variant and size of gap."""

    liquidations: float
    stops: float
    trades: float
    total_return: float
    drawdown: float


def play(
    players: Sequence[Player],
    rules: Mapping[str, Sequence[Rules]],
    seeds: int,
    progress: Callable[[int, int], None] | None = None,
) -> dict[float, dict[str, Gapped]]:
    """Every variant through the same gaps: size -> variant -> means."""
    found: dict[float, dict[str, Gapped]] = {}
    for number, size in enumerate(SIZES):
        runs: dict[str, list[tuple[float, ...]]] = {name: [] for name in rules}
        for seed in range(seeds):
            cut = [gapped(player, size, seed) for player in players]
            for name, own in rules.items():
                whole = together([player.play(r) for player, r in zip(cut, own, strict=True)])
                runs[name].append((whole.liquidations, whole.stops, whole.trades, whole.total_return, whole.drawdown))
            if progress:
                progress(number * seeds + seed + 1, len(SIZES) * seeds)
        found[size] = {name: Gapped(*np.mean(rows, axis=0).tolist()) for name, rows in runs.items()}
    return found


def gapped(player: Player, size: float, seed: int) -> Player:
    """The player on prices with gaps of `size` (a fraction), up and down in turn, the first by lot."""
    frame = player.signals.frame
    base = splice(frame.base, frame.instrument, size, seed)
    # decisions are made at the very prices that are played, so the candles before the first bar are left as they were
    decision = aggregate(base, frame.decision.timeframe)
    signals = replace(player.signals, frame=replace(frame, base=base, decision=decision, detail=None))
    return Player.of(signals, player.costs, player.cash)


def splice(candles: Candles, instrument: Instrument, size: float, seed: int) -> Candles:
    """The candles with gaps at the open of random bars, on the instrument's grid; one in `EVERY_DAYS` days."""
    random = np.random.default_rng([seed, round(size * 10_000)])
    bars = len(candles)
    count = max(2, int(bars * candles.timeframe.ms / (EVERY_DAYS * 86_400_000)))
    at = np.sort(random.choice(np.arange(1, bars), size=min(count, bars - 1), replace=False))
    up = (np.arange(len(at)) + random.integers(2)) % 2 == 0
    steps = np.zeros(bars)
    steps[at] = np.where(up, -np.log1p(-size), np.log1p(-size))
    factor: Floats = np.exp(np.cumsum(steps))

    def scaled(prices: Floats) -> Floats:
        return np.asarray(instrument.ticks_column(prices * factor) * float(instrument.tick), dtype=np.float64)

    return replace(
        candles,
        open=scaled(candles.open),
        high=scaled(candles.high),
        low=scaled(candles.low),
        close=scaled(candles.close),
    )
