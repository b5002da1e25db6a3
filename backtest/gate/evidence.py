"""What the gates look at, gathered once: each side's record, its answers on unseen candles, both played for money."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace

import numpy as np
from numpy.typing import NDArray

from backtest.bars import BacktestError, SymbolFrame
from backtest.broker import Costs
from backtest.engine import Result
from backtest.gate.config import GateConfig
from backtest.gate.recipe import Match, Played, Recipe, match
from backtest.inputs import finer_missing, inputs_of
from backtest.playing import play
from backtest.statistics import DAY_MS
from market.candles import VALUES, Candles, Floats, Ints
from market.funding import Funding
from market.instruments import Instrument
from market.timeframes import Timeframe
from models import labels, walkforward
from models.ensemble import Answers
from models.inference import Predictor
from models.inputs import Inputs
from models.manifest import Manifest, utc_ms
from models.prediction import PredictionHistory
from strategy.live_config import Rules

Progress = Callable[[str, int, int], None]
"""Called with (what is being done, done, in all)."""


@dataclass(frozen=True)
class Terms:
    """What a judgement is made under.

    Attributes
    ----------
    rules : Rules
        Of trading.
    costs : Costs
        Fee and slippage.
    cash : int
        Wallet at the start of each play, cash units.
    config : GateConfig
        Thresholds.
    """

    rules: Rules
    costs: Costs
    cash: int
    config: GateConfig


@dataclass(frozen=True)
class Market:
    """One symbol's history: base candles, decision candles made of them, funding, and finer candles to play if any.

    `finer` and `others` are what a set reads besides, as in `backtest.sources.Series`.
    """

    instrument: Instrument
    base: Candles
    candles: Candles
    funding: Funding | None
    detail: Candles | None = None
    finer: Candles | None = None
    others: Mapping[str, Candles] = field(default_factory=dict)

    @property
    def end_ms(self) -> int:
        """Close of the last decision candle."""
        return int(self.candles.open_time[-1]) + self.candles.timeframe.ms

    def inputs(self, manifest: Manifest) -> Inputs:
        """What a set reads of it.

        Raises
        ------
        BacktestError
            If something of it is not there: a set is judged with all its members.
        """
        symbol = self.instrument.symbol
        found = inputs_of(manifest, symbol, self.base, self.funding, self.finer, self.others)
        if manifest.finer is not None and found.finer is None:
            raise BacktestError(finer_missing(manifest, symbol, self.base))
        return replace(found, candles=self.candles)

    def sha256(self) -> str:
        """Of times and values of all its candles and of the funding, however a file stores them."""
        digest = hashlib.sha256()
        for candles in (self.base, self.detail, self.finer, *(c for _, c in sorted(self.others.items()))):
            if candles is None:
                continue
            digest.update(candles.open_time.astype("<i8").tobytes())
            for name in VALUES:
                digest.update(np.ascontiguousarray(getattr(candles, name), dtype="<f8").tobytes())
        if self.funding is not None:
            digest.update(self.funding.time.astype("<i8").tobytes() + self.funding.rate.astype("<i8").tobytes())
        return digest.hexdigest()


@dataclass(frozen=True)
class Unseen:
    """What a set says of the candles neither side was fitted on.

    Attributes
    ----------
    candles : Candles
        U candles.
    ready : (U,) bool
        Where the set can answer.
    rows : (n,) int64
        The same as positions.
    answers : Answers
        At those positions.
    """

    candles: Candles
    ready: NDArray[np.bool_]
    rows: Ints
    answers: Answers

    def paid(self, horizon: int, side: int, cost: float) -> Floats:
        """Whether a side paid (n,), at the answered positions; NaN where unknown."""
        return labels.profitable(self.candles, horizon, side, cost)[self.rows]

    def history(self) -> PredictionHistory:
        """As the backtest reads predictions."""
        count = len(self.candles)
        p_long, p_short = np.full(count, np.nan), np.full(count, np.nan)
        regime = np.full(count, -1, dtype=np.int8)
        p_long[self.rows], p_short[self.rows] = self.answers.p_long, self.answers.p_short
        known = np.where(np.isfinite(self.answers.regime), self.answers.regime, -1.0)
        regime[self.rows] = np.where(self.answers.finite, known.argmax(axis=1), -1)
        return PredictionHistory(self.candles.open_time, p_long, p_short, regime, {}, {})


@dataclass(frozen=True)
class Contender:
    """One side of a judgement.

    Attributes
    ----------
    predictor : Predictor
        The opened set.
    recipe : Recipe or None
        Its record, as far as the market covers it and the other side has it too; None if it recorded none.
    matched : Match or None
        How the whole record lies over the market.
    unseen : Unseen
        Its answers on candles unseen by both.
    judged : Played or None
        The set traded over the judged days; None without such days.
    walked : Played or None
        The recipe traded over the record.
    """

    predictor: Predictor
    recipe: Recipe | None
    matched: Match | None
    unseen: Unseen
    judged: Played | None = None
    walked: Played | None = None

    @property
    def manifest(self) -> Manifest:
        """The set's manifest."""
        return self.predictor.manifest


@dataclass(frozen=True)
class Evidence:
    """Everything the gates look at.

    Attributes
    ----------
    challenger : Contender
        Who wants to trade.
    champion : Contender or None
        Who trades now; None: flat.
    market : Market
        What both are judged on.
    terms : Terms
        And under.
    unseen_ms : int
        Close of the last candle either side was fitted on, a purge later.
    trials : int or None
        How many sets were tried for this market; None if nobody counted.
    variants : (D, V) float64 or None
        Daily returns of the sets the challenger was chosen among, itself one of them.
    """

    challenger: Contender
    champion: Contender | None
    market: Market
    terms: Terms
    unseen_ms: int
    trials: int | None
    variants: Floats | None = None

    @property
    def sides(self) -> tuple[Contender, ...]:
        """Challenger, and champion if there is one."""
        return (self.challenger,) if self.champion is None else (self.challenger, self.champion)

    @property
    def block(self) -> int:
        """Candles in a bootstrap block."""
        return max(1, self.terms.config.bootstrap.block_hours * 3_600_000 // self.market.candles.timeframe.ms)


def fitted_until(manifest: Manifest) -> int:
    """When a set's fitting ended (UTC ms): its slices except the untouched test, and as far as their labels reach."""
    ends = [utc_ms(part.end) for name, part in manifest.data.splits.items() if name != "test"]
    return max(ends) + manifest.data.purge * Timeframe.parse(manifest.data.timeframe).ms


def gather(
    challenger: Predictor,
    champion: Predictor | None,
    market: Market,
    terms: Terms,
    trials: int | None,
    progress: Progress | None = None,
) -> Evidence:
    """Ask both sides about the unseen candles, read their records, and play both for money."""
    predictors = [challenger] if champion is None else [challenger, champion]
    unseen_ms = max(fitted_until(p.manifest) for p in predictors)
    sides = []
    for predictor in predictors:
        _tell(progress, f"asking {predictor.id} about unseen candles")
        recipe = recorded(predictor)
        sides.append(
            Contender(
                predictor,
                recipe,
                None if recipe is None else match(recipe, market.candles),
                _ask(predictor, market, unseen_ms),
            )
        )
    sides = _in_common(sides)
    _tell(progress, "trading on what was said")
    sides = [replace(s, judged=_judge(s, market, terms, unseen_ms), walked=walk(s, market, terms)) for s in sides]
    return Evidence(sides[0], sides[1] if champion else None, market, terms, unseen_ms, trials)


def recorded(predictor: Predictor) -> Recipe | None:
    """The record of a set, None if it has none."""
    if predictor.manifest.walkforward is None:
        return None
    return Recipe.of(predictor.manifest, walkforward.read(predictor.model_set))


def judge_start(market: Market, unseen_ms: int, days: int) -> int:
    """First instant judged: the last `days` of the data, as far as they are unseen; a whole day."""
    start = max(unseen_ms, market.end_ms - days * DAY_MS)
    return -(-start // DAY_MS) * DAY_MS


def walk(side: Contender, market: Market, terms: Terms) -> Played | None:
    """The recipe traded by its record, candle by candle; where nothing was recorded there is no prediction."""
    frame = frame_of(side.recipe, market)
    if frame is None or side.recipe is None:
        return None
    return Played.of(_play(frame, side, terms), side.recipe.open_time)


def frame_of(recipe: Recipe | None, market: Market) -> SymbolFrame | None:
    """What is played of a record; None without one, or where the market has nothing of it."""
    if recipe is None or len(recipe) < 2:
        return None
    first, last = int(recipe.open_time[0]), int(recipe.open_time[-1]) + market.candles.timeframe.ms
    base = market.base.between(first, last)
    if not len(base):
        return None
    return SymbolFrame(market.instrument, base, market.candles, market.funding, recipe.history(), market.detail)


def _ask(predictor: Predictor, market: Market, unseen_ms: int) -> Unseen:
    """Answers on the candles from `unseen_ms` on; those before serve as the past alone."""
    past = unseen_ms - (predictor.manifest.warmup + 1) * market.candles.timeframe.ms
    inputs = market.inputs(predictor.manifest).between(past)
    candles = inputs.candles
    matrix = predictor.matrix(candles, inputs.funding, inputs.companion)
    new = candles.open_time >= unseen_ms
    ready = predictor.ready(candles, matrix)
    rows = np.flatnonzero(ready & new)
    finer = predictor.finer_rows(candles, inputs.finer, inputs.funding)
    answers = predictor.answers(matrix, rows, finer=finer)
    first = int(np.argmax(new)) if new.any() else len(candles)
    return Unseen(candles[first:], np.asarray(ready[first:]), rows - first, answers)


def _in_common(sides: list[Contender]) -> list[Contender]:
    """Each record cut to the rows the market covers, and the other side has too."""
    if any(s.recipe is None for s in sides):
        return sides
    kept: Ints | None = None
    for side in sides:
        assert side.recipe is not None
        assert side.matched is not None
        times = side.recipe.open_time[side.matched.covered]
        kept = times if kept is None else np.intersect1d(kept, times)
    assert kept is not None
    return [replace(s, recipe=s.recipe.at(np.isin(s.recipe.open_time, kept))) for s in sides if s.recipe is not None]


def _judge(side: Contender, market: Market, terms: Terms, unseen_ms: int) -> Played | None:
    start = judge_start(market, unseen_ms, terms.config.sufficiency.judge_days)
    base = market.base.between(start)
    if not len(base) or not len(side.unseen.rows):
        return None
    said = side.unseen.history()
    frame = SymbolFrame(market.instrument, base, market.candles, market.funding, said, market.detail)
    asked = side.unseen.candles.open_time
    return Played.of(_play(frame, side, terms), asked[asked >= start])


def _play(frame: SymbolFrame, side: Contender, terms: Terms) -> Result:
    return play([frame], terms.rules, terms.costs, side.manifest.decision.max_hold_bars, terms.cash)


def _tell(progress: Progress | None, what: str) -> None:
    if progress is not None:
        progress(what, 0, 1)
