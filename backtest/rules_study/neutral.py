"""What the sizing does by itself: entries drawn at random, as often and for as long as the signals', told no signal.

With neither fee nor slippage what is left is whether exposure scaled by volatility paid on these prices. Sides are
drawn (as many longs as the signals took), or all long, which is what holding the coin now and then would have done, or
right more often than not, by knowing what comes: no market gives that, but only an edge has a Sharpe ratio to raise.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from backtest import significance
from backtest.broker import Costs
from backtest.rules_study.accounts import Account, Player, returns, shared_days
from market.candles import Floats, Ints
from models.prediction import PredictionHistory
from strategy.live_config import PPB, Rules

HIT = 0.6
"""How often a side is right where it knows what comes."""
DRAWN, LONG, RIGHT = "drawn sides", "all long", f"right {HIT:.0%} of the time"
KINDS = (DRAWN, LONG, RIGHT)
FREE = Costs(0, 0)
"""Without fee and slippage; funding is paid all the same."""


@dataclass(frozen=True)
class Neutral:
    """Sharpe ratios of random entries, one a seed.

    Attributes
    ----------
    sharpes : dict
        Variant -> (seeds,) float64.
    """

    sharpes: Mapping[str, Floats]

    def difference(self, name: str, other: str) -> Floats:
        """Of two variants, seed by seed: the same entries."""
        return self.sharpes[name] - self.sharpes[other]


def play(
    players: Sequence[Player],
    like: Sequence[Account],
    rules: Mapping[str, Sequence[Rules]],
    seeds: int,
    progress: Callable[[int, int], None] | None = None,
) -> dict[tuple[str, bool], Neutral]:
    """Random entries under each variant's rules; keys are (kind, whether costs are paid).

    Parameters
    ----------
    players : sequence of Player
        The symbols.
    like : sequence of Account
        Each symbol's account whose number of entries and holding are copied.
    rules : dict
        Variant -> rules of each symbol.
    seeds : int
        How often it is drawn.
    """
    found: dict[tuple[str, bool], dict[str, list[float]]] = {
        (kind, paid): {name: [] for name in rules} for kind in KINDS for paid in (True, False)
    }
    for seed in range(seeds):
        for kind in KINDS:
            drawn = [
                replace_signals(player, entries(player, account, r, kind, seed))
                for player, account, r in zip(players, like, next(iter(rules.values())), strict=True)
            ]
            for paid in (True, False):
                for name, own in rules.items():
                    found[kind, paid][name].append(_sharpe(drawn, own, None if paid else FREE))
        if progress:
            progress(seed + 1, seeds)
    return {key: Neutral({n: np.array(v) for n, v in of.items()}) for key, of in found.items()}


def entries(player: Player, like: Account, rules: Rules, kind: str, seed: int) -> PredictionHistory:
    """Predictions that make the rules enter at random, hold as long as `like` did, and leave.

    The candles between entries are shared out at random. While a position is to be held its side's probability stays
    between the thresholds of exit and entry, so that nothing enters again after a stop.
    """
    told = player.signals.frame.predictions
    length, bars = player.signals.frame.decision.timeframe.ms, len(told.open_time)
    random = np.random.default_rng([seed, KINDS.index(kind)])
    order = random.permutation(like.trades)
    holds = np.maximum(1, np.rint(np.array(like.holds_ms, dtype=np.float64) / length)).astype(np.int64)[order]
    sides = np.array([side for _, side in like.entries], dtype=np.int64)
    idle = max(bars - int((holds + 1).sum()), 0)
    at = np.sort(random.integers(0, idle + 1, len(holds))) + np.concatenate([[0], np.cumsum(holds + 1)[:-1]])
    sides = np.ones_like(sides) if kind == LONG else random.permutation(sides)
    if kind == RIGHT:
        sides = _came(player, at, holds) * np.where(random.random(len(at)) < HIT, 1, -1)
    p = {1: np.zeros(bars), -1: np.zeros(bars)}
    between = {1: (rules.long_entry + rules.long_exit) / 2 / PPB, -1: (rules.short_entry + rules.short_exit) / 2 / PPB}
    for first, hold, side in zip(at.tolist(), holds.tolist(), sides.tolist(), strict=True):
        p[side][first : first + hold] = between[side]
        p[side][first : first + 1] = 1.0
    return replace(told, p_long=p[1], p_short=p[-1])


def _came(player: Player, at: Ints, holds: Ints) -> Ints:
    """The side that was right (n,): the sign of the close's move while held."""
    frame = player.signals.frame
    closes, times = frame.decision.close, frame.decision.open_time
    where = np.searchsorted(times, frame.predictions.open_time[np.minimum(at, len(frame.predictions.open_time) - 1)])
    later = np.minimum(where + holds, len(closes) - 1)
    return np.where(closes[later] >= closes[np.minimum(where, len(closes) - 1)], 1, -1).astype(np.int64)


def replace_signals(player: Player, predictions: PredictionHistory) -> Player:
    """The player with other predictions."""
    signals = replace(player.signals, frame=replace(player.signals.frame, predictions=predictions))
    return Player.of(signals, player.costs, player.cash)


def _sharpe(players: Sequence[Player], rules: Sequence[Rules], costs: Costs | None) -> float:
    """Of the accounts side by side, on their judged days; NaN where nothing changes."""
    days: list[Ints] = [p.days for p in players]
    shared = shared_days(days)
    equity = np.zeros(len(shared))
    judged = np.zeros(len(shared), dtype=np.bool_)
    for player, own, day in zip(players, rules, days, strict=True):
        equity += player.daily(own, costs)[np.searchsorted(day, shared)]
        judged |= np.isin(shared, player.signals.judged_days)
    start = float(sum(p.cash for p in players))
    return float(significance.annual_sharpe(returns(equity, start)[judged]))
