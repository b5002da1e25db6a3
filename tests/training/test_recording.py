"""What a run records: nothing that answers a row has seen its future, and the test slice is answered as served."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression

from configs import parse
from market.progress import Steps
from models import baselines, labels, ridge, trials, walkforward
from models.golden import golden_inputs
from models.inference import Predictor
from models.manifest import REGIMES
from models.members import open_members
from models.modelset import ModelSet
from models.walkforward import TEST, WalkForward
from training import baselines as fitting
from training.data import Bars, synthetic_market
from training.folds import Folds
from training.fusion import fuse_folds
from training.problem import Problem, pose
from training.run import make_set
from training.spec import TrainingSpec
from training.units import Answers

SPEC = """\
name: recorded
data: {bars: 3000, synthetic_seed: 5}
features: {max_lookback: 26}
labels: {horizons: [5, 12]}
lightgbm: {rounds: 12, patience: 5, min_leaf: 40}
lstm: {window: 6, hidden: 4, epochs: 2, stride: 4}
splits: {folds: 3}
evidence: {draws: 100, canary: false}
"""


def spec() -> TrainingSpec:
    return parse(SPEC, TrainingSpec)


@pytest.fixture(scope="module")
def bars() -> Bars:
    return synthetic_market(spec().data)


@pytest.fixture(scope="module")
def problem(bars: Bars) -> Problem:
    return pose(bars, spec())


@pytest.fixture(scope="module")
def made(bars: Bars, tmp_path_factory: pytest.TempPathFactory) -> ModelSet:
    store = tmp_path_factory.mktemp("recorded")
    return ModelSet.load(make_set(bars, spec(), store, Steps(quiet=True), 1).path)


@pytest.fixture(scope="module")
def record(made: ModelSet) -> WalkForward:
    return walkforward.read(made)


def said(record: WalkForward) -> dict[str, np.ndarray]:
    """Every column that answers, and none that tells what came."""
    came = ("return_", "volatility", "close", "open_time")
    return {name: column for name, column in record.columns().items() if not name.startswith(came)}


def otherwise(bars: Bars, since: int) -> Bars:
    """The same bars until `since`, and another market from there on."""
    draws = np.random.default_rng(1)
    candles = bars.candles
    factor = np.ones(len(candles))
    factor[since:] = np.exp(np.cumsum(0.02 * draws.standard_normal(len(candles) - since)))
    prices = {name: getattr(candles, name) * factor for name in ("open", "high", "low", "close")}
    volume = np.where(np.arange(len(candles)) < since, 1.0, 3.0)
    shares = {
        n: getattr(candles, n) * volume for n in ("volume", "quote_volume", "trades", "taker_base", "taker_quote")
    }
    return replace(bars, candles=replace(candles, **prices, **shares))


@pytest.mark.parametrize(("fold", "into"), [(1, 1), (2, 1), (2, 150)])
def test_no_row_is_answered_by_anything_that_saw_its_future(
    bars: Bars, problem: Problem, record: WalkForward, tmp_path: Path, fold: int, into: int
) -> None:
    """Prices change from the second row of a fold on: its first row, and all before, must be answered as they were.

    Labels of the rows just before reach into the fold, so a stack, weight or edge fitted without a purge would move.
    """
    since = int(Folds(problem, spec()).parts[fold][2][0]) + into
    changed = make_set(otherwise(bars, since), spec(), tmp_path, Steps(quiet=True), 1).path
    later = walkforward.read(ModelSet.load(changed))
    before = record.open_time < bars.candles.open_time[since]
    assert (record.part[before].max(), before.sum() > 300) == (fold, True)
    assert np.array_equal(later.open_time, record.open_time)
    other = said(later)
    for name, column in said(record).items():
        np.testing.assert_array_equal(other[name][before], column[before], err_msg=name)
        if name != "part" and not name.startswith("edge"):
            assert not np.array_equal(other[name][~before], column[~before], equal_nan=True), name


def test_the_record_covers_every_judged_row_and_the_whole_test_slice(problem: Problem, record: WalkForward) -> None:
    folds = Folds(problem, spec())
    times = problem.bars.candles.open_time
    for number, (_, _, judged) in enumerate(folds.parts):
        np.testing.assert_array_equal(record.open_time[record.part == number], times[judged])
    np.testing.assert_array_equal(record.open_time[record.part == TEST], times[problem.rows_in(problem.slices.test)])
    assert record.families == ("lightgbm", "lstm")


def test_the_test_slice_is_answered_exactly_as_it_is_served(made: ModelSet, record: WalkForward, bars: Bars) -> None:
    served = Predictor.load(made).predict_history("BTCUSDT", bars.candles, bars.funding)
    rows = np.searchsorted(bars.candles.open_time, record.open_time)
    test = record.part == TEST
    assert test.sum() > 400
    for recorded, answered in ((record.p_long, served.p_long), (record.p_short, served.p_short)):
        np.testing.assert_allclose(recorded[test], answered[rows][test], rtol=0, atol=1e-9)
    for h in made.manifest.horizons:
        for at, side in enumerate(("long", "short")):
            logits = record.logits["stack"][f"{h}/{side}"][test]
            np.testing.assert_allclose(1 / (1 + np.exp(-logits)), served.horizons[h][rows, at][test], atol=1e-3)
    assert np.mean(record.regime[test].argmax(axis=1) == served.regime[rows][test]) > 0.99


def test_traded_probabilities_are_the_stacks_by_weights_that_sum_to_one(record: WalkForward) -> None:
    first = record.part == 0
    heads = np.column_stack([1 / (1 + np.exp(-record.logits["stack"][f"{h}/long"])) for h in (5, 12)])
    np.testing.assert_allclose(record.p_long[first], heads[first].mean(axis=1), atol=1e-3)
    folds = record.part >= 0
    assert (record.p_long[folds] > heads[folds].min(axis=1) - 1e-3).all()
    assert (record.p_long[folds] < heads[folds].max(axis=1) + 1e-3).all()
    for key in ("5/long", "12/short"):
        np.testing.assert_array_equal(record.logits["stack"][key][first], record.logits["average"][key][first])
        mean = (record.logits["lightgbm"][key] + record.logits["lstm"][key]) / 2
        np.testing.assert_allclose(record.logits["average"][key], mean, atol=2e-3)


def test_a_stack_is_fitted_on_the_folds_before_and_learns_from_them(problem: Problem) -> None:
    """One member knows the outcome and one knows nothing: from the second fold on the stack follows the first."""
    folds, draws = Folds(problem, spec()), np.random.default_rng(0)
    judged = np.concatenate([part for _, _, part in folds.parts])
    noise = np.full(problem.targets.shape, np.nan)
    noise[judged] = draws.standard_normal((len(judged), noise.shape[1]))
    knows = np.where(np.isnan(noise), np.nan, 2 * np.nan_to_num(problem.targets) - 1)
    members = [Answers(("a",) * 4, knows, knows, ()), Answers(("b",) * 4, noise, noise, ())]
    folded = fuse_folds(problem, members, folds, spec())
    first, second = folds.parts[0][2], folds.parts[1][2]
    np.testing.assert_allclose(folded.logits[first], (knows[first] + noise[first]) / 2)
    known = ~np.isnan(problem.targets[second, 0])
    apart = folded.logits[second, 0][known] * knows[second, 0][known]
    assert (apart > 1.5).all(), "sure, and on the right side"
    assert np.isnan(folded.logits[problem.slices.stop.start :]).all()


def test_rows_whose_outcome_the_fold_would_know_are_kept_from_its_stack(problem: Problem) -> None:
    folds = Folds(problem, spec())
    assert len(folds.judged_before(0)) == 0
    for number in (1, 2):
        earlier, first = folds.judged_before(number), folds.parts[number][2][0]
        assert earlier[-1] == first - folds.purge - 1
        assert earlier[0] == folds.parts[0][2][0]


def test_its_labels_are_the_problems(problem: Problem, record: WalkForward) -> None:
    rows = np.searchsorted(problem.bars.candles.open_time, record.open_time)
    for key, known in problem.heads.items():
        horizon, side = key.split("/")
        paid = record.profitable(int(horizon), 1 if side == "long" else -1, spec().labels.cost)
        np.testing.assert_array_equal(paid, known[rows])
    test = record.part == TEST
    np.testing.assert_array_equal(record.regimes()[test], problem.regimes[rows][test])


def test_a_folds_regime_edges_are_its_own(problem: Problem, record: WalkForward, made: ModelSet) -> None:
    edges = [record.edges[record.part == part] for part in (0, 1, 2, TEST)]
    assert all((each == each[0]).all() for each in edges)
    assert len({tuple(each[0]) for each in edges}) == 4
    np.testing.assert_allclose(edges[3][0], made.manifest.ensemble.regime_edges, rtol=1e-7)
    np.testing.assert_allclose(edges[0][0], problem.edges_of(Folds(problem, spec()).parts[0][0]), rtol=1e-7)


def test_the_manifests_baselines_score_without_training_data_what_was_recorded(
    made: ModelSet, record: WalkForward, problem: Problem
) -> None:
    fitted, test = made.manifest.baselines, record.part == TEST
    assert fitted is not None
    rows = np.searchsorted(problem.bars.candles.open_time, record.open_time)[test]
    scores = baselines.direction_scores(fitted, problem.bars.candles, problem.matrix)
    assert set(scores) == {f"{h}/{what}" for h in (5, 12) for what in ("up", "long", "short")}
    for name, heads in record.scores.items():
        for key, column in heads.items():
            np.testing.assert_allclose(column[test], scores[key][name][rows], rtol=2**-10)
    np.testing.assert_allclose(record.minus_24h_return[test], scores["5/long"]["minus_24h_return"][rows], rtol=2**-10)
    shares = [np.mean(problem.regimes[problem.rows_in(problem.slices.train)] == k) for k in range(len(REGIMES))]
    np.testing.assert_allclose(fitted.regime_shares, shares, atol=0.01)
    known = problem.heads["5/long"][problem.rows_in(problem.slices.train)]
    assert fitted.base_rate["5/long"] == pytest.approx(np.nanmean(known))


def test_a_fitted_baseline_is_the_regression_on_the_rows_it_was_given(problem: Problem) -> None:
    rows = problem.rows_in(problem.slices.train)[200:]
    fitted = fitting.fit(problem, rows, problem.edges)
    x, y = problem.matrix[rows], problem.questions["12/up"][rows]
    inputs = np.clip((x - x.mean(axis=0)) / x.std(axis=0), -ridge.CLIP, ridge.CLIP)
    regression = LogisticRegression(C=ridge.C_FEATURES, max_iter=1000, tol=1e-8).fit(inputs, y)
    np.testing.assert_allclose(
        fitted.direction["12/up"]["logistic"].score(x), regression.decision_function(inputs), atol=1e-3
    )
    np.testing.assert_array_equal(problem.questions["12/up"], labels.up(problem.bars.candles, 12))
    har = fitted.regime["har_and_calendar"].probabilities(problem.clock[rows])
    np.testing.assert_allclose(har.sum(axis=1), 1)
    known = ~np.isnan(problem.regimes[rows])
    assert np.mean(har.argmax(axis=1)[known] == problem.regimes[rows][known]) > 0.4


def test_the_trained_networks_own_logits_are_kept_for_the_golden_inputs(made: ModelSet) -> None:
    golden = made.manifest.golden
    assert golden is not None
    assert set(golden.trained) == {f"lstm/{key}" for key in made.manifest.member("lstm").heads}
    lstm = open_members(made.manifest, made.contents, made.path, "cpu")["lstm"]
    exported = lstm.answer(*golden_inputs(made.manifest, golden.seed, golden.count))
    for at, key in enumerate(made.manifest.member("lstm").heads):
        assert np.abs(exported[:, at] - golden.trained[f"lstm/{key}"]).max() <= 1e-4
        assert np.std(golden.trained[f"lstm/{key}"]) > 0


def test_every_run_is_a_trial_and_every_look_at_the_test_slice_is_counted(bars: Bars, tmp_path: Path) -> None:
    openings, ids = [], []
    for seed in (1, 2):
        quick = spec().model_copy(update={"seed": seed, "lstm": None})
        manifest = make_set(bars, quick, tmp_path, Steps(quiet=True), 1).manifest
        openings.append(manifest.evidence["test_openings"])
        ids.append(manifest.id)
    assert openings == [1, 2]
    ledger = trials.read(tmp_path)
    assert [(t.set_id, t.name, t.trials) for t in ledger.trials] == [(i, "recorded", 1) for i in ids]
    assert trials.count(tmp_path) == 2
    test = manifest.data.splits["test"]
    assert {(t.test_start, t.test_end) for t in ledger.trials} == {(test.start, test.end)}
