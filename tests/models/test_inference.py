"""Inference: one answer for a candle, live or in a history; and a reason wherever there is none."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import lightgbm
import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import numpy_helper

from market import synthetic
from market.aggregate import aggregate
from market.timeframes import Timeframe
from models import features
from models.golden import golden_outputs, with_golden
from models.inference import NotReady, Predictor
from models.logits import sigmoid
from models.manifest import Manifest, Member
from models.members import open_members
from models.modelset import ModelSet, ModelSetError, digest, save
from tests.models.small_sets import HEADS, HOUR, Made, Market, make_set, network


@pytest.fixture(scope="module")
def predictor(made: Made, tmp_path_factory: pytest.TempPathFactory) -> Predictor:
    return Predictor.load(save(made.manifest, made.files, tmp_path_factory.mktemp("sets")))


def exchanged(made: Made, name: str, content: bytes, **parts: object) -> Made:
    """The set with one member's file replaced, its hash with it, and no golden answers."""
    entries = [
        m
        if m.name != name
        else Member.model_validate(m.model_dump() | {"sha256": digest(content), "bytes": len(content)} | parts)
        for m in made.manifest.models
    ]
    manifest = Manifest.model_validate(made.manifest.model_dump() | {"models": tuple(entries), "golden": None})
    return Made(manifest, made.files | {made.manifest.member(name).file: content})


def test_live_says_what_history_says_on_every_bar(predictor: Predictor, market: Market) -> None:
    told = predictor.predict_history("BTCUSDT", market.candles, market.funding)
    for at in range(len(market.candles) - 120, len(market.candles)):
        window = market.candles[at + 1 - predictor.lookback : at + 1]
        live = predictor.predict("BTCUSDT", window, market.funding)
        assert (live.symbol, live.open_time) == ("BTCUSDT", told.open_time[at])
        assert (live.p_long, live.p_short, live.regime) == (told.p_long[at], told.p_short[at], told.regime[at])
        assert live.horizons == {h: tuple(told.horizons[h][at]) for h in (5, 12)}


def test_candles_before_the_lookback_change_nothing(predictor: Predictor, market: Market) -> None:
    exact = predictor.predict("BTCUSDT", market.candles[-predictor.lookback :], market.funding)
    assert predictor.predict("BTCUSDT", market.candles, market.funding) == exact


def test_a_prediction_follows_from_the_members_by_the_manifest(
    predictor: Predictor, market: Market, made: Made
) -> None:
    m = made.manifest
    matrix = features.compute(market.candles, market.funding, m.features.names)
    scaler = m.features.scaler
    assert scaler is not None
    scaled = np.clip((matrix[-8:] - scaler.center) / scaler.scale, -8, 8).astype(np.float32)
    session = onnxruntime.InferenceSession(made.files["lstm.onnx"], providers=["CPUExecutionProvider"])
    lstm = session.run(None, {"window": scaled[None]})[0][0].astype(np.float64)
    said = predictor.predict("BTCUSDT", market.candles, market.funding)
    sides: dict[str, float] = {"long": 0.0, "short": 0.0}
    for i, key in enumerate(HEADS):
        name = f"lgbm_{key.replace('/', '_')}"
        trees = lightgbm.Booster(model_str=made.files[f"{name}.txt"].decode()).predict(matrix[-1:], raw_score=True)[0]
        p = sigmoid(np.array(0.9 * (-0.1 + 0.4 * lstm[i] + 0.7 * trees) + 0.05))
        horizon, side = key.split("/")
        assert said.horizons[int(horizon)][side == "short"] == pytest.approx(p, abs=1e-8)
        assert said.members[f"lstm/{key}"] == pytest.approx(sigmoid(np.array(lstm[i])), abs=1e-8)
        assert said.members[f"{name}/{key}"] == pytest.approx(sigmoid(np.array(trees)), abs=1e-8)
        sides[side] += m.ensemble.weights[horizon] * float(p)
    assert (said.p_long, said.p_short) == pytest.approx((sides["long"], sides["short"]), abs=1e-8)
    regime = lightgbm.Booster(model_str=made.files["regime.txt"].decode()).predict(matrix[-1:])[0]
    assert said.regime_probabilities == pytest.approx(tuple(regime), abs=1e-8)
    assert said.regime == int(regime.argmax())


def test_probabilities_are_rounded_to_a_billionth(predictor: Predictor, market: Market) -> None:
    said = predictor.predict("BTCUSDT", market.candles, market.funding)
    for p in (said.p_long, said.p_short, *said.regime_probabilities, *said.members.values()):
        assert p == round(p, 9)
        assert 0 <= p <= 1


def test_neither_side_is_one_minus_the_other(predictor: Predictor, market: Market) -> None:
    told = predictor.predict_history("BTCUSDT", market.candles, market.funding)
    known = told.regime >= 0
    assert np.abs(told.p_long[known] + told.p_short[known] - 1).min() > 1e-6


def test_the_first_candles_of_a_history_have_no_prediction_and_it_says_why(
    predictor: Predictor, market: Market
) -> None:
    seen: list[tuple[int, int]] = []
    told = predictor.predict_history("BTCUSDT", market.candles, market.funding, lambda n, of: seen.append((n, of)))
    need = predictor.lookback
    assert told.refusals == {f"fewer than {need} candles": need - 1}
    assert np.isnan(told.p_long[: need - 1]).all()
    assert (told.regime[: need - 1] == -1).all()
    assert np.isfinite(told.p_long[need - 1 :]).all()
    assert seen[-1] == (len(market.candles) - need + 1,) * 2


def test_a_history_without_a_predictable_candle_is_all_refusals(predictor: Predictor, market: Market) -> None:
    for count in (0, 1, predictor.lookback - 1):
        told = predictor.predict_history("BTCUSDT", market.candles[:count], market.funding)
        assert len(told.p_long) == count
        assert sum(told.refusals.values()) == count
        with pytest.raises(NotReady, match=f"fewer than {predictor.lookback} candles"):
            predictor.predict("BTCUSDT", market.candles[:count], market.funding)


def test_live_refuses_for_the_reason_history_counts(predictor: Predictor, market: Market) -> None:
    there = np.ones(len(market.candles), dtype=bool)
    there[1000] = False
    taker = market.candles.taker_base.copy()
    taker[-30] = np.nan
    close = market.candles.close.copy()
    close[-40] = np.nan
    hole = f"a hole in the last {predictor.lookback} candles"
    cases = [
        (hole, market.candles[there][:1300], market.funding),
        (hole, replace(market.candles, close=close), market.funding),
        ("no volume or taker_base", replace(market.candles, taker_base=taker), market.funding),
        ("no funding", market.candles, None),
    ]
    for reason, candles, funding in cases:
        with pytest.raises(NotReady) as caught:
            predictor.predict("BTCUSDT", candles, funding)
        assert caught.value.reason == reason
        told = predictor.predict_history("BTCUSDT", candles, funding)
        assert told.refusals[reason] > 0
        assert np.isnan(told.p_long[-1])
        assert sum(told.refusals.values()) == int(np.isnan(told.p_long).sum()) == int((told.regime < 0).sum())


def test_a_member_without_a_finite_answer_gives_no_prediction(made: Made, market: Market, tmp_path: Path) -> None:
    model = onnx.load_from_string(network(len(made.manifest.features.names)))
    for tensor in model.graph.initializer:
        if tensor.name == "hb":
            tensor.CopyFrom(numpy_helper.from_array(np.array([0, np.inf, 0, 0], dtype=np.float32), "hb"))
    sick = exchanged(made, "lstm", model.SerializeToString())
    broken = Predictor.load(save(sick.manifest, sick.files, tmp_path))
    with pytest.raises(NotReady, match="no finite number"):
        broken.predict("BTCUSDT", market.candles, market.funding)
    told = broken.predict_history("BTCUSDT", market.candles, market.funding)
    assert told.refusals["a member gave no finite number"] == len(market.candles) - broken.lookback + 1
    assert np.isnan(told.p_long).all()
    assert np.isnan(told.horizons[12]).all()
    assert (told.regime == -1).all()


def test_candles_of_another_timeframe_are_a_mistake_and_not_a_refusal(predictor: Predictor, market: Market) -> None:
    with pytest.raises(ValueError, match="reads 1h candles, these are 4h"):
        predictor.predict("BTCUSDT", aggregate(market.candles, Timeframe.parse("4h")), market.funding)


def test_another_symbol_of_the_same_kind_can_be_asked_about(predictor: Predictor) -> None:
    candles, funding = synthetic.generate("ETHUSDT", bars=900, timeframe=HOUR, seed=9)
    said = predictor.predict("ETHUSDT", candles, funding)
    assert said.symbol == "ETHUSDT"


def test_a_set_on_few_features_needs_few_candles_and_no_funding(market: Market, tmp_path: Path) -> None:
    small = make_set(market, ("return_1", "return_24", "volatility_24", "hour_sine_1"))
    found = Predictor.load(save(small.manifest, small.files, tmp_path))
    assert found.lookback == 25 + 7
    assert found.predict("BTCUSDT", market.candles[-32:], None).p_long > 0


def test_the_predictor_tells_what_the_daemon_asks(predictor: Predictor) -> None:
    assert predictor.id == predictor.model_set.path.name
    assert predictor.max_hold_bars == 11
    assert str(predictor.timeframe) == "1h"
    assert predictor.expires_ms == 1_893_456_000_000
    assert set(predictor.providers.values()) <= {"cpu", "cuda"}
    assert set(predictor.providers) == {m.name for m in predictor.manifest.models}


def test_a_network_that_answers_a_row_by_its_neighbours_is_asked_row_by_row(made: Made) -> None:
    members = open_members(made.manifest, made.files, Path("set"))
    lstm = members["lstm"]
    assert lstm.batch == 64  # type: ignore[attr-defined]
    matrix = np.random.default_rng(0).standard_normal((300, len(made.manifest.features.names)))
    rows = np.arange(7, 300, dtype=np.int64)
    together = lstm.answer(matrix, rows)
    lstm.batch = 1  # type: ignore[attr-defined]
    np.testing.assert_array_equal(lstm.answer(matrix, rows), together)
    np.testing.assert_array_equal(lstm.answer(matrix, rows[100:101]), together[100:101])
    assert lstm.answer(matrix, rows[:0]).shape == (0, 4)


def test_golden_answers_are_asked_again_at_every_load(made: Made, stored_set: Path, tmp_path: Path) -> None:
    golden = made.manifest.golden
    assert golden is not None
    members = open_members(made.manifest, made.files, stored_set)
    found = golden_outputs(made.manifest, members, golden.seed, golden.count)
    assert {"p_long", "p_short", "5/long", "regime/low", "lstm/5/long"} <= set(found)
    Predictor.load(stored_set)
    forged = dict(golden.outputs) | {"p_long": tuple(p + 0.001 for p in golden.outputs["p_long"])}
    other = made.manifest.model_copy(update={"golden": golden.model_copy(update={"outputs": forged})})
    path = save(other, made.files, tmp_path / "other")
    with pytest.raises(ModelSetError, match=r"answers p_long 0.001 off its golden answers"):
        Predictor.load(path)


def test_a_swapped_network_in_a_consistently_forged_set_is_found_by_its_golden_answers(
    made: Made, tmp_path: Path
) -> None:
    other = network(len(made.manifest.features.names), seed=4)
    swapped = exchanged(made, "lstm", other)
    forged = swapped.manifest.model_copy(update={"golden": made.manifest.golden})
    path = save(forged, swapped.files, tmp_path)
    assert ModelSet.load(path).id == path.name  # every hash fits
    with pytest.raises(ModelSetError, match="off its golden answers"):
        Predictor.load(path)


@pytest.mark.parametrize(
    ("name", "content", "words"),
    [
        ("lstm", lambda n: b"\x08\x08garbage", "no ONNX network"),
        ("lstm", lambda n: network(n - 1), "its input is"),
        ("lstm", lambda n: network(n, window=9), "its input is"),
        ("lstm", lambda n: network(n, heads=2), "its outputs are"),
        ("regime", lambda n: b"tree\nversion=v4\nnonsense", "no LightGBM model"),
        ("regime", lambda n: b"\xff\xff", "no LightGBM model"),
    ],
)
def test_a_file_that_is_another_model_than_the_manifest_says_is_refused(
    made: Made, tmp_path: Path, name: str, content: Callable[[int], bytes], words: str
) -> None:
    other = exchanged(made, name, content(len(made.manifest.features.names)))
    path = save(other.manifest, other.files, tmp_path)
    with pytest.raises(ModelSetError, match=words) as caught:
        Predictor.load(path)
    assert caught.value.where == path / made.manifest.member(name).file


def test_a_booster_of_another_shape_is_refused(made: Made, market: Market, tmp_path: Path) -> None:
    other = exchanged(made, "regime", made.files["lgbm_5_long.txt"])
    many = len(made.manifest.features.names)
    words = f"{many} features and 1 outputs, where the manifest says {many} and 3"
    with pytest.raises(ModelSetError, match=words):
        Predictor.load(save(other.manifest, other.files, tmp_path))


def test_a_gpu_that_is_not_there_is_refused_when_insisted_on_and_else_done_without(stored_set: Path) -> None:
    if "CUDAExecutionProvider" in onnxruntime.get_available_providers():
        assert Predictor.load(stored_set, "cuda").providers["lstm"] == "cuda"
        return
    with pytest.raises(ModelSetError, match="GPU cannot be used"):
        Predictor.load(stored_set, "cuda")
    assert Predictor.load(stored_set, "auto").providers["lstm"] == "cpu"


def test_golden_answers_are_reproducible(made: Made) -> None:
    assert with_golden(made.manifest, made.files).golden == made.manifest.golden
