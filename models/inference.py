"""Inference: a verified model set asked about candles, the last one live or every one of a history, by the same steps.

`predict` computes the features of the last `lookback` candles, and of the last `finer_lookback` finer ones, and asks
the members about the last row; `predict_history` does so for all rows at once. A test holds them equal to the last
digit.
"""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from market.candles import Candles, Floats, Ints
from market.funding import Funding
from market.timeframes import Timeframe
from models import features, golden
from models.ensemble import Answers, ask, joined, logits_of
from models.inputs import FinerRows, closing_with
from models.manifest import Manifest, head, utc_ms
from models.members import Provider, open_members
from models.modelset import ModelSet
from models.prediction import Prediction, PredictionHistory, Progress

_CHUNK = 2048


class NotReady(Exception):
    """No prediction can be made of these candles; `reason` says why, in words that can be counted."""

    def __init__(self, symbol: str, reason: str) -> None:
        self.symbol, self.reason = symbol, reason
        super().__init__(f"{symbol}: no prediction: {reason}")


@dataclass(frozen=True)
class Answered:
    """What was read at the close of a candle, and what was said of it.

    Attributes
    ----------
    row : (F,) float64
        The last row of the feature matrix, NaN where a value cannot be known.
    said : Prediction or NotReady
        The outlook, or why there is none.
    """

    row: Floats
    said: Prediction | NotReady


class Predictor:
    """A model set that answers.

    Attributes
    ----------
    model_set : ModelSet
        What answers.
    providers : dict
        Member -> where it runs, ``cpu`` or ``cuda``.
    """

    def __init__(self, model_set: ModelSet, provider: Provider = "auto") -> None:
        self.model_set = model_set
        self._members = open_members(model_set.manifest, model_set.contents, model_set.path, provider)
        self.providers = {name: member.provider for name, member in self._members.items()}
        golden.check(self.manifest, self._members, self.model_set.path)

    @classmethod
    def load(cls, source: Path | str | ModelSet, provider: Provider = "auto") -> Predictor:
        """Open the set in a folder (verified first), or one verified before.

        Parameters
        ----------
        source : Path or ModelSet
            ``models/sets/<id>``; `models.modelset.resolve` finds it by name.
        provider : {"auto", "cpu", "cuda"}
            Where networks run. ``auto`` is the GPU if onnxruntime has one, else the CPU; ``cuda`` insists.

        Raises
        ------
        ModelSetError
            If the set cannot be used, or answers its golden inputs otherwise than when it was made.
        """
        return cls(source if isinstance(source, ModelSet) else ModelSet.load(source), provider)

    @property
    def manifest(self) -> Manifest:
        """The set's manifest."""
        return self.model_set.manifest

    @property
    def id(self) -> str:
        """The set's id."""
        return self.manifest.id

    @property
    def timeframe(self) -> Timeframe:
        """Of the candles it reads."""
        return Timeframe.parse(self.manifest.data.timeframe)

    @property
    def lookback(self) -> int:
        """Candles needed for one prediction, without a hole, the last one included."""
        return self.manifest.lookback

    @property
    def finer_timeframe(self) -> Timeframe | None:
        """Of the finer candles it reads besides; None if it reads none."""
        return self.manifest.finer_timeframe

    @property
    def finer_lookback(self) -> int:
        """Finer candles needed for one prediction with all members, without a hole, the last one included."""
        return self.manifest.finer_lookback

    def companion_of(self, symbol: str) -> str | None:
        """The symbol whose candles it reads beside this one's; None if it reads nobody's."""
        return self.manifest.companion_of(symbol)

    @property
    def max_hold_bars(self) -> int:
        """The longest holding, in candles, that its horizons speak for."""
        return self.manifest.decision.max_hold_bars

    @property
    def expires_ms(self) -> int:
        """When entries with this set stop (UTC ms)."""
        return utc_ms(self.manifest.expires)

    def predict(
        self,
        symbol: str,
        candles: Candles,
        funding: Funding | None = None,
        *,
        finer: Candles | None = None,
        companion: Candles | None = None,
    ) -> Prediction:
        """The outlook at the close of the last candle.

        Parameters
        ----------
        candles : Candles
            Closed candles, at least `lookback`; earlier ones are not looked at.
        funding : Funding, optional
            Instants of the last days; needed if the set reads funding.
        finer : Candles, optional
            Of the set's finer timeframe, at least `finer_lookback` up to that close; later ones are not looked at.
        companion : Candles, optional
            Of the companion symbol; needed if the set compares two.

        Raises
        ------
        NotReady
            If no prediction can be made; nothing is filled in or guessed.
        """
        said = self.answer(symbol, candles, funding, finer=finer, companion=companion).said
        if isinstance(said, NotReady):
            raise said
        return said

    def answer(
        self,
        symbol: str,
        candles: Candles,
        funding: Funding | None = None,
        *,
        finer: Candles | None = None,
        companion: Candles | None = None,
    ) -> Answered:
        """As `predict`, with the row of features that was read; why there is no prediction is told, not raised."""
        self._check_timeframe(candles)
        window = candles[-self.lookback :]
        if not len(window):
            nothing = np.full(len(self.manifest.features.names), np.nan)
            return Answered(nothing, NotReady(symbol, _too_few(self.lookback)))
        matrix = self.matrix(window, funding, companion)
        last = len(window) - 1
        if not self.ready(window, matrix)[last]:
            refusal = NotReady(symbol, next(iter(self.reasons(window, matrix, np.array([last])))))
            return Answered(matrix[last], refusal)
        near = self._near(window[last:], finer)
        answers = ask(
            self.manifest, self._members, matrix, np.array([last], dtype=np.int64),
            self.finer_rows(window, near, funding),
        )  # fmt: skip
        if not answers.finite[0]:
            return Answered(matrix[last], NotReady(symbol, next(iter(self.unanswered(answers)))))
        return Answered(matrix[last], self._prediction(symbol, int(window.open_time[-1]), answers))

    def predict_history(
        self,
        symbol: str,
        candles: Candles,
        funding: Funding | None = None,
        progress: Progress | None = None,
        threads: int = 1,
        *,
        finer: Candles | None = None,
        companion: Candles | None = None,
    ) -> PredictionHistory:
        """The outlook at the close of every candle; the first `lookback` - 1 have none.

        `threads` ask about parts of the history side by side; the answers do not depend on how many there are.
        """
        matrix = self.matrix(candles, funding, companion)
        ready = self.ready(candles, matrix)
        rows = np.flatnonzero(ready)
        count = len(candles)
        both = {h: np.full((count, 2), np.nan) for h in self.manifest.horizons}
        p_long, p_short = np.full(count, np.nan), np.full(count, np.nan)
        regime = np.full(count, -1, dtype=np.int8)
        refusals = self.reasons(candles, matrix, np.flatnonzero(~ready))
        without: dict[str, int] = {}
        done = 0
        for part, answers in self._asked(matrix, rows, threads, self.finer_rows(candles, finer, funding)):
            p_long[part], p_short[part] = answers.p_long, answers.p_short
            regime[part] = np.where(answers.finite, _likeliest(answers.regime), -1)
            for h, columns in both.items():
                columns[part] = np.column_stack([answers.heads[head(h, side)] for side in (1, -1)])
            for reason, many in self.unanswered(answers).items():
                refusals[reason] = refusals.get(reason, 0) + many
            for family, many in answers.without().items():
                without[family] = without.get(family, 0) + many
            done += len(part)
            if progress is not None:
                progress(done, len(rows))
        return PredictionHistory(candles.open_time, p_long, p_short, regime, both, refusals, without)

    def _prediction(self, symbol: str, open_time: int, answers: Answers) -> Prediction:
        low, mid, high = (float(p) for p in answers.regime[0])
        horizons = {
            h: (float(answers.heads[head(h, 1)][0]), float(answers.heads[head(h, -1)][0]))
            for h in self.manifest.horizons
        }
        return Prediction(
            symbol=symbol,
            open_time=open_time,
            p_long=float(answers.p_long[0]),
            p_short=float(answers.p_short[0]),
            regime=int(_likeliest(answers.regime)[0]),
            regime_probabilities=(low, mid, high),
            horizons=horizons,
            members={name: float(values[0]) for name, values in answers.members.items()},
            without=tuple(answers.without()),
        )

    def matrix(self, candles: Candles, funding: Funding | None = None, companion: Candles | None = None) -> Floats:
        """The feature matrix (N, F) its members read of these candles, unscaled."""
        self._check_timeframe(candles)
        return features.compute(candles, funding, self.manifest.features.names, companion)

    def finer_rows(self, candles: Candles, finer: Candles | None, funding: Funding | None = None) -> FinerRows | None:
        """What its members of a finer timeframe read at each of these candles; None if there is nothing to read."""
        return finer_rows(self.manifest, candles, finer, funding)

    def _near(self, last: Candles, finer: Candles | None) -> Candles | None:
        """The finer candles up to the close of the last candle, as many as are needed."""
        if finer is None or not self.finer_lookback:
            return None
        close = int(last.open_time[-1]) + last.timeframe.ms
        return finer.between(None, close - finer.timeframe.ms + 1)[-self.finer_lookback :]

    def answers(
        self,
        matrix: Floats,
        rows: Ints,
        progress: Progress | None = None,
        threads: int = 1,
        *,
        finer: FinerRows | None = None,
    ) -> Answers:
        """Everything the set says of the given rows of its feature matrix, each of which must be `ready`.

        `finer` is what its members of a finer timeframe read; without it, or where it has no row, they are dead.
        """
        parts, done = [], 0
        for part, answers in self._asked(matrix, rows, threads, finer):
            parts.append(answers)
            done += len(part)
            if progress is not None:
                progress(done, len(rows))
        return joined(parts)

    def logits(self, matrix: Floats, rows: Ints, finer: FinerRows | None = None) -> dict[str, Floats]:
        """Every member's own logits by head, before anything is fused: ``lstm/12/long`` -> (n,)."""
        return logits_of(self._members, matrix, rows, finer)

    def _asked(
        self, matrix: Floats, rows: Ints, threads: int, finer: FinerRows | None
    ) -> Iterator[tuple[Ints, Answers]]:
        """Parts of the rows with the answers about them, in order; one empty part if there are no rows."""
        parts = [rows[at : at + _CHUNK] for at in range(0, max(len(rows), 1), _CHUNK)]
        with ThreadPoolExecutor(threads) as pool:
            told = pool.map(lambda part: ask(self.manifest, self._members, matrix, part, finer), parts)
            yield from zip(parts, told, strict=True)

    def ready(self, candles: Candles, matrix: Floats) -> np.ndarray[tuple[int, ...], np.dtype[np.bool_]]:
        """Rows (N,) whose whole lookback is there, so that the members can be asked about them."""
        whole = features.unbroken(candles) >= self.lookback
        return np.asarray(whole & features.rows_ready(matrix, self.manifest.window))

    def reasons(self, candles: Candles, matrix: Floats, rows: Ints) -> dict[str, int]:
        """Why these rows are not ready -> how many."""
        counts: dict[str, int] = {}
        early = rows < self.lookback - 1
        broken = ~early & (features.unbroken(candles)[rows] < self.lookback)
        if early.any():
            counts[_too_few(self.lookback)] = int(early.sum())
        if broken.any():
            counts[f"a hole in the last {self.lookback} candles"] = int(broken.sum())
        left = rows[~early & ~broken]
        missing = np.vstack([np.zeros((1, matrix.shape[1])), np.cumsum(~np.isfinite(matrix), axis=0)])
        in_window = missing[left + 1] - missing[left + 1 - self.manifest.window] > 0
        first, many = np.unique(in_window.argmax(axis=1), return_counts=True)
        for column, number in zip(first, many, strict=True):
            feature = features.REGISTRY.chosen((self.manifest.features.names[column],))[0]
            reason = f"no {' or '.join(feature.needs)}" if feature.needs else f"no value for {feature.name}"
            counts[reason] = counts.get(reason, 0) + int(number)
        return counts

    def unanswered(self, answers: Answers) -> dict[str, int]:
        """Why rows that were asked about have no answer -> how many."""
        counts: dict[str, int] = {}
        lost = ~answers.finite
        dead = list(answers.dead)
        for silent in np.column_stack(list(answers.dead.values()))[lost].tolist():
            families = [name for name, gone in zip(dead, silent, strict=True) if gone]
            reason = self._silence(families)
            counts[reason] = counts.get(reason, 0) + 1
        return counts

    def _silence(self, families: list[str]) -> str:
        """Why there is no answer where these families gave none."""
        if len(families) > 1:
            return f"{len(families)} families of members gave no finite number: {', '.join(families)}"
        finer = {m.family for m in self.manifest.models if m.timeframe is not None}
        if families and families[0] in finer:
            return (
                f"{families[0]} gave no number: it needs {self.finer_lookback} {self.finer_timeframe} candles in a row"
            )
        return NO_NUMBER

    def _check_timeframe(self, candles: Candles) -> None:
        if candles.timeframe != self.timeframe:
            raise ValueError(f"model set {self.id} reads {self.timeframe} candles, these are {candles.timeframe}")


NO_NUMBER = "a member gave no finite number"


def finer_rows(
    manifest: Manifest, candles: Candles, finer: Candles | None, funding: Funding | None = None
) -> FinerRows | None:
    """What members of a finer timeframe read at each of these candles; None if there is nothing to read."""
    wanted = manifest.finer
    if wanted is None or finer is None:
        return None
    if finer.timeframe != manifest.finer_timeframe:
        raise ValueError(f"model set {manifest.id} reads finer candles of {wanted.timeframe}, not of {finer.timeframe}")
    matrix = features.compute(finer, funding, wanted.features.names)
    ready = features.unbroken(finer) >= manifest.finer_lookback
    ready &= features.rows_ready(matrix, manifest.finer_window)
    at = closing_with(candles, finer)
    return FinerRows(matrix, np.where((at >= 0) & ready[at], at, -1) if len(finer) else at)


def _likeliest(regime: Floats) -> Ints:
    return np.asarray(np.where(np.isfinite(regime), regime, -1.0).argmax(axis=1), dtype=np.int64)


def _too_few(lookback: int) -> str:
    return f"fewer than {lookback} candles"
