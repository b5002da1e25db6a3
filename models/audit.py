"""Audits: whether a set's signals at a bar depend on what came after it, or on where the history begins.

Both are what makes a backtest lie: the first foretells with the future, the second trades otherwise live than tested.
Each audit recomputes everything at random bars and compares with what the whole history gave.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from market.candles import VALUES, Candles, Floats, Ints
from market.funding import Funding
from market.timeframes import utc_text
from models import features
from models.ensemble import Answers
from models.inference import NotReady, Predictor
from models.inputs import FinerRows, Inputs
from models.manifest import REGIMES, head
from models.prediction import Prediction

FEATURES_WITHIN = 1e-9
"""Features may differ by this much: they are rounded to 1e-10."""
SIGNALS_WITHIN = 1e-9
"""Signals are rounded to 1e-9, and two that differ by more are not the same."""
_ROUNDING = 1e-12
_BARS_AFTER = 1000
_WARM_UPS = (1.0, 1.5, 3.0)
"""Lengths of history tried, in lookbacks."""

Progress = Callable[[int, int], None]
"""Called with bars audited, and bars in all."""


class AuditError(Exception):
    """A history that cannot be audited; the message says why, and what to do."""

    exit_code = 7


@dataclass(frozen=True)
class Offence:
    """Something that came out otherwise.

    Attributes
    ----------
    what : str
        ``feature return_5``, ``p_long``, ``5/long``, ``lstm/5/long``, ``regime/low`` or ``regime``.
    bar : int
        Open time of the bar, UTC ms.
    how : str
        What was done to the history.
    expected, found : float
        What the whole history gave, and what this one gave.
    """

    what: str
    bar: int
    how: str
    expected: float
    found: float

    @property
    def difference(self) -> float:
        """How far apart; infinite if one of them has no value."""
        if np.isnan(self.expected) and np.isnan(self.found):
            return 0.0
        apart = abs(self.expected - self.found)
        return float(apart) if np.isfinite(apart) else float("inf")

    def __str__(self) -> str:
        return f"{self.what} at {utc_text(self.bar)}: {self.found:.10g}, was {self.expected:.10g} ({self.how})"

    def as_json(self) -> dict[str, Any]:
        """For a report; what is no number is null."""
        numbers = {name: getattr(self, name) for name in ("expected", "found", "difference")}
        return {"what": self.what, "bar": utc_text(self.bar), "how": self.how} | {
            name: value if np.isfinite(value) else None for name, value in numbers.items()
        }


@dataclass
class Audit:
    """What an audit found.

    Attributes
    ----------
    name : str
        ``look-ahead`` or ``recursion``.
    model_set, symbol : str
        What was audited, and on which market.
    bars : int
        Bars looked at.
    comparisons : int
        Values compared.
    largest : Offence or None
        The largest difference of all, tolerable or not.
    offences : dict
        What differs by too much -> the bar where it differs most.
    """

    name: str
    model_set: str
    symbol: str
    bars: int = 0
    comparisons: int = 0
    largest: Offence | None = None
    offences: dict[str, Offence] = field(default_factory=dict)

    @property
    def clean(self) -> bool:
        """Whether nothing differs by more than it may."""
        return not self.offences

    @property
    def worst(self) -> Offence | None:
        """The worst offender, a feature before the signals that read it; None if clean."""
        return max(self.offences.values(), key=lambda o: (o.what.startswith("feature "), o.difference), default=None)

    def compare(self, bar: int, how: str, expected: Mapping[str, float], found: Mapping[str, float]) -> None:
        """Take down every value that differs from the one expected."""
        self.comparisons += len(expected)
        for what, before in expected.items():
            after = found[what]
            if before == after and self.largest is not None:
                continue
            offence = Offence(what, bar, how, float(before), float(after))
            if self.largest is None or offence.difference > self.largest.difference:
                self.largest = offence
            within = FEATURES_WITHIN if what.startswith("feature ") else SIGNALS_WITHIN
            known = self.offences.get(what)
            if offence.difference > within + _ROUNDING and (known is None or offence.difference > known.difference):
                self.offences[what] = offence

    def as_json(self) -> dict[str, Any]:
        """The whole finding, the worst first."""
        offences = sorted(self.offences.values(), key=lambda o: -o.difference)
        return {
            "audit": self.name,
            "model_set": self.model_set,
            "symbol": self.symbol,
            "clean": self.clean,
            "bars": self.bars,
            "comparisons": self.comparisons,
            "largest_difference": None if self.largest is None else self.largest.as_json(),
            "worst": None if self.worst is None else self.worst.as_json(),
            "offences": [o.as_json() for o in offences],
        }


def look_ahead(
    predictor: Predictor,
    symbol: str,
    candles: Candles,
    funding: Funding | None = None,
    times: int = 50,
    seed: int = 0,
    progress: Progress | None = None,
    *,
    finer: Candles | None = None,
    companion: Candles | None = None,
) -> Audit:
    """Cut the history off at random bars, change everything after them, and demand the same features and signals.

    Parameters
    ----------
    predictor : Predictor
        What is audited.
    candles : Candles
        N candles of its timeframe.
    funding : Funding, optional
        Needed if the set reads funding.
    times : int
        Bars audited; all if there are fewer.
    seed : int
        Of the bars drawn, and of what is put in the future's place.
    finer, companion : Candles, optional
        What the set reads besides; the future of both is changed too.

    Raises
    ------
    AuditError
        If no bar of the history has a signal.
    """
    inputs = Inputs(candles, funding, finer, companion)
    whole = _Whole(predictor, inputs)
    generator = np.random.default_rng(seed)
    audit = Audit("look-ahead", predictor.id, symbol)
    later = max(_BARS_AFTER, 2 * predictor.lookback)
    for row in _drawn(audit, whole.rows[whole.rows < len(candles) - 1], times, generator, progress):
        bar, now = int(candles.open_time[row]), int(candles.open_time[row]) + candles.timeframe.ms
        expected = whole.at(row)
        audit.compare(bar, "cut off after the bar", expected, _at(predictor, inputs.known_at(now), row))
        other = Inputs(
            _changed(candles[: row + 1 + later], row, generator),
            None if funding is None else _changed_funding(funding, now, generator),
            None if finer is None else _changed_after(finer, now, later, generator),
            None if companion is None else _changed_after(companion, now, later, generator),
        )
        audit.compare(bar, "everything after the bar changed", expected, _at(predictor, other, row))
    return audit


def recursion(
    predictor: Predictor,
    symbol: str,
    candles: Candles,
    funding: Funding | None = None,
    times: int = 50,
    seed: int = 0,
    progress: Progress | None = None,
    *,
    finer: Candles | None = None,
    companion: Candles | None = None,
) -> Audit:
    """Let the history begin at other bars, and demand features within 1e-9 and the same signals.

    At each bar drawn: every feature from no more than its own declared lookback; the set from its lookback and from
    longer histories; and the live path, which looks at the last candles alone.

    Parameters and errors as of `look_ahead`.
    """
    inputs = Inputs(candles, funding, finer, companion)
    whole = _Whole(predictor, inputs)
    audit = Audit("recursion", predictor.id, symbol)
    unbroken = features.unbroken(candles)
    longer = whole.rows[unbroken[whole.rows] > predictor.lookback]
    for row in _drawn(audit, longer, times, np.random.default_rng(seed), progress):
        bar, expected = int(candles.open_time[row]), whole.at(row)
        known = inputs.known_at(bar + candles.timeframe.ms)
        for lookback, own in _from_their_lookbacks(predictor, known, whole.finer_row(row) is not None):
            audit.compare(bar, f"its declared lookback of {lookback} candles", {k: expected[k] for k in own}, own)
        for share in _WARM_UPS:
            length = min(int(unbroken[row]), round(predictor.lookback * share))
            part = known.last(length, round(predictor.finer_lookback * share))
            audit.compare(bar, f"{length} candles of history", expected, _at(predictor, part, length - 1))
        audit.compare(bar, "asked live", *_live(predictor, symbol, known, expected))
    return audit


def _from_their_lookbacks(predictor: Predictor, known: Inputs, finer: bool) -> Iterator[tuple[int, dict[str, float]]]:
    """Each declared lookback, and the features of it at the last candle computed from no more than that."""
    manifest = predictor.manifest
    parts = [("feature ", known.candles, manifest.features.names, known.companion)]
    if finer and manifest.finer is not None and known.finer is not None:
        parts.append((_finer_name(predictor), known.finer, manifest.finer.features.names, None))
    for prefix, candles, chosen, companion in parts:
        by_lookback: dict[int, list[str]] = {}
        for feature in features.REGISTRY.chosen(chosen):
            by_lookback.setdefault(feature.lookback, []).append(feature.name)
        for lookback, names in by_lookback.items():
            last = features.compute(candles[-lookback:], known.funding, names, companion)[-1]
            yield lookback, {f"{prefix}{name}": value for name, value in zip(names, last, strict=True)}


class _Whole:
    """What the whole history gives, and the rows at which there is a signal: of all members, where there are such."""

    def __init__(self, predictor: Predictor, inputs: Inputs) -> None:
        candles = inputs.candles
        self._predictor = predictor
        self._matrix = predictor.matrix(candles, inputs.funding, inputs.companion)
        self._finer = predictor.finer_rows(candles, inputs.finer, inputs.funding)
        ready = predictor.ready(candles, self._matrix)
        self.rows = np.flatnonzero(ready)
        if self._finer is not None and (self._finer.at[self.rows] >= 0).any():
            self.rows = self.rows[self._finer.at[self.rows] >= 0]
        elif predictor.finer_lookback and predictor.manifest.ensemble.dead_member == "refuse":
            raise AuditError(
                f"no candle has the {predictor.finer_lookback} {predictor.finer_timeframe} candles before its close "
                f"that this set reads; give them"
            )
        if not len(self.rows):
            why = predictor.reasons(candles, self._matrix, np.flatnonzero(~ready))
            told = "; ".join(f"{reason} ({count})" for reason, count in why.items()) or "it is empty"
            raise AuditError(
                f"none of the history's {len(candles)} candles has a signal: {told}; give a longer history, "
                f"or the columns, the funding and the companion this model set reads"
            )

    def finer_row(self, row: int) -> int | None:
        """The row of the finer matrix that belongs to a row, None if there is none."""
        return None if self._finer is None or self._finer.at[row] < 0 else int(self._finer.at[row])

    def at(self, row: int) -> dict[str, float]:
        """Features and signals at a row."""
        return _named(self._predictor, self._matrix, self._finer, row)


def _drawn(
    audit: Audit, rows: Ints, times: int, generator: np.random.Generator, progress: Progress | None
) -> Iterator[int]:
    """Some of the rows, in time order, counted as they are audited."""
    if not len(rows):
        raise AuditError("no bar has enough history around it to be audited; give a longer history")
    chosen = np.sort(generator.choice(rows, size=min(times, len(rows)), replace=False))
    for done, row in enumerate(chosen, 1):
        yield int(row)
        audit.bars = done
        if progress is not None:
            progress(done, len(chosen))


def _at(predictor: Predictor, inputs: Inputs, row: int) -> dict[str, float]:
    matrix = predictor.matrix(inputs.candles, inputs.funding, inputs.companion)
    return _named(predictor, matrix, predictor.finer_rows(inputs.candles, inputs.finer, inputs.funding), row)


def _named(predictor: Predictor, matrix: Floats, finer: FinerRows | None, row: int) -> dict[str, float]:
    """Features of every row the members read (the last one by its plain name), and all signals."""
    manifest = predictor.manifest
    found = _read("feature ", manifest.features.names, manifest.window, matrix, row)
    if manifest.finer is not None and finer is not None:
        at = int(finer.at[row])
        found |= _read(_finer_name(predictor), manifest.finer.features.names, manifest.finer_window, finer.matrix, at)
    first = row - manifest.window + 1
    complete = first >= 0 and bool(np.isfinite(matrix[first : row + 1]).all())
    rows = np.array([row], dtype=np.int64)
    told = predictor.answers(matrix, rows, finer=finer) if complete else _silent(predictor)
    return found | {key: float(value[0]) for key, value in told.named().items()} | {"regime": _class(told.regime[0])}


def _read(prefix: str, names: Sequence[str], window: int, matrix: Floats, row: int) -> dict[str, float]:
    """Features of a row and of the `window - 1` before it, NaN where there is no such row."""
    found: dict[str, float] = {}
    for back in range(window):
        values = matrix[row - back] if row >= back else np.full(len(names), np.nan)
        before = f", {back} bars before" if back else ""
        found |= {f"{prefix}{name}{before}": value for name, value in zip(names, values, strict=True)}
    return found


def _finer_name(predictor: Predictor) -> str:
    return f"feature {predictor.finer_timeframe} "


def _silent(predictor: Predictor) -> Answers:
    """No answer, where a feature has lost its value."""
    none = np.full(1, np.nan)
    heads = {head(h, side): none for h in predictor.manifest.horizons for side in (1, -1)}
    members = {f"{m.name}/{key}": none for m in predictor.manifest.models if m.role == "direction" for key in m.heads}
    return Answers(none, none, heads, np.full((1, len(REGIMES)), np.nan), members, np.zeros(1, dtype=bool))


def _live(
    predictor: Predictor, symbol: str, known: Inputs, expected: dict[str, float]
) -> tuple[dict[str, float], dict[str, float]]:
    """The signals expected, and those of the live path."""
    signals = {key: value for key, value in expected.items() if not key.startswith("feature ")}
    try:
        said = predictor.predict(symbol, known.candles, known.funding, finer=known.finer, companion=known.companion)
        return signals, _signals(said)
    except NotReady:
        return signals, dict.fromkeys(signals, float("nan"))


def _signals(said: Prediction) -> dict[str, float]:
    heads = {head(h, side): p[at] for h, p in said.horizons.items() for at, side in enumerate((1, -1))}
    regimes = {f"regime/{name}": p for name, p in zip(REGIMES, said.regime_probabilities, strict=True)}
    both = {"p_long": said.p_long, "p_short": said.p_short}
    return both | heads | regimes | said.members | {"regime": float(said.regime)}


def _class(probabilities: Floats) -> float:
    return float(probabilities.argmax()) if np.isfinite(probabilities).all() else float("nan")


def _changed(candles: Candles, row: int, generator: np.random.Generator) -> Candles:
    """The candles with everything after `row` replaced: other prices, other volumes, sound candles still."""
    count = len(candles) - row - 1
    factor = np.ones(len(candles))
    factor[row + 1 :] = np.exp(generator.normal(0.05, 0.05) + np.cumsum(generator.normal(0, 0.03, count)))
    columns = {name: getattr(candles, name) * factor for name in VALUES[:4]}
    bought = np.ones(len(candles))
    bought[row + 1 :] = generator.uniform(0.1, 0.9, count)
    more = np.where(factor == 1, 1.0, np.exp(generator.normal(0, 1, len(candles))))
    columns |= {name: getattr(candles, name) * more for name in VALUES[4:7]}
    columns |= {name: getattr(candles, name) * more * bought for name in VALUES[7:]}
    return Candles(candles.timeframe, candles.open_time, *(columns[name] for name in VALUES))


def _changed_after(candles: Candles, now: int, most: int, generator: np.random.Generator) -> Candles:
    """The candles with the next `most` after those closed at `now` (UTC ms) replaced, and none beyond."""
    closed = len(candles.between(None, now - candles.timeframe.ms + 1))
    return _changed(candles[: closed + most], closed - 1, generator)


def _changed_funding(funding: Funding, now: int, generator: np.random.Generator) -> Funding:
    later = funding.time >= now
    return Funding(
        funding.time, np.where(later, funding.rate + generator.integers(1, 50_000, len(later)), funding.rate)
    )
