"""Stage goldens: a set answers its recorded rows again at every stage, and a fault shows at its own."""

from __future__ import annotations

import io
from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from models import features, stages
from models.inputs import Inputs
from models.manifest import Manifest
from models.modelset import ModelSet, ModelSetError, save
from models.stages import CHAIN, Drift, Stages
from tests.models.small_sets import Made, Market, make_wide_set, wide_market


@pytest.fixture(scope="module")
def rows(made: Made, market: Market) -> np.ndarray:
    """Rows in the middle of the market, so that history lies on both sides."""
    matrix = features.compute(market.candles, market.funding, made.manifest.features.names)
    ready = np.flatnonzero(features.rows_ready(matrix, made.manifest.window)[:1700])
    return stages.rows_of(ready)


@pytest.fixture(scope="module")
def content(made: Made, market: Market, rows: np.ndarray) -> bytes:
    return stages.record(made.manifest, made.files, Inputs(market.candles, market.funding), rows)


@pytest.fixture(scope="module")
def stored(made: Made, content: bytes, tmp_path_factory: pytest.TempPathFactory) -> ModelSet:
    manifest = made.manifest.model_copy(update={"stages": stages.recorded(content)})
    path = save(manifest, made.files | {stages.FILE: content}, tmp_path_factory.mktemp("stages"))
    return ModelSet.load(path)


def off(manifest: Manifest, files: dict[str, bytes], found: Stages) -> list[Drift]:
    """The stages that are broken."""
    drifts = stages.check(manifest, files, found)
    assert [drift.stage for drift in drifts] == list(CHAIN)
    return [drift for drift in drifts if drift.broken]


def test_rows_are_spread_over_the_last_week(rows: np.ndarray) -> None:
    assert len(rows) == stages.COUNT
    assert rows[-1] == 1699
    assert 100 < rows[-1] - rows[0] < stages.SPAN


def test_what_was_recorded_is_read_back_to_the_last_digit(stored: ModelSet, market: Market, rows: np.ndarray) -> None:
    found = stages.read(stored)
    names = stored.manifest.features.names
    assert found.decision.names == names
    np.testing.assert_array_equal(found.times, market.candles.open_time[rows])
    np.testing.assert_array_equal(found.decision.table, features.compute(market.candles, market.funding, names)[rows])
    np.testing.assert_array_equal(found.inputs.candles.close[found.decision.rows], market.candles.close[rows])
    assert len(found.inputs.candles) == rows[-1] - rows[0] + stored.manifest.lookback
    assert found.inputs.funding is not None
    assert set(found.values["probability"]) == {*stored.manifest.ensemble.stackers, "p_long", "p_short"}
    assert len(found.values["outputs"]) == 4 + 4 + 3


def test_the_same_rows_give_the_same_bytes(made: Made, market: Market, rows: np.ndarray, content: bytes) -> None:
    assert stages.record(made.manifest, made.files, Inputs(market.candles, market.funding), rows) == content
    assert len(content) < 200_000


def test_a_sound_set_answers_every_stage_again(stored: ModelSet, made: Made) -> None:
    drifts = stages.check(stored.manifest, stored.contents, stages.read(stored))
    assert [(d.stage, d.known, d.broken) for d in drifts] == [(stage, True, False) for stage in CHAIN]


def test_features_in_another_order_are_off_at_their_own_stage_alone(made: Made, stored: ModelSet) -> None:
    names = (*made.manifest.features.names[1::-1], *made.manifest.features.names[2:])
    order = made.manifest.features.model_copy(update={"names": names})
    found = off(made.manifest.model_copy(update={"features": order}), made.files, stages.read(stored))
    assert [(drift.stage, drift.worst in names[:2]) for drift in found] == [("features", True)]


def test_another_scaler_is_off_at_its_own_stage_alone(made: Made, stored: ModelSet) -> None:
    scaler = made.manifest.features.scaler
    assert scaler is not None
    other = scaler.model_copy(update={"scale": (scaler.scale[0] * 2, *scaler.scale[1:])})
    scaled = made.manifest.features.model_copy(update={"scaler": other})
    found = off(made.manifest.model_copy(update={"features": scaled}), made.files, stages.read(stored))
    assert [(drift.stage, drift.worst) for drift in found] == [("scaled", made.manifest.features.names[0])]


def test_other_weights_of_the_stack_are_off_from_there_on(made: Made, stored: ModelSet) -> None:
    stackers = dict(made.manifest.ensemble.stackers)
    stackers["5/long"] = stackers["5/long"].model_copy(update={"intercept": 0.7})
    ensemble = made.manifest.ensemble.model_copy(update={"stackers": stackers})
    found = off(made.manifest.model_copy(update={"ensemble": ensemble}), made.files, stages.read(stored))
    assert [drift.stage for drift in found] == ["stacked", "probability"]
    assert found[0].worst == "5/long"


def test_a_member_that_cannot_be_opened_leaves_the_rest_known(made: Made, stored: ModelSet) -> None:
    files = made.files | {"lstm.onnx": b"no network"}
    drifts = stages.check(made.manifest, files, stages.read(stored))
    assert [d.stage for d in drifts if not d.known] == ["probability"]
    assert not [d for d in drifts if d.broken]


def test_a_set_without_stage_goldens_says_so(made: Made, tmp_path: Path) -> None:
    with pytest.raises(ModelSetError, match="no stage goldens"):
        stages.read(ModelSet.load(save(made.manifest, made.files, tmp_path)))


def another_table() -> bytes:
    buffer = io.BytesIO()
    pq.write_table(pa.table({"close": [1.0]}), buffer)
    return buffer.getvalue()


@pytest.mark.parametrize("damaged", [b"", b"PAR1 and no more", another_table()], ids=["empty", "cut", "another table"])
def test_a_damaged_file_is_refused(stored: ModelSet, damaged: bytes) -> None:
    broken = replace(stored, contents=dict(stored.contents) | {stages.FILE: damaged})
    with pytest.raises(ModelSetError, match="stage goldens"):
        stages.read(broken)


@pytest.fixture(scope="module")
def wide(tmp_path_factory: pytest.TempPathFactory) -> ModelSet:
    """A set that reads quarters beside hours, and compares two symbols; the last row recorded has no quarter."""
    market = wide_market()
    assert market.finer is not None
    end = int(market.candles.open_time[-1])
    made = make_wide_set(market)
    inputs = Inputs(market.candles, market.funding, market.finer.between(None, end), market.companion)
    matrix = features.compute(market.candles, market.funding, made.manifest.features.names, market.companion)
    rows = stages.rows_of(np.flatnonzero(features.rows_ready(matrix, made.manifest.window)))
    content = stages.record(made.manifest, made.files, inputs, rows)
    manifest = made.manifest.model_copy(update={"stages": stages.recorded(content)})
    return ModelSet.load(save(manifest, made.files | {stages.FILE: content}, tmp_path_factory.mktemp("wide")))


def test_quarters_and_a_companion_are_recorded_and_asked_again(wide: ModelSet) -> None:
    found = stages.read(wide)
    assert found.finer is not None
    assert found.inputs.companion is not None
    assert wide.manifest.finer is not None
    assert found.finer.names == wide.manifest.finer.features.names
    assert (found.finer.rows[:-1] >= 0).all()
    assert found.finer.rows[-1] == -1
    quarter = found.values["outputs"]["lstm15m/3/long"]
    assert np.isfinite(quarter[:-1]).all()
    assert np.isnan(quarter[-1]), "what was not there is recorded as missing"
    assert np.isfinite(found.values["probability"]["p_long"]).all(), "answered without the member that lacks it"
    drifts = stages.check(wide.manifest, wide.contents, found)
    assert [(d.stage, d.known, d.broken) for d in drifts] == [(stage, True, False) for stage in CHAIN]


def test_a_finer_feature_out_of_order_is_off_at_its_own_stage_alone(wide: ModelSet) -> None:
    finer = wide.manifest.finer
    assert finer is not None
    names = tuple(reversed(finer.features.names))
    order = finer.model_copy(update={"features": finer.features.model_copy(update={"names": names})})
    found = off(wide.manifest.model_copy(update={"finer": order}), dict(wide.contents), stages.read(wide))
    assert [drift.stage for drift in found] == ["features"]
    assert found[0].worst.startswith("finer ")
