"""The spec for exchanges that tell no taker flow: a set made by it may trade on each of them."""

from __future__ import annotations

from configs import load
from daemon.boot import TAKER_FLOW
from models.features import REGISTRY
from models.modelset import ROOT
from training.spec import TrainingSpec


def test_it_leaves_out_what_such_an_exchange_does_not_tell_and_nothing_else() -> None:
    spec = load(ROOT.parent / "configs" / "training" / "no-flow.yaml", TrainingSpec)
    assert set(spec.features.exclude) == {f.name for f in REGISTRY.features if TAKER_FLOW & set(f.needs)}
