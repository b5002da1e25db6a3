"""`python -m training run`, from bars to a set that answers as it did when it was made."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from configs import load, schema_is_current
from market import history, synthetic
from market.progress import Steps
from market.timeframes import Timeframe
from models.inference import Predictor
from models.modelset import ModelSet
from training.data import Bars, DataError, from_files, synthetic_market
from training.families import BOOSTED, NETWORKS
from training.folds import Folds
from training.fusion import fuse, weigh
from training.plan import Workshop
from training.problem import Problem, pose
from training.regime import finish as finish_regime
from training.run import make_set
from training.schema_command import SCHEMA
from training.spec import TrainingSpec
from training.units import Context

ROOT = Path(__file__).resolve().parents[2]
SPECS = ROOT / "configs" / "training"
TINY = """\
name: tiny
data: {bars: 2400, venue: synthetic, synthetic_seed: 3}
features: {max_lookback: 26}
lightgbm: {rounds: 20, patience: 5}
lstm: {window: 8, hidden: 6, epochs: 2, stride: 4}
splits: {folds: 2}
evidence: {draws: 100}
"""


def tiny() -> TrainingSpec:
    from configs import parse

    return parse(TINY, TrainingSpec)


def training(*arguments: str, cwd: Path = ROOT) -> subprocess.CompletedProcess[str]:
    """The command as a user runs it."""
    environment = os.environ | {"PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1", "OMP_WAIT_POLICY": "passive"}
    command = [sys.executable, "-m", "training", *arguments]
    return subprocess.run(command, cwd=cwd, env=environment, capture_output=True, text=True, check=False)


@pytest.fixture(scope="module")
def bars() -> Bars:
    return synthetic_market(tiny().data)


@pytest.fixture(scope="module")
def problem(bars: Bars) -> Problem:
    return pose(bars, tiny())


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, object], str]:
    """A set's folder, what the command said of it as JSON, and what it wrote to stderr."""
    folder = tmp_path_factory.mktemp("training")
    spec = folder / "tiny.yaml"
    spec.write_text(TINY)
    done = training("run", "--spec", str(spec), "--synthetic", "--out", str(folder / "sets"), "--json")
    assert done.returncode == 0, done.stderr
    told = json.loads(done.stdout)
    return Path(told["path"]), told, done.stderr


def test_a_run_makes_a_verified_set_and_latest_names_it(made: tuple[Path, dict[str, object], str]) -> None:
    path, told, progress = made
    assert (path.parent / "latest").read_text().strip() == told["model_set"] == ModelSet.load(path).id
    steps = [line.split("] ")[1].split(" (")[0] for line in progress.splitlines()]
    assert steps[0] == "features and labels"
    parts = ("fold 1", "fold 2", "final")
    assert sorted(steps[1:10]) == sorted(
        f"{family} {part}" for family in ("lightgbm", "lstm", "regime") for part in parts
    )
    assert steps[10:] == [
        "export",
        "baselines",
        "stack, calibrate, weigh",
        "walk-forward record",
        "evidence",
        "reference for drift",
        "canary on shuffled labels",
        "write the set",
    ]


def test_the_saved_set_answers_what_it_answered_in_training(
    made: tuple[Path, dict[str, object], str], bars: Bars, problem: Problem
) -> None:
    spec = tiny()
    context = Context(problem, spec, Folds(problem, spec))
    fits = Workshop().fit(context, ["lightgbm", "lstm", "regime"], Steps(quiet=True))
    members = [BOOSTED.finish(context, fits), NETWORKS["lstm"].finish(context, fits).answers(len(problem.heads))]
    fused = fuse(problem, members, spec)
    regime = finish_regime(context, fits)
    served = Predictor.load(made[0]).predict_history(spec.data.symbol, bars.candles, bars.funding)
    rows = problem.rows[problem.rows >= problem.slices.stop.start]
    assert len(rows) > 700
    for at, horizon in enumerate(spec.labels.horizons):
        trained = fused.probabilities[rows, 2 * at : 2 * at + 2]
        np.testing.assert_allclose(served.horizons[horizon][rows], trained, rtol=0, atol=1e-6)
    np.testing.assert_allclose(
        np.column_stack([served.p_long, served.p_short])[rows],
        fused.sides(spec.labels.horizons)[rows],
        rtol=0,
        atol=1e-6,
    )
    assert np.array_equal(served.regime[rows], regime.probabilities[rows].argmax(axis=1))


def test_the_same_spec_and_seed_give_the_same_files(
    made: tuple[Path, dict[str, object], str], bars: Bars, tmp_path: Path
) -> None:
    again = make_set(bars, tiny(), tmp_path, Steps(quiet=True)).manifest
    first = ModelSet.load(made[0]).manifest
    assert [m.sha256 for m in again.models] == [m.sha256 for m in first.models]
    assert again.ensemble == first.ensemble
    assert again.evidence == first.evidence


def test_the_manifest_keeps_where_the_set_comes_from_and_what_it_is_worth(
    made: tuple[Path, dict[str, object], str], bars: Bars
) -> None:
    manifest = ModelSet.load(made[0]).manifest
    assert manifest.data.sha256 == bars.sha256()
    assert manifest.data.purge == 24
    assert manifest.identity.command.startswith("python -m training run --spec")
    assert manifest.member("lstm").parity.keys() == {"batch_1", "batch_2", "batch_7", "batch_64"}
    assert max(manifest.member("lstm").parity.values()) <= 1e-4
    assert manifest.lookback == 26 + 8 - 1
    evidence = manifest.evidence
    assert evidence["trials"] == 1
    assert evidence["canary"]["quiet"] is True
    for head in ("5/long", "5/short", "12/long", "12/short", "24/long", "24/short"):
        told = evidence["heads"][head]
        assert told["auc"]["low"] <= told["auc"]["value"] <= told["auc"]["high"]
        assert set(told["baselines"]) == {"minus_24h_return", "volatility_and_clock", "logistic"}
        assert told["rows"] <= manifest.data.splits["test"].rows
    assert set(evidence["regime"]["baselines"]) == {"majority", "persistence", "har_and_calendar"}
    for side in ("p_long", "p_short", "lead"):
        levels = list(evidence["outputs"]["calibrate"][side].values())
        assert levels == sorted(levels)


def test_no_slice_knows_a_price_of_the_next(problem: Problem) -> None:
    spec = tiny()
    folds = Folds(problem, spec)
    for grow, stop, judged in [*folds.parts, folds.finished]:
        assert grow[-1] + spec.labels.purge < stop[0]
        # the finished member is asked about its early-stop rows too; nothing is fitted to those answers
        assert stop[-1] + spec.labels.purge < judged[0] or judged is folds.finished[2]
    assert problem.slices.stop.stop + spec.labels.purge <= problem.slices.calibrate.start
    assert problem.slices.calibrate.stop + spec.labels.purge <= problem.slices.test.start


def test_regime_edges_come_from_the_train_slice_alone(bars: Bars, problem: Problem) -> None:
    closes, later = bars.candles.close.copy(), problem.slices.stop.start
    closes[later:] *= 1 + 0.03 * np.where(np.arange(len(closes) - later) % 2, 1, -1)
    high, low = np.maximum(bars.candles.high, closes), np.minimum(bars.candles.low, closes)
    wilder = replace(bars.candles, close=closes, high=high, low=low)
    np.testing.assert_array_equal(pose(replace(bars, candles=wilder), tiny()).edges, problem.edges)


def test_a_horizon_without_skill_gets_no_weight() -> None:
    assert weigh({"5": 0.03, "12": -0.01, "24": 0.01}) == ({"5": 0.75, "12": 0.0, "24": 0.25}, True)
    weights, by_skill = weigh({"5": -0.03, "12": -0.01})
    assert (weights, by_skill) == ({"5": 0.5, "12": 0.5}, False)
    assert sum(weigh({"5": 1.0, "12": 1.0, "24": 1.0})[0].values()) == 1


def test_features_whose_columns_are_missing_are_left_out_and_named(bars: Bars) -> None:
    nothing = np.full(len(bars.candles), np.nan)
    plain = replace(bars.candles, taker_base=nothing, taker_quote=nothing)
    problem = pose(Bars(plain, None, "plain"), tiny())
    assert problem.left_out["taker_flow_1"] == "needs volume, taker_base"
    assert problem.left_out["funding_last"] == "needs funding"
    assert "return_1" in problem.names


def test_a_history_full_of_holes_is_refused_with_the_first_of_them(bars: Bars) -> None:
    keep = np.arange(len(bars.candles)) % 20 != 19
    with pytest.raises(DataError, match=r"no stretch of 33 bars .*first from 2024-01-01T19:00Z to 2024-01-01T20:00Z"):
        pose(replace(bars, candles=bars.candles[keep]), tiny())


def test_a_market_that_stands_still_is_refused(bars: Bars, tmp_path: Path) -> None:
    still = np.full(len(bars.candles), 100.0)
    flat = replace(bars.candles, open=still, high=still, low=still, close=still)
    with pytest.raises(DataError, match=r"synthetic seed 3.*part nothing; the prices hardly move"):
        make_set(replace(bars, candles=flat), tiny(), tmp_path, Steps(quiet=True))
    assert not list(tmp_path.iterdir())


def test_a_cost_no_trade_can_earn_is_refused(bars: Bars) -> None:
    spec = tiny()
    dear = spec.model_copy(update={"labels": spec.labels.model_copy(update={"cost": 0.09})})
    with pytest.raises(DataError, match=r"trades have one outcome alone in the .* slice .*lower labels.cost"):
        pose(bars, dear)


def test_shorter_candles_are_aggregated_and_the_last_bars_used(tmp_path: Path) -> None:
    candles, funding = synthetic.generate(bars=4800, timeframe=Timeframe.parse("15m"), seed=1)
    history.write(candles, tmp_path / "quarters.parquet")
    history.write(funding, tmp_path / "funding.parquet")
    spec = tiny().data.model_copy(update={"bars": 1100})
    bars = from_files(spec, tmp_path / "quarters.parquet", tmp_path / "funding.parquet")
    assert (len(bars.candles), str(bars.candles.timeframe)) == (1100, "1h")
    assert bars.candles.close[-1] == candles.close[-1]
    assert bars.source == "quarters.parquet funding.parquet"


def test_wrong_words_wrong_specs_and_wrong_data_each_have_their_exit_code(tmp_path: Path) -> None:
    spec = tmp_path / "spec.yaml"
    spec.write_text(TINY.replace("hidden", "hiden"))
    short = tmp_path / "short.parquet"
    history.write(synthetic.generate(bars=1500, timeframe=Timeframe.parse("1h"))[0], short)
    good = tmp_path / "good.yaml"
    good.write_text(TINY)

    neither = training("run", "--spec", str(good))
    assert (neither.returncode, "give either --data FILE or --synthetic" in neither.stderr) == (2, True)
    unknown = training("run", "--spec", str(spec), "--synthetic")
    assert unknown.returncode == 4
    assert "spec.yaml:5:19: lstm.hiden: unknown key, did you mean 'hidden'?" in unknown.stderr
    missing = training("run", "--spec", str(good), "--data", "nowhere.parquet")
    assert (missing.returncode, missing.stderr) == (
        7,
        "training: nowhere.parquet: no such file; give a parquet file of klines\n",
    )
    few = training("run", "--spec", str(good), "--data", str(short))
    assert few.returncode == 7
    assert "1500 candles of 1h, the spec asks for 2400; give a longer history, or lower data.bars" in few.stderr


def test_a_spec_is_checked_before_anything_is_trained(tmp_path: Path) -> None:
    spec = tmp_path / "spec.yaml"
    spec.write_text(TINY)
    good = training("check", "--spec", str(spec), cwd=tmp_path)
    assert (good.returncode, good.stdout) == (0, "tiny: lightgbm, lstm, on 1h candles of synthetic\n"), good.stderr
    mistaken = TINY.replace("max_lookback: 26", "exclude: [retrun_1]")
    spec.write_text(mistaken.replace("venue: synthetic", "timeframe: 1x"))
    wrong = training("check", "--spec", str(spec), cwd=tmp_path)
    assert wrong.returncode == 4
    assert f"{spec}:3:21: features.exclude: unknown features retrun_1" in wrong.stderr
    assert "data.timeframe: timeframe '1x': write a count" in wrong.stderr


def test_the_committed_specs_are_valid_and_their_schema_current() -> None:
    for file in SPECS.glob("*.yaml"):
        assert load(file, TrainingSpec).name == file.stem
    assert schema_is_current(TrainingSpec, SCHEMA), "run `python -m training schema`"
