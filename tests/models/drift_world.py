"""A small set with a reference for drift, and what it says of the rest of the synthetic market it was made on."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from market import synthetic
from market.timeframes import Timeframe
from models import labels
from models.drift.judging import Judgement, Watched, judge
from models.drift.making import Outcomes, Rows, make
from models.drift.reference import FILE, Reference, outputs_of, recorded, to_bytes
from models.inference import Predictor
from models.modelset import ModelSet, save
from tests.models.small_sets import Market, make_set

HOUR = Timeframe.parse("1h")
TRAIN = 3_000
WINDOW = 168


class World:
    """A small set, its reference from the first part of a synthetic market, and what it says of the rest."""

    def __init__(self, names: tuple[str, ...] | None = None) -> None:
        self.candles, self.funding = synthetic.generate(bars=6_000, timeframe=HOUR, seed=11, signal=0.5)
        made = make_set(Market(self.candles[:1_500], self.funding), names)
        self.manifest, self.files = made.manifest, made.files
        self.names = outputs_of(self.manifest)

    def ready(self, folder: Path) -> World:
        """Ask the set, saved into `folder` for that, about the whole market, and make its reference."""
        path = save(self.manifest, self.files, folder)
        predictor = Predictor.load(path)
        self.matrix = predictor.matrix(self.candles, self.funding)
        rows = np.flatnonzero(predictor.ready(self.candles, self.matrix))
        told = predictor.answers(self.matrix, rows).named()
        self.outputs = np.full((len(self.candles), len(self.names)), np.nan)
        self.outputs[rows] = np.column_stack([told[name] for name in self.names])
        self.first = int(rows[0])
        self.reference = self.refer(slice(self.first, self.first + TRAIN))
        return self

    def saved(self, folder: Path) -> ModelSet:
        """The set with its reference, saved and verified."""
        content = to_bytes(self.reference)
        manifest = self.manifest.model_copy(update={"drift": recorded(content, TRAIN)})
        return ModelSet.load(save(manifest, {**self.files, FILE: content}, folder))

    def refer(self, part: slice) -> Reference:
        """A reference of a part of the market."""
        at, cost = self.candles.open_time[part], self.manifest.data.labels.cost
        heads = [name for name in self.names if "/" in name and name[0].isdigit()]
        came = {
            key: labels.profitable(self.candles, int(key.split("/")[0]), 1 if key.endswith("long") else -1, cost)[part]
            for key in heads
        }
        said = {key: self.outputs[part, self.names.index(key)] for key in heads}
        return make(
            Rows(at, self.manifest.features.names, self.matrix[part]),
            Rows(at, self.names, self.outputs[part]),
            Outcomes(at, said, came),
            block=168,
            draws=60,
        )

    def watched(self, end: int, many: int = 2 * WINDOW) -> Watched:
        """The rows before `end`, as the daemon would have kept them."""
        part = slice(end - many, end)
        return Watched(
            self.candles.open_time[part].copy(), self.candles.close[part].copy(), self.matrix[part].copy(),
            self.outputs[part].copy(), many,
        )  # fmt: skip

    def judged(self, rows: Watched, window: int = WINDOW) -> Judgement:
        """What is found in the last window of some rows."""
        return judge(self.reference, self.manifest, rows, window)
