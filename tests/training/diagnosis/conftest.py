"""A small set from a real training run, and one with a fault inside it, whole to the last hash."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from configs import parse
from market.progress import Steps
from models.manifest import Manifest, Recorded
from models.modelset import ModelSet, digest, save
from training.data import Bars, synthetic_market
from training.run import make_set
from training.spec import TrainingSpec

SPEC = """\
name: healthy
data: {bars: 3000, synthetic_seed: 5, synthetic_signal: 1}
features: {max_lookback: 26}
labels: {horizons: [5, 12]}
lightgbm: {rounds: 12, patience: 5, min_leaf: 40}
lstm: {window: 6, hidden: 8, epochs: 4, stride: 2, learning_rate: 0.003, dropout: 0.1, batch: 64}
splits: {folds: 3}
evidence: {draws: 100, canary: false}
"""


@dataclass(frozen=True)
class Whole:
    """A set that is well, the bars it was made of, and a way to break it."""

    model_set: ModelSet
    bars: Bars

    @property
    def manifest(self) -> Manifest:
        return self.model_set.manifest

    def broken(self, where: Path, files: Mapping[str, bytes] | None = None, **parts: Any) -> ModelSet:
        """The set with other files and parts of its manifest, its own hashes valid, as if it had been made so."""
        changed = Manifest.model_validate(self.manifest.model_dump() | parts)
        contents = dict(self.model_set.contents) | dict(files or {})
        models = tuple(
            m.model_copy(update={"sha256": digest(contents[m.file]), "bytes": len(contents[m.file])})
            for m in changed.models
        )
        kept = {m.file for m in models} | {record.file for record in changed.records}
        changed = changed.model_copy(
            update={
                "models": models,
                "walkforward": _recorded(changed.walkforward, contents),
                "stages": _recorded(changed.stages, contents),
            }
        )
        path = save(changed, {name: content for name, content in contents.items() if name in kept}, where / "sets")
        return ModelSet.load(path)


@pytest.fixture(scope="session")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Whole:
    """The set that is well."""
    spec = parse(SPEC, TrainingSpec)
    bars = synthetic_market(spec.data)
    path = make_set(bars, spec, tmp_path_factory.mktemp("healthy"), Steps(quiet=True), 1).path
    return Whole(ModelSet.load(path), bars)


def _recorded(entry: Recorded | None, contents: Mapping[str, bytes]) -> Recorded | None:
    if entry is None:
        return None
    content = contents[entry.file]
    return entry.model_copy(update={"sha256": digest(content), "bytes": len(content)})
