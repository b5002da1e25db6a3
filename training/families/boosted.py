"""Boosted members: LightGBM for each horizon and side, and for the volatility regime."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from pydantic import JsonValue

from market.candles import Floats
from models import labels
from models.manifest import REGIMES, Member
from models.modelset import digest
from training import boosting
from training.folds import FINISHED
from training.member_spec import LightGBMSpec
from training.spec import TrainingSpec
from training.units import Answers, Context, File, Fit, Fits, Unit, gathered


@dataclass(frozen=True)
class Boosted:
    """One booster for each head; `plain` ones by LightGBM's own defaults, for comparison."""

    name: str = "lightgbm"
    plain: bool = False

    def told(self, context: Context) -> LightGBMSpec:
        """Its settings: LightGBM's own, those a search has found, or the spec's."""
        return boosting.PLAIN if self.plain else context.found or context.spec.lightgbm

    def seeds(self, spec: TrainingSpec) -> int:
        """As `Family`."""
        return 1

    def settings(self, context: Context) -> JsonValue:
        """As `Family`."""
        return {"seed": context.spec.seed, **boosting.settings_of(self.told(context))}

    def fit(self, context: Context, unit: Unit) -> Fit:
        """As `Family`; the files are named by head."""
        problem, spec = context.problem, self.told(context)
        grow, stop, judged = context.folds.rows(unit.part)
        answers = np.full((len(judged), len(problem.heads)), np.nan)
        files: dict[str, bytes] = {}
        trees: dict[str, JsonValue] = {}
        for column, (key, known) in enumerate(problem.heads.items()):
            rows = boosting.Rows(problem.matrix, known, grow, stop, problem.names)
            booster = boosting.grow_binary(rows, spec, context.spec.seed, context.threads)
            answers[:, column] = boosting.raw_scores(booster, problem.matrix[judged], context.threads)
            trees[key] = booster.best_iteration
            if unit.part == FINISHED:
                files[key] = boosting.text_of(booster).encode()
        return Fit(answers, {"trees": trees}, files)

    def finish(self, context: Context, fits: Fits) -> Answers:
        """The family's answers and files, once every part is fitted."""
        heads = tuple(context.problem.heads)
        last = fits[Unit(self.name, FINISHED)]
        final = np.full((len(context.problem.matrix), len(heads)), np.nan)
        final[context.folds.finished[2]] = last.answers
        names = tuple(f"{self.name}_{key.replace('/', '_')}" for key in heads)
        files = tuple(_file(name, "direction", (key,), last.files[key]) for name, key in zip(names, heads, strict=True))
        return Answers(names, gathered(context, self.name, fits, len(heads)), final, files, last.facts)


@dataclass(frozen=True)
class BoostedRegime:
    """One booster for the three regimes."""

    name: str = "regime"

    def seeds(self, spec: TrainingSpec) -> int:
        """As `Family`."""
        return 1

    def settings(self, context: Context) -> JsonValue:
        """As `Family`."""
        return {"seed": context.spec.seed, **boosting.settings_of(context.spec.lightgbm)}

    def fit(self, context: Context, unit: Unit) -> Fit:
        """As `Family`; its answers are probabilities."""
        problem, spec = context.problem, context.spec
        grow, stop, judged = context.folds.rows(unit.part)
        known = labels.regimes(problem.volatility, context.folds.edges_in(unit.part, problem))
        rows = boosting.Rows(problem.matrix, known, grow, stop, problem.names)
        booster = boosting.grow_regime(rows, spec.lightgbm, spec.seed, context.threads)
        said: Floats = booster.predict(problem.matrix[judged], num_threads=context.threads)
        files = {self.name: boosting.text_of(booster).encode()} if unit.part == FINISHED else {}
        return Fit(said, {"rounds": int(booster.best_iteration)}, files)

    def file(self, fits: Fits) -> File:
        """The finished booster."""
        return _file(self.name, "regime", REGIMES, fits[Unit(self.name, FINISHED)].files[self.name])


def _file(name: str, role: str, heads: tuple[str, ...], content: bytes) -> File:
    member = Member.model_validate(
        {
            "name": name,
            "kind": "lightgbm",
            "role": role,
            "file": f"{name}.txt",
            "sha256": digest(content),
            "bytes": len(content),
            "heads": heads,
            "output": "logit" if role == "direction" else "probability",
        }
    )
    return File(member, content)
