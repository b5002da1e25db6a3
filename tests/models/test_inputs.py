"""Inputs: quarters and a companion's hours are read up to the close and no further, live as in a history; where the
quarters are missing, the set answers without the member that reads them, or not at all.
"""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pydantic import ValidationError

from market import history
from market.candles import Candles
from models import features
from models.golden import golden_inputs, with_golden
from models.inference import NotReady, Predictor
from models.inputs import Inputs, closing_with, companion_of
from models.logits import logit, sigmoid
from models.manifest import Manifest, identify, to_bytes
from models.modelset import ModelSet, ModelSetError, resolve, save
from models.prediction import Prediction
from tests.models.small_sets import HEADS, HOUR, Made, Market, make_wide_set, wide_market
from tests.models.test_models_command import models

FINER_LOOKBACK = 7 + 12 - 1


@pytest.fixture(scope="module")
def wide() -> Market:
    return wide_market()


@pytest.fixture(scope="module")
def made(wide: Market) -> Made:
    return make_wide_set(wide)


@pytest.fixture(scope="module")
def predictor(made: Made, tmp_path_factory: pytest.TempPathFactory) -> Predictor:
    return Predictor.load(save(made.manifest, made.files, tmp_path_factory.mktemp("sets")))


def without(candles: Candles | None, *gone: int) -> Candles:
    assert candles is not None
    return candles[~np.isin(np.arange(len(candles)), gone)]


def refusing(wide: Market, tmp_path: Path) -> Predictor:
    strict = make_wide_set(wide, dead_member="refuse")
    return Predictor.load(save(strict.manifest, strict.files, tmp_path))


def same(live: Prediction, told: object, at: int) -> bool:
    found = (told.p_long[at], told.p_short[at], told.regime[at])  # type: ignore[attr-defined]
    heads = {h: tuple(both[at]) for h, both in told.horizons.items()}  # type: ignore[attr-defined]
    return (live.p_long, live.p_short, live.regime) == found and live.horizons == heads


def test_live_says_what_history_says_with_quarters_and_companion_holes_and_all(
    predictor: Predictor, wide: Market
) -> None:
    holed = replace(wide, finer=without(wide.finer, 2000, 2600), companion=without(wide.companion, 690))
    told = predictor.predict_history(
        "BTCUSDT", holed.candles, holed.funding, finer=holed.finer, companion=holed.companion
    )
    assert told.refusals["no companion"] > 0
    lame = refused = 0
    for at in range(480, 700):
        close = int(holed.candles.open_time[at]) + HOUR.ms
        # what a daemon holds at that close: quarters up to it, and a companion's candle not yet there for the next
        known = Inputs(holed.candles, holed.funding, holed.finer, holed.companion).known_at(close)
        asked = {"finer": known.finer, "companion": known.companion}
        if np.isnan(told.p_long[at]):
            with pytest.raises(NotReady, match="no companion"):
                predictor.predict("BTCUSDT", known.candles, known.funding, **asked)
            refused += 1
            continue
        live = predictor.predict("BTCUSDT", known.candles, known.funding, **asked)
        assert same(live, told, at)
        lame += bool(live.without)
    assert lame == told.without["lstm15m"] == 8
    assert refused == 10


def test_quarters_after_the_close_and_before_the_lookback_change_nothing(predictor: Predictor, wide: Market) -> None:
    assert wide.finer is not None
    assert predictor.finer_lookback == FINER_LOOKBACK
    hours = wide.candles[:600]
    told = predictor.predict("BTCUSDT", hours, wide.funding, finer=wide.finer, companion=wide.companion)
    exact = wide.finer[2400 - FINER_LOOKBACK : 2400]
    assert predictor.predict("BTCUSDT", hours, wide.funding, finer=exact, companion=wide.companion) == told
    assert told.without == ()
    short = predictor.predict("BTCUSDT", hours, wide.funding, finer=exact[1:], companion=wide.companion)
    assert short.without == ("lstm15m",)
    assert np.isnan(short.members["lstm15m/3/long"])


def test_a_dead_member_is_done_without_by_the_fusion_the_manifest_names(predictor: Predictor, wide: Market) -> None:
    whole = predictor.predict("BTCUSDT", wide.candles, wide.funding, finer=wide.finer, companion=wide.companion)
    lame = predictor.predict("BTCUSDT", wide.candles, wide.funding, companion=wide.companion)
    for key in HEADS:
        horizon, side = key.split("/")
        names = [f"lstm/{key}", f"lgbm_{horizon}_{side}/{key}"]
        told = [float(logit(np.array(whole.members[name]))) for name in names]
        quarter = float(logit(np.array(whole.members[f"lstm15m/3/{side}"])))
        stacked = -0.1 + 0.4 * told[0] + 0.7 * told[1] + 0.5 * quarter
        expected = float(sigmoid(np.array(0.9 * stacked + 0.05)))
        assert whole.horizons[int(horizon)][side == "short"] == pytest.approx(expected, abs=1e-7)
        left = float(sigmoid(np.array(1.1 * (0.2 + 0.8 * sum(told)) - 0.05)))
        assert lame.horizons[int(horizon)][side == "short"] == pytest.approx(left, abs=1e-7)
    assert whole.without == ()
    assert lame.without == ("lstm15m",)
    assert lame.regime_probabilities == whole.regime_probabilities


def test_a_set_that_refuses_says_which_quarters_it_needs(wide: Market, tmp_path: Path) -> None:
    predictor = refusing(wide, tmp_path)
    reason = f"lstm15m gave no number: it needs {FINER_LOOKBACK} 15m candles in a row"
    with pytest.raises(NotReady) as caught:
        predictor.predict("BTCUSDT", wide.candles, wide.funding, companion=wide.companion)
    assert caught.value.reason == reason
    told = predictor.predict_history("BTCUSDT", wide.candles, wide.funding, companion=wide.companion)
    assert told.refusals[reason] == len(wide.candles) - predictor.lookback + 1
    assert sum(told.refusals.values()) == len(wide.candles)
    assert told.without == {}


def test_two_dead_families_or_a_family_that_cannot_be_done_without_are_refused(wide: Market, tmp_path: Path) -> None:
    dead = make_wide_set(wide, without=("lstm",))
    predictor = Predictor.load(save(dead.manifest, dead.files, tmp_path))
    with pytest.raises(NotReady, match="lstm15m gave no number"):
        predictor.predict("BTCUSDT", wide.candles, wide.funding, companion=wide.companion)
    rows = np.array([600], dtype=np.int64)
    matrix = predictor.matrix(wide.candles, wide.funding, wide.companion)
    finer = predictor.finer_rows(wide.candles, wide.finer, wide.funding)
    sick = predictor._members["lstm"]
    real = sick.answer
    sick.answer = lambda matrix, rows: real(matrix, rows) * np.inf  # type: ignore[method-assign]
    lame = predictor.answers(matrix, rows, finer=finer)
    assert lame.finite.all()
    assert lame.without() == {"lstm": 1}
    both = predictor.answers(matrix, rows)
    assert not both.finite.any()
    assert predictor.unanswered(both) == {"2 families of members gave no finite number: lstm, lstm15m": 1}


def test_golden_answers_hold_the_finer_member_too(made: Made, wide: Market, tmp_path: Path) -> None:
    golden = made.manifest.golden
    assert golden is not None
    assert "lstm15m/3/long" in golden.outputs
    matrix, rows = golden_inputs(made.manifest, golden.seed, golden.count, "15m")
    assert matrix.shape == (golden.count + 11, 4)
    assert len(rows) == golden.count
    trained = with_golden(made.manifest, made.files, trained={"lstm15m": lambda m, r: m[r][:, :2]}).golden
    assert trained is not None
    assert trained.trained["lstm15m/3/short"] == tuple(matrix[rows, 1].tolist())
    forged = dict(golden.outputs) | {"lstm15m/3/long": tuple(p + 0.01 for p in golden.outputs["lstm15m/3/long"])}
    other = made.manifest.model_copy(update={"golden": golden.model_copy(update={"outputs": forged})})
    with pytest.raises(ModelSetError, match=r"answers lstm15m/3/long 0.01 off"):
        Predictor.load(save(other, made.files, tmp_path))


def test_the_companion_of_a_pair_is_the_other_one_and_a_third_symbols_the_first(predictor: Predictor) -> None:
    assert predictor.companion_of("BTCUSDT") == "ETHUSDT"
    assert predictor.companion_of("ETHUSDT") == "BTCUSDT"
    assert predictor.companion_of("SOLUSDT") == "BTCUSDT"
    assert companion_of(None, "BTCUSDT") is None


def test_a_finer_candle_belongs_to_the_decision_it_closes_with(wide: Market) -> None:
    assert wide.finer is not None
    at = closing_with(wide.candles, without(wide.finer, 7))
    assert at[:4].tolist() == [3, -1, 10, 14]
    assert closing_with(wide.candles[:2], wide.finer[:0]).tolist() == [-1, -1]


def test_a_companions_candle_counts_by_its_open_time(wide: Market) -> None:
    names = ("companion_return_1", "companion_lead_5")
    whole = features.compute(wide.candles, None, names, wide.companion)
    holed = features.compute(wide.candles, None, names, without(wide.companion, 100))
    assert np.isnan(holed[100:102, 0]).all()
    assert np.isnan(holed[100:106, 1]).all()
    kept = np.r_[6:100, 106:700]
    np.testing.assert_array_equal(holed[kept], whole[kept])
    assert wide.companion is not None
    logs = np.log(wide.companion.close)
    assert whole[300, 0] == pytest.approx(logs[300] - logs[299], abs=1e-9)
    assert np.isnan(features.compute(wide.candles, None, names)).all()


def test_cross_asset_features_are_options(wide: Market) -> None:
    assert not {f.name for f in features.FEATURES} & set(features.CROSS)
    assert not set(features.available(wide.candles, wide.funding)) & set(features.CROSS)
    assert set(features.CROSS) <= set(features.available(wide.candles, wide.funding, wide.companion))
    live = features.compute(wide.candles[-169:], None, features.CROSS, wide.companion)[-1]
    whole = features.compute(wide.candles, None, features.CROSS, wide.companion)
    np.testing.assert_array_equal(live, whole[-1])
    assert np.isfinite(whole[168:]).all()
    still = np.full(len(wide.candles), 100.0)
    flat = replace(wide.candles, open=still, high=still, low=still, close=still)
    for own, other in ((flat, wide.candles), (wide.candles, flat), (flat, flat)):
        assert np.isfinite(features.compute(own, None, features.CROSS, other)[168:]).all()


def test_the_sets_there_were_keep_their_bytes_and_their_hashes() -> None:
    starter = ModelSet.load(resolve("starter"))
    assert to_bytes(starter.manifest) == (starter.path / "manifest.json").read_bytes()
    assert identify(starter.manifest).id == starter.path.name


def test_a_manifest_that_contradicts_itself_about_finer_members_is_refused(made: Made) -> None:
    told = made.manifest.model_dump()
    fusions = told["ensemble"]["without"]
    reads_it = {"lstm15m": {key: fusion | {"stacker": told["ensemble"]["stackers"][key]} for key, fusion in
                            fusions["lstm15m"].items()}}  # fmt: skip
    members = told["models"]
    cases: list[tuple[str, dict[str, object]]] = [
        ("the manifest's is none", {"finer": None}),
        ("is not finer than 1h", {"finer": told["finer"] | {"timeframe": "1h"},
                                  "models": (*members[:-1], members[-1] | {"timeframe": "1h"})}),
        ("one head for a side", {"models": (*members[:-1], members[-1] | {"heads": ("3/long", "4/long")})}),
        ("reads it all the same", {"ensemble": told["ensemble"] | {"without": reads_it}}),
        ("no family of direction", {"ensemble": told["ensemble"] | {"without": {"tft": fusions["lstm15m"]}}}),
        ("families can be done without", {"ensemble": told["ensemble"] | {"dead_member": "refuse"}}),
        ("compared with itself", {"features": told["features"] | {"pair": ("BTCUSDT", "BTCUSDT")}}),
    ]  # fmt: skip
    for words, parts in cases:
        with pytest.raises(ValidationError, match=words):
            Manifest.model_validate(told | parts)


def test_a_set_that_compares_without_a_pair_is_refused(made: Made, tmp_path: Path) -> None:
    told = made.manifest.model_dump()
    lone = Manifest.model_validate(told | {"features": told["features"] | {"pair": None}})
    with pytest.raises(ModelSetError, match="compares two symbols, and no pair is named"):
        save(lone, made.files, tmp_path)


@pytest.fixture(scope="module")
def files(wide: Market, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the market's hours, quarters, funding and companion as files."""
    folder = tmp_path_factory.mktemp("data")
    assert wide.finer is not None
    assert wide.companion is not None
    history.write(wide.candles, folder / "BTCUSDT-1h.parquet")
    history.write(wide.finer, folder / "BTCUSDT-15m.parquet")
    history.write(wide.companion, folder / "ETHUSDT-1h.parquet")
    history.write(wide.candles, folder / "SOLUSDT-1h.parquet")
    return folder


def evaluated(predictor: Predictor, files: Path, data: str, *more: str) -> tuple[int, dict[str, Any], str]:
    named = ",".join(str(files / name) for name in data.split(","))
    more = tuple(str(files / word) if word.endswith(".parquet") else word for word in more)
    arguments = ("--data", named, *more, "--draws", "20", "--from", "2024-01-04", "--allow-overlap", "--json")
    done = models("evaluate", "--model-set", str(predictor.model_set.path), *arguments)
    return done.returncode, json.loads(done.stdout or "{}"), done.stderr


def test_evaluate_reads_the_second_file_and_the_companion(predictor: Predictor, files: Path) -> None:
    companion = ("--companion", "ETHUSDT-1h.parquet")
    code, told, said = evaluated(predictor, files, "BTCUSDT-1h.parquet,BTCUSDT-15m.parquet", *companion)
    assert code == 0, said
    assert told["data"]["answered_without"] == {}
    assert told["data"]["finer"]["file"].endswith("BTCUSDT-15m.parquet")
    assert told["data"]["companion"]["file"].endswith("ETHUSDT-1h.parquet")
    assert "brier" in told["profitable_long"]["5"]["lstm15m"]
    code, made, said = evaluated(predictor, files, "BTCUSDT-15m.parquet", *companion)
    assert code == 0, said
    assert made["profitable_long"] == told["profitable_long"]  # quarters make the hours
    code, lame, said = evaluated(predictor, files, "BTCUSDT-1h.parquet", *companion)
    assert code == 0, said
    assert "lstm15m is dead: it reads 15m klines, to be given after a comma" in said
    assert lame["data"]["answered_without"] == {"lstm15m": lame["data"]["rows"]}
    assert "lstm15m" not in lame["profitable_long"]["5"]


def test_evaluate_refuses_without_the_companion_or_with_another_symbols_file(
    predictor: Predictor, files: Path, wide: Market, tmp_path: Path
) -> None:
    code, _, said = evaluated(predictor, files, "BTCUSDT-15m.parquet")
    assert code == 7
    assert "compares BTCUSDT with ETHUSDT" in said
    assert "give ETHUSDT's klines by --companion FILE" in said
    code, _, said = evaluated(predictor, files, "BTCUSDT-15m.parquet", "--companion", "SOLUSDT-1h.parquet")
    assert code == 7
    assert "the klines of SOLUSDT, by its name, where ETHUSDT's are read" in said
    companion = ("--companion", "ETHUSDT-1h.parquet")
    code, _, said = evaluated(refusing(wide, tmp_path), files, "BTCUSDT-1h.parquet", *companion)
    assert code == 7
    assert "no 15m candles can be made of it, and lstm15m reads them: give them after a comma" in said


def test_a_member_that_answered_some_bars_is_scored_on_those(
    predictor: Predictor, wide: Market, files: Path, tmp_path: Path
) -> None:
    holed = without(wide.finer, *range(1500, 1600))
    history.write(holed, tmp_path / "BTCUSDT-15m.parquet")
    second = tmp_path / "BTCUSDT-15m.parquet"
    companion = ("--companion", "ETHUSDT-1h.parquet")
    code, told, said = evaluated(predictor, files, f"BTCUSDT-1h.parquet,{second}", *companion)
    assert code == 0, said
    many = told["data"]["answered_without"]["lstm15m"]
    assert many == 25 + 4
    assert told["direction"]["5"]["lstm15m"]["rows"] == told["data"]["rows"] - many
    assert f"{many} of {told['data']['rows']} bars were answered without lstm15m" in said
