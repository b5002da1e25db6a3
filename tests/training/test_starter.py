"""The starter set in the repository: small, verified, made by the committed spec, of use on a market it never saw."""

from __future__ import annotations

import numpy as np
import pytest

from configs import load
from market import synthetic
from market.timeframes import Timeframe
from models import labels, trials, walkforward
from models.inference import Predictor
from models.metrics import auc, auc_within
from models.modelset import ROOT, resolve
from training.spec import TrainingSpec

REPLAYED_SEED = 1
SPEC = ROOT.parent / "configs" / "training" / "starter.yaml"


@pytest.fixture(scope="module")
def starter() -> Predictor:
    return Predictor.load(resolve("starter"))


def test_it_is_small_and_warms_up_in_two_days(starter: Predictor) -> None:
    record = starter.manifest.walkforward
    assert record is not None
    # the record weighs about as much as 20,000 rows must, and what answers stays small beside it
    assert record.bytes < 2_000_000
    assert sum(f.stat().st_size for f in starter.model_set.path.iterdir()) - record.bytes < 1_200_000
    assert starter.lookback <= 50


def test_it_carries_what_it_is_judged_by(starter: Predictor) -> None:
    record, manifest = walkforward.read(starter.model_set), starter.manifest
    assert (record.folds, record.families) == (3, ("lightgbm", "lstm"))
    paid = record.profitable(5, labels.LONG, manifest.data.labels.cost)
    rows = np.flatnonzero((record.part >= 0) & ~np.isnan(paid))
    assert auc_within(paid[rows], record.logits["stack"]["5/long"][rows], record.part[rows]) > 0.57
    assert manifest.baselines is not None
    assert manifest.golden is not None
    assert set(manifest.golden.trained) == {f"lstm/{key}" for key in manifest.member("lstm").heads}
    assert manifest.id in [trial.set_id for trial in trials.read(ROOT / "starter").trials]


def test_the_committed_spec_made_it(starter: Predictor) -> None:
    spec = load(SPEC, TrainingSpec)
    assert starter.manifest.identity.command == (
        "python -m training run --spec configs/training/starter.yaml --synthetic --out models/starter"
    )
    assert starter.manifest.evidence["spec"] == spec.model_dump(mode="json"), "the spec was changed: run `make starter`"
    assert spec.data.synthetic_seed != REPLAYED_SEED


def test_it_tells_up_from_down_on_a_market_it_never_saw(starter: Predictor) -> None:
    candles, funding = synthetic.generate(bars=4000, timeframe=Timeframe.parse("1h"), seed=REPLAYED_SEED)
    said = starter.predict_history("BTCUSDT", candles, funding)
    told = np.isfinite(said.p_long)
    assert told.sum() == len(candles) - starter.lookback + 1
    for side, p in ((labels.LONG, said.p_long), (labels.SHORT, said.p_short)):
        assert p[told].std() > 0.05
        assert np.mean(p[told] > 0.5) > 0.1
        paid = labels.profitable(candles, 5, side)
        known = told & ~np.isnan(paid)
        assert auc(paid[known], p[known]) > 0.57
    assert np.bincount(said.regime[told], minlength=3).min() > 0.1 * told.sum()


def test_it_needs_no_funding(starter: Predictor) -> None:
    candles, funding = synthetic.generate(bars=100, timeframe=Timeframe.parse("1h"), seed=REPLAYED_SEED)
    with_it, without = (starter.predict("BTCUSDT", candles, rates) for rates in (funding, None))
    assert with_it == without
