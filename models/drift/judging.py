"""Judging: a window of what a set has read and said, and of what came of it, beside the limits of its reference."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from market.candles import Candles, Floats, Ints
from market.timeframes import Timeframe
from models import labels
from models.drift import stability
from models.drift.making import standing
from models.drift.reference import GROUPS, Column, Group, Limits, Reference, group_of, outputs_of
from models.manifest import Manifest

ABSENT = "missing/predictions"
LEAST_RUN = 12
"""Candles without an answer, or in a row without a change, that are taken for an accident: no matter of chance."""
RECENT = 24
"""Candles among which those without an answer are counted."""


@dataclass(frozen=True)
class Watched:
    """Rows of one symbol in time order, as a set was served.

    Attributes
    ----------
    open_time : (n,) int64
        UTC ms.
    close : (n,) float64
        Price after which each was said.
    features : (n, F) float64
        In the manifest's order, NaN where a value is missing.
    outputs : (n, K) float64
        In the order of `reference.outputs_of`, NaN where there was no answer.
    own : int
        How many rows, the last ones, this set answered; before, another one that reads the same features served.
    """

    open_time: Ints
    close: Floats
    features: Floats
    outputs: Floats
    own: int

    def __len__(self) -> int:
        return len(self.open_time)


@dataclass(frozen=True, slots=True)
class Finding:
    """A statistic beside its limit."""

    name: str
    value: float
    limit: float

    @property
    def group(self) -> Group:
        return group_of(self.name)

    @property
    def beyond(self) -> bool:
        """Whether it has drifted."""
        return self.value > self.limit

    def __str__(self) -> str:
        return f"{self.name} {self.value:.3g} (limit {self.limit:.3g})"


@dataclass(frozen=True)
class Judgement:
    """What was found in one window.

    Attributes
    ----------
    findings : tuple of Finding
        The farthest beyond its limit first.
    windows : dict
        Group -> candles of the window it was judged over.
    waiting : dict
        Group -> why it was not judged.
    """

    findings: tuple[Finding, ...]
    windows: dict[str, int]
    waiting: dict[str, str]

    @property
    def beyond(self) -> tuple[Finding, ...]:
        """Those that have drifted."""
        return tuple(f for f in self.findings if f.beyond)


def kept(window: int, manifest: Manifest) -> int:
    """How many rows are needed to judge a window of which every outcome is known, with as much again for holes."""
    return 2 * window + max(manifest.horizons)


def judge(
    reference: Reference, manifest: Manifest, rows: Watched, window: int, groups: tuple[Group, ...] = GROUPS
) -> Judgement:
    """Every statistic that the set has a limit for, over the longest window up to `window` that the rows fill.

    Outcomes are judged over the last rows that have one: a head says something of the bars to come.
    """
    judged = _Judged(reference, manifest, rows)
    able = sorted((told for told in reference.limits if told.window <= window), key=lambda told: -told.window)
    findings: list[Finding] = []
    windows: dict[str, int] = {}
    waiting: dict[str, str] = {}
    for group in groups:
        many = judged.rows_for(group)
        limits = next((told for told in able if group not in told.lacking and told.window <= many), None)
        if group == "dead":
            findings += judged.dead()
            continue
        if limits is None:
            waiting[group] = _why_not(group, able, many, window)
            continue
        windows[group] = limits.window
        found = judged.of(group, limits.window)
        findings += [Finding(name, value, limits.of[name]) for name, value in found if name in limits.of]
    findings.sort(key=lambda f: f.value / f.limit, reverse=True)
    return Judgement(tuple(findings), windows, waiting)


def _why_not(group: Group, able: list[Limits], many: int, window: int) -> str:
    """Why a group cannot be judged."""
    if not able:
        return f"the set has no limits for windows of {window} candles or fewer"
    with_limits = [told for told in able if group not in told.lacking]
    if not with_limits:
        return able[-1].lacking[group]
    return f"{many} of {with_limits[-1].window} {'outcomes' if group == 'outcomes' else 'candles'}"


@dataclass(frozen=True)
class _Judged:
    reference: Reference
    manifest: Manifest
    rows: Watched

    @cached_property
    def outcomes(self) -> dict[str, tuple[Floats, Floats]]:
        """Head -> what was said and what came, of the rows of which both are known."""
        candles, own = self._candles(), len(self.rows) - self.rows.own
        outputs = dict(zip(outputs_of(self.manifest), self.rows.outputs.T, strict=True))
        found = {}
        for head in self.reference.scores:
            horizon, side = int(head.partition("/")[0]), labels.LONG if head.endswith("long") else labels.SHORT
            came = labels.profitable(candles, horizon, side, self.manifest.data.labels.cost)
            known = np.isfinite(came) & np.isfinite(outputs[head])
            known[:own] = False
            found[head] = outputs[head][known], came[known]
        return found

    def rows_for(self, group: Group) -> int:
        """How many rows a group can be judged over."""
        match group:
            case "features":
                return len(self.rows)
            case "predictions" | "dead":
                return self.rows.own
            case "outcomes":
                return min((len(came) for _, came in self.outcomes.values()), default=0)

    def of(self, group: Group, window: int) -> Iterator[tuple[str, float]]:
        """The statistics of a group over a window."""
        rows, reference = self.rows, self.reference
        match group:
            case "features":
                return _moved(group, self.manifest.features.names, rows.features[-window:], reference.features)
            case "predictions":
                return _moved(group, outputs_of(self.manifest), rows.outputs[-window:], reference.predictions)
            case "outcomes":
                return self._scored(window)
        raise AssertionError(f"{group} is not judged over windows")

    def _scored(self, window: int) -> Iterator[tuple[str, float]]:
        for head, (said, came) in self.outcomes.items():
            base, said, came = self.reference.scores[head], said[-window:], came[-window:]
            yield f"brier/{head}", float(np.mean((said - came) ** 2) - base.brier)
            yield f"calibration/{head}", float(abs(np.mean(came - said) - base.gap))

    def _candles(self) -> Candles:
        """Candles that know a close alone, which is all that labels of direction read."""
        nothing, close = np.full(len(self.rows), np.nan), self.rows.close
        timeframe = Timeframe.parse(self.manifest.data.timeframe)
        return Candles(timeframe, self.rows.open_time, close, close, close, close, *[nothing] * 5)

    def dead(self) -> Iterator[Finding]:
        """What does not change any more, or is not there: candles up to now, beside twice the longest in training."""
        outputs, reference = self.rows.outputs[len(self.rows) - self.rows.own :], self.reference
        told = (
            ("features", reference.features, self.manifest.features.names, self.rows.features),
            ("predictions", reference.predictions, outputs_of(self.manifest), outputs),
        )
        for group, columns, names, table in told:
            for name, values in zip(names, table.T, strict=True):
                column = columns.get(name)
                if column is None or not column.edges or not len(values):
                    continue  # what never changed in training cannot stop changing
                limit = max(LEAST_RUN, 2 * column.longest)
                yield Finding(f"unchanged/{group}/{name}", float(standing(values)), float(limit))
        if len(outputs):
            missing = (~np.isfinite(outputs[-RECENT:]).all(axis=1)).sum()
            yield Finding(ABSENT, float(missing), float(LEAST_RUN))


def _moved(
    group: str, names: tuple[str, ...], table: Floats, columns: dict[str, Column]
) -> Iterator[tuple[str, float]]:
    for name, values in zip(names, table.T, strict=True):
        if (told := columns.get(name)) is not None:
            counts = stability.counted(stability.binned(values, told.edges), len(told.shares))
            yield f"{group}/{name}", float(stability.psi(counts, np.array(told.shares)))
