"""Evaluation: every figure is the field's, on the same rows; a planted signal is found, and nothing of it invented."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from sklearn import metrics as reference

from market.candles import Candles
from models import evaluation, labels
from models.evaluation import rivals
from models.evaluation.data import DataError, History
from models.evaluation.overlap import Judged as Range
from models.logits import logit, sigmoid
from models.modelset import ModelSet, save
from tests.models import judged_sets
from tests.models.judged_sets import BARS, CALIBRATED, MADE_OF, PURGE, Judged

BASELINES = ("minus_24h_return", "logistic", "volatility_and_clock", "base_rate")
MEMBERS = ("stack", "average", "lgbm", "lstm")
SECTIONS = ("direction", "profitable_long", "profitable_short")
Json = dict[str, Any]


@pytest.fixture(scope="module")
def judged(tmp_path_factory: pytest.TempPathFactory) -> Judged:
    """A set with fitted baselines and a record, on a market with a signal."""
    return judged_sets.make(tmp_path_factory.mktemp("judged"), judged_sets.market())


@pytest.fixture(scope="module")
def old(tmp_path_factory: pytest.TempPathFactory) -> Judged:
    """A set as they were before they carried baselines and records."""
    return judged_sets.make(tmp_path_factory.mktemp("old"), judged_sets.market(), complete=False)


@pytest.fixture(scope="module")
def told(judged: Judged) -> Json:
    """Its report on the bars it was not made of."""
    return run(judged)


def history(judged: Judged, symbol: str = "BTCUSDT", candles: Candles | None = None) -> History:
    return History(symbol, Path("BTCUSDT.parquet"), "0" * 64, candles or judged.candles, judged.funding)


def run(judged: Judged, symbol: str = "BTCUSDT", candles: Candles | None = None, **asked: Any) -> Json:
    return evaluation.evaluate(judged.predictor, history(judged, symbol, candles), **{"draws": 100, **asked})


def rows_of(judged: Judged, told: Json) -> np.ndarray:
    """Positions of the judged bars: all fresh ones whose 24 bars to come are there."""
    rows = np.arange(CALIBRATED + PURGE, BARS - 24)
    assert len(rows) == told["data"]["rows"]
    return rows


def test_a_planted_signal_is_recovered(told: Json) -> None:
    for section in SECTIONS:
        stack = told[section]["5"]["stack"]
        assert stack["auc"] > 0.55
        assert stack["ci"][0] > 0.5
        assert stack["lead"]["minus_24h_return"]["ci"][0] > 0
    assert told["direction"]["5"]["baselines"]["logistic"]["auc"] > 0.55  # the signal is a straight line


def test_where_there_is_no_signal_none_is_found(tmp_path: Path) -> None:
    told = run(judged_sets.make(tmp_path, judged_sets.market(signal=0, seed=4)))
    for h in ("5", "12"):
        low, high = told["direction"][h]["stack"]["ci"]
        assert low < 0.5 < high
        assert told["direction"][h]["stack"]["auc"] < 0.54


def test_auc_brier_and_log_loss_are_scikit_learns_on_those_rows(judged: Judged, told: Json) -> None:
    rows = rows_of(judged, told)
    said = judged.predictor.predict_history("BTCUSDT", judged.candles, judged.funding)
    for h in (5, 12):
        for at, (section, side) in enumerate((("profitable_long", 1), ("profitable_short", -1))):
            came = labels.profitable(judged.candles, h, side)[rows]
            p, stack = said.horizons[h][rows, at], told[section][str(h)]["stack"]
            assert stack["auc"] == pytest.approx(reference.roc_auc_score(came, p), abs=1e-7)
            assert stack["brier"] == pytest.approx(reference.brier_score_loss(came, p), abs=1e-7)
            assert stack["log_loss"] == pytest.approx(reference.log_loss(came, p), abs=1e-7)
            assert told["base_rate"][f"{h}/{section.removeprefix('profitable_')}"] == pytest.approx(came.mean())
        up = labels.forward_return(judged.candles, h)[rows] > 0
        lead = logit(said.horizons[h][rows, 0]) - logit(said.horizons[h][rows, 1])
        assert told["direction"][str(h)]["stack"]["auc"] == pytest.approx(reference.roc_auc_score(up, lead), abs=1e-7)


def test_members_are_scored_by_family_and_averaged_plainly(judged: Judged, told: Json) -> None:
    rows = rows_of(judged, told)
    answers = judged.predictor.answers(judged.predictor.matrix(judged.candles, judged.funding), rows)
    came = labels.profitable(judged.candles, 12, labels.SHORT)[rows]
    boosted, network = answers.members["lgbm_12_short/12/short"], answers.members["lstm/12/short"]
    for name, p in (("lgbm", boosted), ("lstm", network), ("average", (boosted + network) / 2)):
        found = told["profitable_short"]["12"][name]
        assert found["auc"] == pytest.approx(reference.roc_auc_score(came, p), abs=1e-7)
        assert found["brier"] == pytest.approx(reference.brier_score_loss(came, p), abs=1e-7)


def test_regime_figures_are_scikit_learns(judged: Judged, told: Json) -> None:
    rows = rows_of(judged, told)
    predictor = judged.predictor
    answers = predictor.answers(predictor.matrix(judged.candles, judged.funding), rows)
    volatility = labels.forward_volatility(judged.candles, 24)
    edges = predictor.manifest.ensemble.regime_edges
    came, said = labels.regimes(volatility, edges)[rows], answers.regime.argmax(axis=1)
    regime = told["regime"]
    assert regime["accuracy"] == pytest.approx(reference.accuracy_score(came, said))
    assert regime["kappa"] == pytest.approx(reference.cohen_kappa_score(came, said, weights="quadratic"), abs=1e-7)
    assert regime["log_loss"] == pytest.approx(reference.log_loss(came, answers.regime), abs=1e-7)
    past = labels.regimes(volatility, edges)[rows - 24]
    assert regime["baselines"]["persistence"]["accuracy"] == pytest.approx(reference.accuracy_score(came, past))
    assert regime["baselines"]["persistence"]["log_loss"] is None
    assert regime["accuracy"] > regime["baselines"]["majority"]["accuracy"]
    shares = predictor.manifest.baselines.regime_shares  # type: ignore[union-attr]
    likeliest = np.full(len(rows), np.argmax(shares))
    assert regime["baselines"]["majority"]["accuracy"] == pytest.approx(reference.accuracy_score(came, likeliest))
    flat = np.tile(shares, (len(rows), 1))
    assert regime["baselines"]["majority"]["log_loss"] == pytest.approx(reference.log_loss(came, flat), abs=1e-7)
    lead = regime["lead"]["har_and_calendar"]["log_loss"]["value"]
    assert lead == pytest.approx(regime["baselines"]["har_and_calendar"]["log_loss"] - regime["log_loss"], abs=1e-7)


def test_baselines_are_those_the_set_carries(judged: Judged, told: Json) -> None:
    rows = rows_of(judged, told)
    fitted = judged.predictor.manifest.baselines
    assert fitted is not None
    matrix = judged.predictor.matrix(judged.candles, judged.funding)[rows]
    came = labels.profitable(judged.candles, 5, labels.LONG)[rows]
    said = fitted.direction["5/long"]["logistic"].score(matrix)
    logistic = told["profitable_long"]["5"]["baselines"]["logistic"]
    assert logistic["auc"] == pytest.approx(reference.roc_auc_score(came, said), abs=1e-7)
    assert logistic["log_loss"] == pytest.approx(reference.log_loss(came, sigmoid(said)), abs=1e-7)
    flat = told["profitable_long"]["5"]["baselines"]["base_rate"]
    assert flat["auc"] == 0.5
    rate = fitted.base_rate["5/long"]
    assert flat["brier"] == pytest.approx(reference.brier_score_loss(came, np.full(len(came), rate)), abs=1e-7)
    past = judged.candles.close[rows] / judged.candles.close[rows - 24] - 1
    for section, side in (("profitable_long", 1), ("profitable_short", -1)):
        outcome = labels.profitable(judged.candles, 5, side)[rows]
        rule = told[section]["5"]["baselines"]["minus_24h_return"]
        assert rule["auc"] == pytest.approx(reference.roc_auc_score(outcome, -side * past), abs=1e-7)


def numbers(value: Any) -> Iterator[float]:
    if isinstance(value, dict):
        for v in value.values():
            yield from numbers(v)
    elif isinstance(value, list):
        for v in value:
            yield from numbers(v)
    elif isinstance(value, float):
        yield value


def test_the_json_keeps_its_contract(judged: Judged, told: Json) -> None:
    text = json.dumps(told, allow_nan=False)
    assert json.loads(text) == told
    assert all(np.isfinite(list(numbers(told))))
    assert (told["model_set"], told["symbol"]) == (judged.predictor.id, "BTCUSDT")
    assert {"file", "sha256", "from", "to", "rows", "refused"} <= set(told["data"])
    for section in SECTIONS:
        assert list(told[section]) == ["5", "12"]
        for h, entry in told[section].items():
            assert set(entry) == {*MEMBERS, "baselines"}
            assert set(entry["baselines"]) == set(BASELINES)
            for scored in (*(entry[m] for m in MEMBERS), *entry["baselines"].values()):
                low, high = scored["ci"]
                assert low <= scored["auc"] <= high
            assert set(entry["stack"]["lead"]) == {*BASELINES, "average"}
            gap = told["oof_test_gap"][section][h]
            assert gap["gap"] == pytest.approx(gap["oof"] - gap["test"], abs=1e-7)
            assert gap["test"] == entry["stack"]["auc"]
            if section != "direction":
                assert {"brier", "brier_ci", "log_loss", "log_loss_ci", "calibration"} <= set(entry["stack"])
                calibration = entry["stack"]["calibration"]
                assert {"bins", "expected_error", "slope", "slope_ci", "intercept", "intercept_ci"} <= set(calibration)
    for name in ("accuracy", "kappa", "log_loss"):
        low, high = told["regime"][f"{name}_ci"]
        assert low <= told["regime"][name] <= high
    assert set(told["regime"]["baselines"]) == {"har_and_calendar", "persistence", "majority"}
    assert all({"accuracy", "log_loss"} <= set(b) for b in told["regime"]["baselines"].values())


def test_every_bar_of_the_range_is_judged_or_refused_for_a_reason(judged: Judged, told: Json) -> None:
    assert sum(told["data"]["refused"].values()) + told["data"]["rows"] == BARS - CALIBRATED - PURGE
    assert list(told["data"]["refused"].values()) == [24]
    candles = judged.candles[np.arange(BARS) != 6500]  # a hole
    found = run(judged, candles=candles)["data"]
    assert sum(found["refused"].values()) + found["rows"] == BARS - CALIBRATED - PURGE - 1
    assert found["refused"]["a hole in the last 32 candles"] == 31
    assert {next(w for w in ("hole", "what came", "baseline") if w in reason) for reason in found["refused"]} == {
        "hole", "what came", "baseline",
    }  # fmt: skip


def test_the_same_seed_gives_the_same_report_and_the_range_is_kept(judged: Judged, told: Json) -> None:
    assert run(judged) == told
    times = judged.candles.open_time
    part = run(judged, start=int(times[6000]), end=int(times[7000]))
    assert part["data"]["rows"] == 1000  # what came of the last ones lies in the file
    assert part["data"]["from"].startswith("2024-09-07")
    with pytest.raises(DataError, match="no candle in the range"):
        run(judged, start=int(times[-1]) + 10 * 86_400_000)
    with pytest.raises(DataError, match="too few for a figure"):
        run(judged, start=int(times[7800]))
    assert any("weeks are few" in w for w in part["warnings"])


def test_what_was_recorded_is_compared_with_what_is_seen_here(judged: Judged, told: Json) -> None:
    gaps = told["oof_test_gap"]
    assert "walk-forward record" in gaps["source"]
    # the record of this test is of bars the set was fitted on, so it must promise more than it keeps
    assert gaps["profitable_long"]["5"]["says"] == "weaker than recorded"
    assert not gaps["profitable_long"]["5"]["inconclusive"]
    for section in SECTIONS:
        for gap in gaps[section].values():
            low, high = gap["ci"]
            assert gap["inconclusive"] == (low <= 0 <= high)
            assert (gap["says"] == "inconclusive") == gap["inconclusive"]
    rows = np.arange(1000, MADE_OF)
    came = labels.profitable(judged.candles, 5, labels.LONG)[rows]
    said = judged.predictor.predict_history("BTCUSDT", judged.candles, judged.funding).horizons[5][rows, 0]
    # pairs within a fold of a thousand bars; recorded logits are kept to four digits
    pairs, right = 0.0, 0.0
    for fold in np.unique(rows // 1000):
        mine = rows // 1000 == fold
        weight = float(came[mine].sum() * (1 - came[mine]).sum())
        pairs, right = pairs + weight, right + weight * reference.roc_auc_score(came[mine], said[mine])
    assert gaps["profitable_long"]["5"]["oof"] == pytest.approx(right / pairs, abs=1e-3)


def test_a_set_without_a_record_says_so_or_uses_its_evidence(old: Judged, tmp_path: Path) -> None:
    gaps = run(old)["oof_test_gap"]
    assert gaps["profitable_long"] == {}
    assert "neither a walk-forward record" in gaps["reason"]
    found = ModelSet.load(old.path)
    auc = {"value": 0.56, "low": 0.54, "high": 0.58}
    heads = {"5/long": {"validation": {"out_of_fold": {"auc": auc, "rows": 10}}}, "5/short": {"auc": None}}
    manifest = found.manifest.model_copy(update={"evidence": {"heads": heads}})
    path = save(manifest, found.contents, tmp_path)
    gaps = run(replace(old, path=path), draws=500)["oof_test_gap"]
    assert list(gaps["profitable_long"]) == ["5"]
    assert gaps["profitable_short"] == {}
    assert gaps["profitable_long"]["5"]["oof_ci"] == pytest.approx([0.54, 0.58], abs=5e-3)


def test_an_old_set_is_compared_with_baselines_fitted_before_the_judged_bars(old: Judged) -> None:
    told = run(old)
    assert "before the judged range" in told["baselines"]["fitted_on"]
    assert told["baselines"]["reason"] == ""
    assert told["direction"]["5"]["baselines"]["logistic"]["auc"] > 0.55
    assert told["regime"]["baselines"]["har_and_calendar"]["accuracy"] > 0.3


def test_nothing_is_fitted_on_what_is_judged(old: Judged) -> None:
    start = int(old.candles.open_time[CALIBRATED + PURGE])
    range_ = Range(start, int(old.candles.open_time[-1]), "none")
    close = old.candles.close.copy()
    close[CALIBRATED + PURGE :] *= np.linspace(1, 3, BARS - CALIBRATED - PURGE)  # another future
    high, low = np.maximum(old.candles.high, close), np.minimum(old.candles.low, close)
    other = replace(old.candles, close=close, high=high, low=low)
    found = [rivals.rivals(old.predictor, history(old, candles=c), range_) for c in (old.candles, other)]
    assert found[0].scores["5/up"]["base_rate"][0] == found[1].scores["5/up"]["base_rate"][0]
    for name in ("logistic", "volatility_and_clock"):
        before = [f.scores["5/up"][name][: CALIBRATED + PURGE] for f in found]
        assert np.array_equal(*before, equal_nan=True)
    assert found[0].shares == found[1].shares


def test_an_old_set_with_too_little_before_has_null_baselines_and_the_reason(old: Judged) -> None:
    told = run(old, candles=old.candles[4800:])
    entry = told["profitable_long"]["5"]
    assert entry["baselines"]["logistic"] == {"auc": None, "ci": None, "reason": told["baselines"]["reason"]}
    assert "2,000 needed" in told["baselines"]["reason"]
    assert entry["baselines"]["minus_24h_return"]["auc"] is not None  # a rule needs no fitting
    assert set(entry["stack"]["lead"]) == {"minus_24h_return", "average"}
    assert told["regime"]["baselines"]["har_and_calendar"]["accuracy"] is None
    assert told["regime"]["baselines"]["persistence"]["accuracy"] is not None
    json.dumps(told, allow_nan=False)
