"""Findings: what one check says, with its figures; and the diagnosis they make together."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal, Protocol

from training.diagnosis.subject import Subject

OK: Literal["ok"] = "ok"
SUSPECT: Literal["suspect"] = "suspect"
BROKEN: Literal["broken"] = "broken"
NOT_KNOWN: Literal["not known"] = "not known"
Status = Literal["ok", "suspect", "broken", "not known"]
Figure = float | int | str | bool | None | list["Figure"] | dict[str, "Figure"]


@dataclass(frozen=True)
class Finding:
    """What a check found.

    Attributes
    ----------
    check : str
        Its name.
    status : {"ok", "suspect", "broken", "not known"}
    sentence : str
        What is so, without a full stop.
    remedy : str
        What to do; empty if there is nothing to do.
    figures : mapping
        What was measured.
    final : bool
        Whether no later check can be asked once this one is broken.
    """

    check: str
    status: Status
    sentence: str
    remedy: str = ""
    figures: Mapping[str, Figure] = field(default_factory=dict)
    final: bool = False

    def as_json(self) -> dict[str, object]:
        """As `--json` prints it; a figure that is no number is null."""
        return {
            "check": self.check,
            "status": self.status,
            "finding": self.sentence,
            "remedy": self.remedy,
            "figures": {name: plain(figure) for name, figure in self.figures.items()},
        }


class Check(Protocol):
    """One question."""

    def __call__(self, subject: Subject) -> Finding:
        """The finding about a subject."""


@dataclass(frozen=True)
class Diagnosis:
    """Every finding about one family of a set, in the order asked; `source` says of which data."""

    model_set: str
    family: str
    findings: tuple[Finding, ...]
    source: str

    @property
    def broken(self) -> Finding | None:
        """The first broken stage."""
        return next((found for found in self.findings if found.status == BROKEN), None)

    @property
    def verdict(self) -> str:
        """One sentence: the first broken stage and its remedy, or that there is none."""
        if self.broken is not None:
            return (
                f"{self.family} is broken, first at {self.broken.check}: {self.broken.sentence}; {self.broken.remedy}."
            )
        asked = [found for found in self.findings if found.status != NOT_KNOWN]
        healthy = f"{self.family} is healthy: nothing is broken in {len(asked)} of {len(self.findings)} checks"
        unknown = len(self.findings) - len(asked)
        if unknown:
            healthy += f" ({unknown} could not be asked)"
        suspects = [found for found in self.findings if found.status == SUSPECT]
        if suspects:
            healthy += "; look at " + ", and at ".join(f"{found.check}: {found.sentence}" for found in suspects)
        return healthy + "."

    def as_json(self) -> dict[str, object]:
        """As `--json` prints it."""
        return {
            "model_set": self.model_set,
            "model": self.family,
            "healthy": self.broken is None,
            "broken": None if self.broken is None else self.broken.check,
            "verdict": self.verdict,
            "data": self.source,
            "checks": [found.as_json() for found in self.findings],
        }


def not_known(check: str, why: str, **figures: Figure) -> Finding:
    """A check that could not be asked."""
    return Finding(check, NOT_KNOWN, why, figures=figures)


def plain(figure: Figure) -> Figure:
    """As JSON can hold it: six digits, and null for what is no number."""
    if isinstance(figure, dict):
        return {name: plain(value) for name, value in figure.items()}
    if isinstance(figure, list):
        return [plain(value) for value in figure]
    if isinstance(figure, float):
        return float(f"{figure:.6g}") if math.isfinite(figure) else None
    return figure
