"""The reference: what a set keeps of its training to be compared with later, one small canonical JSON file of the set.

Statistics are named by what they are of: ``features/return_24``, ``predictions/5/long`` (PSI), ``brier/5/long``,
``calibration/5/long``. ``unchanged/…`` counts candles in a row without a change, ``missing/predictions`` those without
an answer: their limits are no matter of chance, and stand in `judging`.
"""

from __future__ import annotations

from typing import Annotated, Literal

import numpy as np
from pydantic import Field, ValidationError, model_validator

from market.candles import Floats
from models.drift import stability
from models.manifest import Manifest, Recorded, canonical
from models.modelset import ModelSet, ModelSetError, digest
from models.parts import Finite, Part, Positive, Share, UtcText

FILE = "drift.json"
WINDOWS = (168, 336, 720)
"""Candles that are looked at together; limits are made for each of these."""
EVERY = 6
"""Candles between two looks that the limits count on; whoever looks less often is alarmed less often."""
PERIOD = 2160
"""Candles over which the false alarm rate is stated: 90 days of hours."""
RATE = 0.10
"""Probability that anything goes beyond its limit in a period without drift, all statistics and looks together."""

Group = Literal["features", "predictions", "outcomes", "dead"]
GROUPS: tuple[Group, ...] = ("features", "predictions", "outcomes", "dead")
SIDES = ("p_long", "p_short")


def group_of(statistic: str) -> Group:
    """The group a statistic belongs to."""
    kind = statistic.partition("/")[0]
    if kind in ("brier", "calibration"):
        return "outcomes"
    if kind in ("unchanged", "missing"):
        return "dead"
    return "features" if kind == "features" else "predictions"


class Column(Part):
    """A feature or an output in the reference."""

    edges: tuple[Finite, ...] = Field(description="Inner edges of its bins: quantiles of training.")
    shares: tuple[Share, ...] = Field(description="Of each bin, the last one that of missing values.")
    longest: Annotated[int, Field(ge=0)] = Field(description="Most candles in a row without a change.")
    memory: Annotated[int, Field(ge=1)] = Field(
        description="How many candles are worth one that knows nothing of the others."
    )

    @model_validator(mode="after")
    def _fits(self) -> Column:
        if len(self.shares) != stability.bins_of(self.edges):
            raise ValueError(f"{len(self.shares)} shares for {stability.bins_of(self.edges)} bins")
        if list(self.edges) != sorted(set(self.edges)):
            raise ValueError("its edges do not rise")
        if min(self.shares) <= 0:
            raise ValueError("an empty bin has a share above 0 all the same")
        return self


class Scored(Part):
    """How a head did on rows its recipe had not seen."""

    brier: Share
    gap: Finite = Field(description="How much oftener it came true than was said.")


class Span(Part):
    """The rows one group was made of."""

    start: UtcText
    end: UtcText
    rows: Annotated[int, Field(ge=1)]


class Limits(Part):
    """Limits for windows of one length."""

    window: Annotated[int, Field(ge=1)]
    of: dict[str, Positive] = Field(description="Statistic -> beyond what it has drifted.")
    lacking: dict[str, str] = Field(default_factory=dict, description="Group -> why it has no limits.")


class Reference(Part):
    """What a set is compared with."""

    format: Literal[1] = 1
    block: Annotated[int, Field(ge=1)] = Field(description="Candles in a block of the bootstrap.")
    draws: Annotated[int, Field(ge=1)] = Field(description="Periods that were drawn.")
    every: Annotated[int, Field(ge=1)] = Field(description="Candles between looks.")
    period: Annotated[int, Field(ge=1)] = Field(description="Candles that the rate counts on.")
    rate: Share = Field(description="Probability of any false alarm in a period.")
    spans: dict[str, Span]
    features: dict[str, Column]
    predictions: dict[str, Column]
    scores: dict[str, Scored]
    limits: tuple[Limits, ...]

    def for_window(self, window: int) -> Limits | None:
        """The limits for windows of so many candles, if there are any."""
        return next((limits for limits in self.limits if limits.window == window), None)


def outputs_of(manifest: Manifest) -> tuple[str, ...]:
    """Names of a set's outputs that are looked at, in order: every head's, the two sides', the regime's."""
    heads = tuple(f"{h}/{side}" for h in manifest.horizons for side in ("long", "short"))
    return (*heads, *SIDES, "regime/low", "regime/high")


def stacked(
    manifest: Manifest, horizons: dict[int, tuple[float, float]], sides: tuple[float, float], regime: tuple[float, ...]
) -> Floats:
    """The outputs of one prediction in the order of `outputs_of`."""
    heads = [p for h in manifest.horizons for p in horizons.get(h, (np.nan, np.nan))]
    return np.array([*heads, *sides, regime[0], regime[2]], dtype=np.float64)


def recorded(content: bytes, rows: int) -> Recorded:
    """The manifest's entry for the file."""
    return Recorded(file=FILE, sha256=digest(content), bytes=len(content), rows=rows)


def to_bytes(reference: Reference) -> bytes:
    """The file's content; the same reference gives the same bytes."""
    return canonical(reference.model_dump(mode="json"))


def read(model_set: ModelSet) -> Reference | None:
    """The reference of a verified set; None if it was made without one.

    Raises
    ------
    ModelSetError
        If the file is not such a reference, or is of other features or outputs than the set.
    """
    manifest = model_set.manifest
    if manifest.drift is None:
        return None
    file, remedy = model_set.path / manifest.drift.file, "train the set again"
    try:
        found = Reference.model_validate_json(model_set.contents[manifest.drift.file], strict=True)
    except ValidationError as error:
        told = error.errors(include_url=False)[0]
        where = ".".join(map(str, told["loc"])) or "the whole"
        raise ModelSetError(f"no reference for drift: {where}: {told['msg']}", file, remedy) from error
    if tuple(found.features) and set(found.features) != set(manifest.features.names):
        raise ModelSetError("its reference for drift is of other features than it reads", file, remedy)
    if set(found.predictions) - set(outputs_of(manifest)):
        raise ModelSetError("its reference for drift is of other outputs than it has", file, remedy)
    return found
