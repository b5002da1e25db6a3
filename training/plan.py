"""The plan of a run: which units are fitted, where, and which of them an earlier run has kept."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from importlib.metadata import version
from pathlib import Path
from typing import Any

from market.fingerprint import of_code
from market.progress import Steps
from training.devices import device_of, multiplies_bfloat16
from training.executors import Executor
from training.families import FAMILIES, FINER, NETWORKS
from training.folds import FINISHED
from training.fusion import fuse_folds
from training.kept import Kept
from training.kept import key as key_of
from training.spec import TrainingSpec
from training.units import Answers, Context, Fit, Unit


class NotTrained(RuntimeError):
    """Units that a run which trains nothing does not find."""


@dataclass(frozen=True)
class Workshop:
    """Where and how units are fitted.

    Attributes
    ----------
    executor : Executor
        Here, in processes, or on Ray.
    kept : Kept or None
        What earlier runs fitted; None: fit everything, and keep nothing.
    train : bool
        Whether what is not kept may be fitted.
    """

    executor: Executor = field(default_factory=Executor)
    kept: Kept | None = None
    train: bool = True

    def has(self, context: Context, units: Sequence[Unit]) -> bool:
        """Whether an earlier run has kept all of these units."""
        if self.kept is None:
            return False
        facts = common(context)
        return all(self.kept.get(key(context, unit, facts)) is not None for unit in units)

    def fit(
        self,
        context: Context,
        families: Sequence[str],
        steps: Steps,
        parts: Sequence[int] | None = None,
        title: str = "",
    ) -> dict[Unit, Fit]:
        """Every unit of these families, in the given parts or in all, each a line of progress that begins with `title`.

        Raises
        ------
        NotTrained
            If units are missing that may not be fitted.
        """
        units = units_of(context.spec, families, parts)
        facts = common(context)
        keys = {unit: key(context, unit, facts) for unit in units}
        found: dict[Unit, Fit] = {}
        for unit in units:
            content = self.kept.get(keys[unit]) if self.kept is not None else None
            if content is not None:
                found[unit] = Fit.of(content)
                steps.done(f"{title}{unit}", 0.0, "kept from an earlier run")
        missing = [unit for unit in units if unit not in found]
        if missing and not self.train:
            names = dict.fromkeys(unit.family for unit in missing)
            raise NotTrained(
                f"{', '.join(names)}: no earlier run of this spec on these bars has trained "
                f"{'it' if len(names) == 1 else 'them'} with {context.threads} threads a fit; run --mode all, or "
                f"the modes of each, first, or give --threads and --executor as that run had them"
            )
        # the longest first, so that no worker is left alone with it at the end
        missing.sort(key=lambda unit: -_weight(context, unit))

        def done(number: int, unit: Unit, result: tuple[Fit, float]) -> None:
            found[unit], took = result
            if self.kept is not None:
                self.kept.put(keys[unit], found[unit].content())
            steps.done(f"{title}{unit}", took, found[unit].summary())
            steps.show(f"{sum(each not in found for each in missing)} fits to go")

        if missing:
            steps.show(f"{title}{len(missing)} fits to go")
        self.executor.run(work, context, missing, done, threads=context.threads, gpus=context.device == "cuda")
        return {unit: found[unit] for unit in units}


ROOT = Path(__file__).resolve().parent.parent
FITTING = (
    "models/features/registry.py",
    "models/labels.py",
    "models/metrics.py",
    "training/augmentation.py",
    "training/boosting.py",
    "training/devices.py",
    "training/families",
    "training/loop.py",
    "training/losses.py",
    "training/optimizers.py",
    "training/schedule.py",
    "training/steps.py",
    "models/networks",
    "models/scaling.py",
)
"""The code a fit goes through; what comes before it is in the problem's arrays."""


def work(context: Context, unit: Unit) -> tuple[Fit, float]:
    """Do one unit, wherever this runs; and the seconds it took there."""
    started = time.perf_counter()
    return FAMILIES[unit.family].fit(context, unit), time.perf_counter() - started


def units_of(spec: TrainingSpec, families: Sequence[str], parts: Sequence[int] | None = None) -> list[Unit]:
    """Every unit of these families, in the given parts or in all."""
    return [
        Unit(family, part, seed)
        for family in families
        for part in ((*range(spec.splits.folds), FINISHED) if parts is None else parts)
        for seed in range(FAMILIES[family].seeds(spec))
    ]


def taught(context: Context, members: list[Answers]) -> Context:
    """The context of the student: the others' stack, out of fold, is its teacher."""
    folded = fuse_folds(context.problem, members, context.folds, context.spec)
    return replace(context, teacher=folded.logits)


def common(context: Context) -> dict[str, Any]:
    """What every unit of a run depends on: the problem's arrays, the code a fit goes through, and the libraries."""
    problem, finer = context.problem, context.problem.finer
    columns, ahead = ("matrix", "targets", "volatility"), ("matrix", "targets", "ready", "ends")
    return {
        "problem": key_of({name: getattr(problem, name) for name in columns}),
        "finer": None if finer is None else key_of({name: getattr(finer, name) for name in ahead}),
        "code": of_code(ROOT, FITTING),
        "names": list(problem.names),
        "libraries": {name: version(name) for name in ("lightgbm", "torch", "numpy", "scikit-learn")},
    }


def key(context: Context, unit: Unit, facts: dict[str, Any]) -> str:
    """What names a unit's result: everything it depends on."""
    network = unit.family in NETWORKS
    grow, stop, judged = context.folds.rows(unit.part)
    return key_of(
        {
            **facts,
            "finer": facts["finer"] if unit.family == FINER else None,
            "unit": [unit.family, unit.part, unit.seed],
            "rows": key_of({"grow": grow, "stop": stop, "judged": judged}),
            "edges": context.folds.edges_in(unit.part, context.problem),
            "settings": FAMILIES[unit.family].settings(context),
            # boosters come out the same on any number of threads; a network's sums do not
            "threads": context.threads if network else None,
            "device": context.device if network else None,
            "bfloat16": multiplies_bfloat16(device_of(context.device)) if network else None,
            "teacher": context.teacher if unit.family == "student" else None,
        }
    )


def _weight(context: Context, unit: Unit) -> int:
    """About how long a unit takes beside others: rows fitted on, times a rank of its family."""
    ranks = {"transformer": 8, "tft": 8, "lstm": 4, "lstm15m": 4, "regime_lstm": 2}
    return len(context.folds.rows(unit.part)[0]) * ranks.get(unit.family, 1) + (unit.part == FINISHED)
