"""The reference for drift of a run's set: features of the train slice, answers and outcomes of rows it had not seen."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np

from market.candles import Floats
from models.drift.making import Outcomes, Rows, make
from models.drift.reference import Reference, outputs_of
from models.ensemble import ask
from models.logits import sigmoid
from models.manifest import Manifest
from models.members import open_members
from models.walkforward import WalkForward
from training.problem import Problem
from training.recording import finer_rows
from training.spec import TrainingSpec


def reference(
    problem: Problem, manifest: Manifest, contents: Mapping[str, bytes], record: WalkForward, spec: TrainingSpec
) -> Reference:
    """What the set is compared with once it serves.

    Features are the train slice's, candles with missing values included. What the set says is asked of its own files
    on the calibrate and the test slice, which no member was fitted on. How heads do is the walk-forward record's.
    """
    candles, part = problem.bars.candles, problem.slices.train
    train = np.arange(part.start, part.stop)
    unseen = np.concatenate([problem.rows_in(problem.slices.calibrate), problem.rows_in(problem.slices.test)])
    opened = open_members(manifest, contents, Path(manifest.identity.name), "cpu")
    told: dict[str, Floats] = ask(manifest, opened, problem.matrix, unseen, finer_rows(problem)).named()
    names = outputs_of(manifest)
    cost = spec.labels.cost
    return make(
        Rows(candles.open_time[train], problem.names, problem.matrix[train]),
        Rows(candles.open_time[unseen], names, np.column_stack([told[name] for name in names])),
        Outcomes(
            record.open_time,
            {key: sigmoid(record.logits["stack"][key]) for key in problem.heads},
            {
                key: record.profitable(int(key.partition("/")[0]), 1 if key.endswith("long") else -1, cost)
                for key in problem.heads
            },
        ),
        block=spec.evidence.block,
        seed=spec.seed,
    )
