"""Units: the pieces a training run fans out into, one fit each, and what a family of members says when all are done.

A unit is one seed of one family in one fold, or the fit that is kept. It depends on its context alone, so it gives the
same numbers in this process, in another one and on another machine; whether it was done before is a matter of its key.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray
from pydantic import JsonValue

from market.candles import Floats
from models.golden import Trained
from models.manifest import Member, Scaler
from training.folds import FINISHED, Folds
from training.member_spec import LightGBMSpec
from training.problem import Problem
from training.spec import TrainingSpec


@dataclass(frozen=True)
class Unit:
    """One fit.

    Attributes
    ----------
    family : str
        ``lightgbm``, ``lstm``, ``regime_lstm``, …
    part : int
        Number of the fold, or `FINISHED`.
    seed : int
        Which of the family's seeds, from 0.
    """

    family: str
    part: int
    seed: int = 0

    def __str__(self) -> str:
        where = "final" if self.part == FINISHED else f"fold {self.part + 1}"
        return f"{self.family} {where}" + (f" seed {self.seed + 1}" if self.seed else "")


@dataclass(frozen=True)
class Context:
    """What every unit of a run looks at.

    Attributes
    ----------
    threads : int
        For LightGBM and torch, in each unit.
    device : str
        ``cpu`` or ``cuda``, for networks.
    teacher : (N, H) float64 or None
        Logits the student learns from; NaN where there are none.
    found : LightGBMSpec or None
        Settings of the direction's boosters that a search has found.
    """

    problem: Problem
    spec: TrainingSpec
    folds: Folds
    threads: int = 1
    device: str = "cpu"
    teacher: Floats | None = None
    found: LightGBMSpec | None = None


@dataclass(frozen=True)
class Fit:
    """What came of a unit; plain arrays, bytes and JSON, so that it can be sent and kept.

    Attributes
    ----------
    answers : (n, K) float64
        For the judged rows of its part, NaN where it has no answer; empty where the saved file answers instead.
    facts : dict
        How the fitting went.
    files : dict
        Boosters as LightGBM text, by name.
    weights : dict
        A finished network's parameters by name.
    """

    answers: Floats
    facts: dict[str, JsonValue] = field(default_factory=dict)
    files: dict[str, bytes] = field(default_factory=dict)
    weights: dict[str, NDArray[Any]] = field(default_factory=dict)

    def summary(self) -> str:
        """In a few words, for the line of progress."""
        if "best_epoch" in self.facts:
            losses: Any = self.facts["stop_loss"]
            best: Any = self.facts["best_epoch"]
            return f"best epoch {best} of {len(losses)}, early-stop loss {losses[best - 1]}"
        return ", ".join(f"{name} {value}" for name, value in self.facts.items() if isinstance(value, int))

    def content(self) -> dict[str, Any]:
        """As it is kept."""
        files = {f"files/{name}": data for name, data in self.files.items()}
        weights = {f"weights/{name}": value for name, value in self.weights.items()}
        return {"answers": self.answers, "facts": self.facts, **files, **weights}

    @classmethod
    def of(cls, content: Mapping[str, Any]) -> Fit:
        """As it was kept."""

        def under(folder: str) -> dict[str, Any]:
            return {name.removeprefix(folder): value for name, value in content.items() if name.startswith(folder)}

        return cls(content["answers"], content["facts"], under("files/"), under("weights/"))


Fits = Mapping[Unit, Fit]


@dataclass(frozen=True)
class File:
    """A model file: what the manifest says of it, and its bytes."""

    member: Member
    content: bytes


@dataclass(frozen=True)
class Answers:
    """What one family of members says, and its files.

    Attributes
    ----------
    names : (H,) tuple of str
        Name of the member behind each head's column.
    unseen : (N, H) float64
        Out-of-fold logits on the train slice.
    final : (N, H) float64
        Logits of the finished member, from the early-stop slice on.
    files : tuple of File
        What is saved.
    facts : dict
        For the evidence: how the fitting went.
    scaler : Scaler or None
        How the member's inputs are scaled, if they are.
    trained : callable or None
        The network before it was exported, if there is one: logits for rows of an unscaled feature matrix.
    """

    names: tuple[str, ...]
    unseen: Floats
    final: Floats
    files: tuple[File, ...]
    facts: dict[str, JsonValue] = field(default_factory=dict)
    scaler: Scaler | None = None
    trained: Trained | None = None

    @property
    def family(self) -> str:
        """What its members are called together: ``lightgbm``, ``lstm``."""
        return self.names[0].partition("_")[0]


class Family(Protocol):
    """A kind of member: how one unit of it is fitted."""

    @property
    def name(self) -> str:
        """As units, the manifest and the evidence call it."""

    def seeds(self, spec: TrainingSpec) -> int:
        """How many units each part takes."""

    def settings(self, context: Context) -> JsonValue:
        """What of the spec its fits depend on, beside data, features, labels and splits."""

    def fit(self, context: Context, unit: Unit) -> Fit:
        """Do one unit."""


def gathered(context: Context, family: str, fits: Fits, columns: int) -> Floats:
    """Out-of-fold answers (N, columns) of a family, its seeds averaged; NaN outside the folds."""
    unseen = np.full((len(context.problem.matrix), columns), np.nan)
    for part, (_, _, judged) in enumerate(context.folds.parts):
        told = [fit.answers for unit, fit in fits.items() if (unit.family, unit.part) == (family, part)]
        unseen[judged] = np.mean(told, axis=0)
    return unseen
