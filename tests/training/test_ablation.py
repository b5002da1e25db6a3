"""The ablation: each variant is one change, judged out of fold beside its base, and never on the later slices."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from configs import parse
from market.progress import Steps
from models import trials
from tests.training.test_command import training
from training.ablation.comparison import ablate
from training.ablation.variants import of_boosting, of_network
from training.data import Bars, synthetic_market
from training.kept import Kept
from training.plan import Workshop
from training.problem import pose
from training.spec import TrainingSpec

SPEC = """\
name: tried
data: {bars: 2400, synthetic_seed: 3}
features: {max_lookback: 26, exclude: [funding_last]}
labels: {horizons: [5, 12]}
lightgbm: {rounds: 12, patience: 5, min_leaf: 40}
lstm: {window: 8, hidden: 4, epochs: 3, stride: 8, horizon_weights: [0.6, 0.4], augment: {ratio: 0.5}}
splits: {folds: 2}
evidence: {draws: 100}
"""


def tried() -> TrainingSpec:
    return parse(SPEC, TrainingSpec)


@pytest.fixture(scope="module")
def bars() -> Bars:
    spec = tried().data
    return synthetic_market(spec, companion="ETHUSDT")


def test_each_variant_differs_from_its_base_by_what_it_says(bars: Bars) -> None:
    spec = tried().model_copy(update={"data": tried().data.model_copy(update={"companion": "ETHUSDT"})})
    variants = [*of_network(spec, bars, "lstm"), *of_boosting(spec, bars)]
    names = [v.name for v in variants]
    assert names == [
        "lstm base", "lstm focal", "lstm auc_margin", "lstm diversity", "lstm augmentation", "lstm noise",
        "lstm channels", "lstm warp", "lstm weights",
        "lightgbm base", "lightgbm plain", "lightgbm funding", "lightgbm companion",
    ]  # fmt: skip
    named = {v.name: v for v in variants}
    base = named["lstm base"].spec.lstm
    assert base is not None
    assert (base.loss, base.augment, base.horizon_weights, base.noise) == ("bce", None, None, 0.0)
    for name in names[1:9]:
        told = named[name].spec.lstm
        assert told is not None
        changed = {k for k, v in told.model_dump().items() if v != base.model_dump()[k]}
        assert len(changed) == 1, f"{name} changes {changed}"
    plain, funding = pose(named["lightgbm base"].bars, spec), named["lightgbm funding"]
    assert set(pose(funding.bars, funding.spec).names) - set(plain.names) == {"funding_last", "funding_24h"}
    companion = named["lightgbm companion"]
    assert any(n.startswith("companion") for n in set(pose(companion.bars, companion.spec).names) - set(plain.names))


def told(row: dict[str, object]) -> dict[str, object]:
    """What a row says, but how it came about."""
    return {name: value for name, value in row.items() if name not in ("seconds", "kept")}


def test_an_ablation_is_the_same_whatever_comes_after_the_train_slice(bars: Bars, tmp_path: Path) -> None:
    spec = tried()
    after = pose(bars, spec).slices.stop.start
    closes = bars.candles.close.copy()
    closes[after:] *= np.exp(np.cumsum(0.01 * np.random.default_rng(1).standard_normal(len(closes) - after)))
    high, low = np.maximum(bars.candles.high, closes), np.minimum(bars.candles.low, closes)
    other = replace(bars, candles=replace(bars.candles, close=closes, high=high, low=low))
    found = [
        ablate(of_network(spec, each, "lstm")[:3], Steps(quiet=True), Workshop(kept=Kept(tmp_path)), 1, "cpu")
        for each in (bars, other)
    ]
    for one, two in zip(*found, strict=True):
        assert told(one) == told(two)
    base, focal, margin = found[0]
    assert "difference" not in base
    assert margin["auc"] != base["auc"], "the loss of its own began after the warm-up"
    assert focal["difference"]["low"] <= focal["difference"]["value"] <= focal["difference"]["high"]  # type: ignore[index]


def test_the_command_writes_what_the_report_reads(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("REGIMEN_CACHE", str(tmp_path / "cache"))  # what another run kept is no trial of this one
    spec = tmp_path / "tried.yaml"
    spec.write_text(SPEC.replace("horizon_weights: [0.6, 0.4], ", ""))
    out = tmp_path / "figures" / "ablation.json"
    store = ("--store", str(tmp_path / "sets"))
    done = training("ablate", "--spec", str(spec), "--synthetic", "--out", str(out), "--quiet", "--json", *store)
    assert done.returncode == 0, done.stderr
    (line,) = trials.read(tmp_path / "sets").trials
    assert (line.what, line.trials, line.test_start) == ("ablation", len(json.loads(done.stdout)["rows"]), None)
    told = json.loads(out.read_text())
    assert told == json.loads(done.stdout)
    assert (told["spec"], told["model"], told["question"]) == ("tried", "lstm", "5 h, both sides")
    for row in told["rows"]:
        assert row["rows"] > 300
        assert 0 < row["auc"]["value"] < 1
    without = training("ablate", "--spec", str(spec), "--synthetic", "--model", "tft")
    assert (without.returncode, "has no section tft" in without.stderr) == (2, True)
