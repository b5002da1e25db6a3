"""The section `drift` of a daemon's configuration: what is looked at, and what is done about it."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field, field_validator

from daemon.section import Section
from models.drift.judging import Finding
from models.drift.reference import GROUPS, WINDOWS, Group

Looks = Annotated[int, Field(ge=1, le=1_000)]


class Drift(Section):
    """What is looked at for drift, how often, and what is done about it: shrink, then stop entries, then retrain."""

    window: int = Field(
        720, description="Candles looked at together, the longest: 168, 336 or 720; shorter ones until it is filled."
    )
    every: Annotated[int, Field(ge=1, le=1_000)] = Field(
        6, description="Candles between looks; not fewer than the set's limits count on."
    )
    in_a_row: Looks = Field(3, description="Looks beyond a limit, one after another, that raise the level by one.")
    calm_in_a_row: Looks = Field(8, description="Looks within all limits, one after another, that lower it by one.")
    statistics: tuple[Group, ...] = Field(
        GROUPS,
        min_length=1,
        description="What counts: features and predictions (PSI), outcomes (Brier, calibration), dead (unchanged, "
        "missing). The others are recorded all the same.",
    )
    ignore: tuple[Annotated[str, Field(pattern=r"^[a-z_]+/[\w/]+$")], ...] = Field(
        (),
        description="Statistics that do not count, by name, such as features/trades_ratio_24; they are recorded.",
    )
    shrink: Annotated[float, Field(gt=0, le=1)] = Field(
        0.5, description="Share of their size that entries get from the first level on."
    )
    retrain: bool = Field(True, description="Ask for a new set at the third level, where retraining is configured.")
    retrain_again: Annotated[int, Field(ge=1)] = Field(
        336, description="Candles after which it is asked for again, if none came into service meanwhile."
    )

    @field_validator("window")
    @classmethod
    def _has_limits(cls, window: int) -> int:
        if window not in WINDOWS:
            raise ValueError(f"sets have limits for windows of {', '.join(map(str, WINDOWS))} candles, not of {window}")
        return window

    def counts(self, finding: Finding) -> bool:
        """Whether a statistic counts."""
        return finding.group in self.statistics and finding.name not in self.ignore

    @property
    def size_bps(self) -> int:
        """The share that entries get, 1e-4."""
        return round(self.shrink * 10_000)
