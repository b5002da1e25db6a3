"""The whole zoo in one small set: what each mode makes, what is kept, and that live says what training said."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from backtest.gate import parity
from configs import ConfigError, parse
from market.progress import Steps
from models import features, labels, trials
from models.evaluation import outcomes
from models.inference import NotReady, Predictor
from models.modelset import ModelSet
from models.walkforward import TEST, read
from training import families, tuning
from training.data import Bars, DataError, synthetic_market
from training.executors import Executor
from training.folds import FINISHED, Folds
from training.fusion import fuse
from training.kept import Kept
from training.modes import MODES
from training.plan import NotTrained, Workshop, taught, units_of
from training.problem import pose
from training.run import make_set
from training.spec import TrainingSpec
from training.units import Context, Unit

ZOO = """\
name: zoo
data: {bars: 2400, synthetic_seed: 3}
features: {max_lookback: 26}
labels: {horizons: [5, 12]}
lightgbm: {rounds: 12, patience: 5, min_leaf: 40, compare_plain: true}
lstm: {window: 8, hidden: 6, layers: 2, bidirectional: true, pooling: attention, epochs: 1, stride: 8, seeds: 2,
       horizon_weights: [0.6, 0.4], augment: {}}
tft: {window: 10, hidden: 8, embedding: 2, attention_heads: 2, epochs: 1, stride: 16}
transformer: {window: 10, width: 8, attention_heads: 2, layers: 1, epochs: 1, stride: 16, loss: focal}
lstm15m: {window: 12, hidden: 4, epochs: 1, stride: 64, features: {max_lookback: 20}}
student: {window: 8, hidden: 4, epochs: 1, stride: 8}
regime: {har: true, lstm: {window: 8, hidden: 4, epochs: 1, stride: 8}}
splits: {folds: 2}
evidence: {draws: 100, canary: false}
"""
TRAILING = """\
name: trailing
data: {bars: 12000, synthetic_seed: 3}
features: {max_lookback: 26}
labels: {horizons: [5], regime_edges: trailing}
lightgbm: {rounds: 12, patience: 5, min_leaf: 40}
splits: {folds: 2}
evidence: {draws: 100, canary: false}
"""
COMPARED = """\
name: compared
data: {bars: 2400, synthetic_seed: 3, companion: ETHUSDT}
features: {max_lookback: 400, exclude: [funding_last, funding_24h, funding_168h]}
labels: {horizons: [5]}
lightgbm: {rounds: 12, patience: 5, min_leaf: 40}
lstm: null
splits: {folds: 2}
evidence: {draws: 100, canary: false}
"""
SEARCHED = ZOO.replace("compare_plain: true", "search: {trials: 2}")
YEAR = 365 * 24
DIRECTION = ["lightgbm", "lstm", "tft", "transformer", "lstm15m", "student"]


def zoo() -> TrainingSpec:
    return parse(ZOO, TrainingSpec)


@pytest.fixture(scope="module")
def bars() -> Bars:
    return synthetic_market(zoo().data, "15m")


@pytest.fixture(scope="module")
def kept(tmp_path_factory: pytest.TempPathFactory) -> Kept:
    return Kept(tmp_path_factory.mktemp("kept"))


@pytest.fixture(scope="module")
def made(bars: Bars, kept: Kept, tmp_path_factory: pytest.TempPathFactory) -> ModelSet:
    store = tmp_path_factory.mktemp("zoo")
    outcome = make_set(bars, zoo(), store, Steps(quiet=True), 1, workshop=Workshop(kept=kept))
    return ModelSet.load(outcome.path)


def test_every_family_is_a_member_and_answers_in_the_record(made: ModelSet) -> None:
    record = read(made)
    assert list(dict.fromkeys(m.family for m in made.manifest.models if m.role == "direction")) == DIRECTION
    assert list(record.families) == DIRECTION
    for heads in record.logits.values():
        assert set(heads) == {"5/long", "5/short", "12/long", "12/short"}
    assert made.manifest.ensemble.pool is not None
    assert made.manifest.ensemble.pool.members == ("regime", "regime_lstm", "har")
    assert set(made.manifest.evidence["fitting"]) >= {*DIRECTION, "regime", "regime_lstm"}  # type: ignore[arg-type]


def test_every_network_says_in_onnx_what_it_said_in_torch(made: ModelSet) -> None:
    golden = made.manifest.golden
    assert golden is not None
    networks = [m for m in made.manifest.models if m.kind == "onnx"]
    assert [m.name for m in networks] == ["lstm", "tft", "transformer", "lstm15m", "student", "regime_lstm"]
    for member in networks:
        assert set(member.parity) == {"batch_1", "batch_2", "batch_7", "batch_64"}
        assert max(member.parity.values()) <= 1e-4
        assert f"{member.name}/{member.heads[0]}" in golden.trained
    served = parity._from_trained(Predictor.load(made))
    assert set(served) == set(golden.trained), "the gate compares each of them, the regime's too"
    assert max(served.values()) <= 1e-4


def test_live_history_and_training_say_the_same(made: ModelSet, bars: Bars) -> None:
    """One path from logits to probability: the stack's, whoever asks."""
    predictor, record = Predictor.load(made), read(made)
    told = predictor.predict_history("BTCUSDT", bars.candles, bars.funding, finer=bars.finer)
    test = np.searchsorted(bars.candles.open_time, record.open_time[record.part == TEST])
    np.testing.assert_array_equal(told.p_long[test], record.p_long[record.part == TEST])
    assert not told.without
    for row in test[[0, 100, -1]]:
        close = int(bars.candles.open_time[row]) + bars.candles.timeframe.ms
        assert bars.finer is not None
        live = predictor.predict(
            "BTCUSDT", bars.candles[: row + 1], bars.funding, finer=bars.finer.between(None, close)
        )
        assert (live.p_long, live.p_short, live.regime) == (told.p_long[row], told.p_short[row], told.regime[row])


def test_without_shorter_candles_the_others_answer_as_the_manifest_says(made: ModelSet, bars: Bars) -> None:
    predictor = Predictor.load(made)
    assert made.manifest.ensemble.dead_member == "without"
    assert set(made.manifest.ensemble.without) == set(DIRECTION)
    alone = predictor.predict_history("BTCUSDT", bars.candles, bars.funding)
    whole = predictor.predict_history("BTCUSDT", bars.candles, bars.funding, finer=bars.finer)
    told = ~np.isnan(alone.p_long)
    assert told.sum() >= (~np.isnan(whole.p_long)).sum()
    assert alone.without == {"lstm15m": int(told.sum())}


@pytest.mark.parametrize("mode", [mode for mode in MODES if mode not in ("all", "stacking")])
def test_a_mode_makes_a_set_of_its_family_out_of_what_is_kept(
    mode: str, bars: Bars, made: ModelSet, kept: Kept, tmp_path: Path
) -> None:
    outcome = make_set(
        bars, zoo(), tmp_path, Steps(quiet=True), 1, mode=mode, workshop=Workshop(kept=kept, train=False)
    )
    found = {m.family for m in outcome.manifest.models if m.role == "direction"}
    assert found == {MODES[mode]}
    ours = {m.name: m.sha256 for m in outcome.manifest.models}
    assert ours.items() <= {m.name: m.sha256 for m in made.manifest.models}.items(), "the very files of the whole set"


def test_stacking_trains_nothing_and_says_what_is_missing(
    bars: Bars, made: ModelSet, kept: Kept, tmp_path: Path
) -> None:
    workshop = Workshop(kept=kept, train=False)
    outcome = make_set(bars, zoo(), tmp_path, Steps(quiet=True), 1, mode="stacking", workshop=workshop)
    assert outcome.manifest.ensemble == made.manifest.ensemble
    other = zoo().model_copy(update={"seed": 2})
    with pytest.raises(NotTrained, match=r"lightgbm, lstm, .*run --mode all, or the modes of each, first"):
        make_set(bars, other, tmp_path, Steps(quiet=True), 1, mode="stacking", workshop=workshop)


@pytest.mark.parametrize("kind", ["process", "ray"])
def test_other_executors_give_the_set_that_this_process_gives(kind: str, bars: Bars, tmp_path: Path) -> None:
    if kind == "ray":
        pytest.importorskip("ray", reason="Ray is an extra: pip install '.[cluster]'")
    small = zoo()
    assert small.lstm is not None
    spec = small.model_copy(
        update={
            "tft": None, "transformer": None, "student": None,
            "lstm": small.lstm.model_copy(update={"seeds": 1}),
            "regime": small.regime.model_copy(update={"lstm": None}),
        }
    )  # fmt: skip
    made = {
        where: ModelSet.load(
            make_set(bars, spec, tmp_path / where, Steps(quiet=True), 1, workshop=Workshop(Executor(where))).path
        )
        for where in ("serial", kind)
    }
    theirs = read(made[kind]).columns()
    for name, column in read(made["serial"]).columns().items():
        np.testing.assert_allclose(theirs[name], column, rtol=0, atol=1e-6, err_msg=name)
    assert made["serial"].manifest.evidence["heads"] == made[kind].manifest.evidence["heads"]


def test_a_spec_without_the_modes_section_is_refused(bars: Bars, tmp_path: Path) -> None:
    spec = zoo().model_copy(update={"tft": None})
    with pytest.raises(ConfigError, match="mode tft trains tft, and the spec has no section tft"):
        make_set(bars, spec, tmp_path, Steps(quiet=True), mode="tft")


def test_the_finer_member_without_finer_candles_is_refused_unless_its_mode_is_not_asked_for(
    bars: Bars, tmp_path: Path
) -> None:
    with pytest.raises(DataError, match=r"lstm15m reads 15m candles; give them as a second file after a comma"):
        make_set(replace(bars, finer=None), zoo(), tmp_path, Steps(quiet=True))
    spec = zoo().model_copy(update={"regime": zoo().regime.model_copy(update={"lstm": None})})
    made = make_set(replace(bars, finer=None), spec, tmp_path, Steps(quiet=True), mode="lgb").manifest
    assert made.finer is None


def test_the_students_teacher_knew_neither_the_row_nor_what_follows(bars: Bars, kept: Kept, made: ModelSet) -> None:
    """Outcomes from the second fold on are turned round: what the teacher says of either stays as it was."""
    spec = zoo()
    problem = pose(bars, spec)
    context = Context(problem, spec, Folds(problem, spec))
    fits = Workshop(kept=kept, train=False).fit(context, ["lightgbm", "transformer"], Steps(quiet=True))
    members = [
        families.BOOSTED.finish(context, fits),
        families.NETWORKS["transformer"].finish(context, fits).answers(4),
    ]
    teacher = taught(context, members).teacher
    assert teacher is not None
    first, second = (judged for _, _, judged in context.folds.parts)
    np.testing.assert_array_equal(np.flatnonzero(np.isfinite(teacher).all(axis=1)), np.concatenate([first, second]))
    heads = {
        key: np.where(np.arange(len(known)) >= second[0], 1 - known, known) for key, known in problem.heads.items()
    }
    other = replace(context, problem=replace(problem, heads=heads))
    theirs = taught(other, members).teacher
    np.testing.assert_array_equal(theirs[np.concatenate([first, second])], teacher[np.concatenate([first, second])])
    student = families.NETWORKS["student"]
    assert student._teacher(replace(context, teacher=teacher), context.folds.parts[0][0]) is None, "nobody spoke before"
    known = student._teacher(replace(context, teacher=teacher), context.folds.parts[1][0])
    assert known is not None
    assert np.isfinite(known).all(axis=1)[np.intersect1d(first, context.folds.parts[1][0])].all()


def test_a_stack_reads_volatility_and_disagreement_beside_its_members(made: ModelSet) -> None:
    for stacker in made.manifest.ensemble.stackers.values():
        assert [c.name for c in stacker.context] == ["volatility", "disagreement"]
        assert all(c >= 0 for c in stacker.coefficients), "a member is never turned round"


def test_the_test_slice_is_the_days_asked_for(bars: Bars) -> None:
    spec = zoo()
    days = spec.model_copy(update={"splits": spec.splits.model_copy(update={"test_days": 20})})
    slices = pose(bars, days).slices
    assert (len(slices.test), slices.test.stop) == (20 * 24, len(bars.candles))
    assert slices.calibrate.stop + 24 == slices.test.start


def test_trailing_edges_are_those_of_the_year_before_in_training_and_in_evaluation(tmp_path: Path) -> None:
    spec = parse(TRAILING, TrainingSpec)
    bars = synthetic_market(spec.data)
    edges = labels.trailing_edges(bars.candles, 24)
    assert np.isfinite(edges[YEAR + 24 :]).all()
    assert np.isnan(edges[: YEAR + 23]).all()
    closes = bars.candles.close.copy()
    closes[-300:] *= np.where(np.arange(300) % 2, 1.05, 0.95)
    other = labels.trailing_edges(replace(bars.candles, close=closes), 24)
    np.testing.assert_array_equal(other[:-300], edges[:-300], "no edge knows what comes")
    assert not np.array_equal(other[-200:], edges[-200:])
    late = labels.trailing_edges(bars.candles[500:], 24)
    np.testing.assert_array_equal(late[YEAR + 24 :], edges[500 + YEAR + 24 :], "nor where the history begins")

    made = ModelSet.load(make_set(bars, spec, tmp_path, Steps(quiet=True), 1, mode="lgb").path)
    assert made.manifest.data.labels.regime_edges == "trailing"
    record = read(made)
    rows = np.searchsorted(bars.candles.open_time, record.open_time)
    np.testing.assert_allclose(record.edges, edges[rows], rtol=1e-7)
    judged = outcomes.regimes(made.manifest, bars.candles)[rows]
    np.testing.assert_array_equal(record.regimes(), judged)
    assert 0.1 < np.mean(judged[~np.isnan(judged)] == 1) < 0.6


def test_a_set_that_compares_two_symbols_says_live_what_it_said_in_training(tmp_path: Path) -> None:
    spec = parse(COMPARED, TrainingSpec)
    bars = synthetic_market(spec.data, companion="ETHUSDT")
    made = ModelSet.load(make_set(bars, spec, tmp_path, Steps(quiet=True), 1, mode="lgb").path)
    assert made.manifest.features.pair == ("BTCUSDT", "ETHUSDT")
    assert set(features.CROSS) <= set(made.manifest.features.names)
    assert set(made.manifest.data.others) == {"companion"}
    predictor, record = Predictor.load(made), read(made)
    told = predictor.predict_history("BTCUSDT", bars.candles, bars.funding, companion=bars.companion)
    test = np.searchsorted(bars.candles.open_time, record.open_time[record.part == TEST])
    np.testing.assert_array_equal(told.p_long[test], record.p_long[record.part == TEST])
    live = predictor.predict("BTCUSDT", bars.candles, bars.funding, companion=bars.companion)
    assert live.p_long == told.p_long[-1]
    with pytest.raises(NotReady, match="companion"):
        predictor.predict("BTCUSDT", bars.candles, bars.funding)


def test_a_search_is_kept_counts_its_trials_and_keeps_to_the_train_slice(
    bars: Bars, kept: Kept, tmp_path: Path
) -> None:
    spec = parse(SEARCHED, TrainingSpec)
    made = make_set(bars, spec, tmp_path, Steps(quiet=True), 1, mode="lgb", workshop=Workshop(kept=kept)).manifest
    assert made.evidence["trials"] == 3
    again = make_set(bars, spec, tmp_path, Steps(quiet=True), 1, mode="lgb", workshop=Workshop(kept=kept, train=False))
    assert [t.trials for t in trials.read(tmp_path).trials] == [3, 1], "what was kept was counted when it was made"
    assert again.manifest.ensemble == made.ensemble
    after = pose(bars, spec).slices.stop.start
    closes = bars.candles.close.copy()
    closes[after:] *= np.exp(np.cumsum(0.01 * np.random.default_rng(1).standard_normal(len(closes) - after)))
    high, low = np.maximum(bars.candles.high, closes), np.minimum(bars.candles.low, closes)
    other = replace(bars, candles=replace(bars.candles, close=closes, high=high, low=low))
    found = []
    for each in (bars, other):
        problem = pose(each, spec)
        found.append(tuning.search(Context(problem, spec, Folds(problem, spec))))
    assert found[0] == found[1], "later slices changed, and the search did not notice"


def test_units_cover_folds_and_seeds_once() -> None:
    units = units_of(zoo(), ["lstm", "regime"])
    assert len(units) == len(set(units)) == 3 * 2 + 3
    assert Unit("lstm", FINISHED, 1) in units


def test_the_stack_in_training_is_the_stack_served(bars: Bars, kept: Kept, made: ModelSet) -> None:
    """`fuse` gives the coefficients; applied to the members' own answers they give what the set says."""
    spec = zoo()
    problem = pose(bars, spec)
    context = Context(problem, spec, Folds(problem, spec))
    workshop = Workshop(kept=kept, train=False)
    fits = workshop.fit(context, ["lightgbm", "lstm", "tft", "transformer", "lstm15m"], Steps(quiet=True))
    members = [families.BOOSTED.finish(context, fits)]
    members += [
        families.NETWORKS[f].finish(context, fits).answers(4) for f in ("lstm", "tft", "transformer", "lstm15m")
    ]
    pupil = taught(context, members)
    fits |= workshop.fit(pupil, ["student"], Steps(quiet=True))
    members.append(families.NETWORKS["student"].finish(pupil, fits).answers(4))
    fused = fuse(problem, members, spec)
    told = Predictor.load(made).predict_history("BTCUSDT", bars.candles, bars.funding, finer=bars.finer)
    rows = problem.rows_in(problem.slices.test)
    for at, horizon in enumerate(spec.labels.horizons):
        trained = fused.probabilities[rows, 2 * at : 2 * at + 2]
        np.testing.assert_allclose(told.horizons[horizon][rows], trained, rtol=0, atol=1e-6)
