"""The walk-forward record: what is read is what was written, and a record that was touched is none."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from models import labels, walkforward
from models.manifest import Manifest, Recorded
from models.modelset import ModelSet, ModelSetError, digest, save
from models.walkforward import TEST, WalkForward
from tests.models.small_sets import HEADS, Made, Market
from tests.models.test_baselines import fitted
from tests.models.test_modelset import refused, rewritten

ROWS = 900


def record_of(market: Market) -> WalkForward:
    """Two folds and a test slice, answered by noise."""
    draws = np.random.default_rng(4)
    rows = np.r_[800:1100, 1100:1400, 1500:1800]
    volatility = labels.forward_volatility(market.candles, 24)
    shares = draws.dirichlet((1, 1, 1), size=ROWS)

    def heads() -> dict[str, np.ndarray]:
        return {key: draws.standard_normal(ROWS) for key in HEADS}

    return WalkForward(
        open_time=market.candles.open_time[rows],
        part=np.repeat(np.array([0, 1, TEST], dtype=np.int8), 300),
        close=market.candles.close[rows],
        returns={h: labels.forward_return(market.candles, h)[rows] for h in (5, 12)},
        volatility=volatility[rows],
        edges=np.tile(labels.regime_edges(volatility), (ROWS, 1)),
        logits={"stack": heads(), "average": heads(), "lightgbm": heads(), "lstm": heads()},
        scores={"logistic": heads(), "volatility_and_clock": heads()},
        minus_24h_return=draws.standard_normal(ROWS),
        regime=shares,
        har=shares[::-1],
        p_long=draws.random(ROWS).round(9),
        p_short=draws.random(ROWS).round(9),
    )


def carrying(made: Made, record: WalkForward) -> Made:
    """The set with that record."""
    content = walkforward.to_bytes(record)
    kept = Recorded(file=walkforward.FILE, sha256=digest(content), bytes=len(content), rows=len(record))
    return Made(made.manifest.model_copy(update={"walkforward": kept}), made.files | {walkforward.FILE: content})


@pytest.fixture(scope="module")
def record(market: Market) -> WalkForward:
    return record_of(market)


@pytest.fixture
def recorded(made: Made, record: WalkForward, tmp_path: Path) -> Path:
    """A stored set that carries the record."""
    whole = carrying(made, record)
    return save(whole.manifest, whole.files, tmp_path / "sets")


def test_what_is_read_is_what_was_recorded(recorded: Path, record: WalkForward) -> None:
    found = walkforward.read(ModelSet.load(recorded))
    assert (len(found), found.folds, found.families) == (ROWS, 2, ("lightgbm", "lstm"))
    for name in ("open_time", "part", "close", "p_long", "p_short"):
        np.testing.assert_array_equal(getattr(found, name), getattr(record, name), err_msg=name)
    for h in (5, 12):
        np.testing.assert_allclose(found.returns[h], record.returns[h], rtol=1e-7)
    for name, heads in (record.logits | record.scores).items():
        read = (found.logits | found.scores)[name]
        assert tuple(read) == HEADS
        for key, column in heads.items():
            np.testing.assert_allclose(read[key], column, rtol=2**-10, err_msg=f"{name} {key}")
    np.testing.assert_allclose(found.regime, record.regime, rtol=2**-10)
    np.testing.assert_array_equal(found.regimes(), record.regimes())


def test_its_labels_are_those_of_the_candles(record: WalkForward, recorded: Path, market: Market) -> None:
    found = walkforward.read(ModelSet.load(recorded))
    rows = np.searchsorted(market.candles.open_time, record.open_time)
    for side in (labels.LONG, labels.SHORT):
        np.testing.assert_array_equal(
            found.profitable(5, side, 0.0015), labels.profitable(market.candles, 5, side, 0.0015)[rows]
        )
    np.testing.assert_array_equal(found.rising(12), labels.up(market.candles, 12)[rows])
    volatility = labels.forward_volatility(market.candles, 24)
    np.testing.assert_array_equal(found.regimes(), labels.regimes(volatility, labels.regime_edges(volatility))[rows])


def test_the_same_record_gives_the_same_bytes_and_another_one_others(record: WalkForward) -> None:
    assert walkforward.to_bytes(record) == walkforward.to_bytes(record)
    moved = record.p_long.copy()
    moved[5] = round(moved[5] / 2, 9)
    assert walkforward.to_bytes(replace(record, p_long=moved)) != walkforward.to_bytes(record)


@pytest.mark.parametrize(
    ("touch", "words"),
    [
        (lambda c: c[: len(c) // 2] + bytes([c[len(c) // 2] ^ 1]) + c[len(c) // 2 + 1 :], "SHA-256"),
        (lambda c: c[:-1], "bytes where the manifest says"),
        (lambda c: c + b"\0", "bytes where the manifest says"),
    ],
)
def test_a_record_that_was_touched_is_refused(recorded: Path, touch: Callable[[bytes], bytes], words: str) -> None:
    file = recorded / walkforward.FILE
    file.write_bytes(touch(file.read_bytes()))
    assert refused(recorded, words).where == file


def test_a_record_that_is_gone_or_not_in_the_manifest_is_refused(recorded: Path, stored_set: Path) -> None:
    content = (recorded / walkforward.FILE).read_bytes()
    (recorded / walkforward.FILE).unlink()
    refused(recorded, "missing")
    (stored_set / walkforward.FILE).write_bytes(content)
    refused(stored_set, "not in the manifest")


def test_a_better_record_hashed_again_is_another_set(recorded: Path, record: WalkForward) -> None:
    better = walkforward.to_bytes(replace(record, p_long=np.ones(ROWS)))
    (recorded / walkforward.FILE).write_bytes(better)
    moved = rewritten(
        recorded, lambda d: d["walkforward"].update(sha256=digest(better), bytes=len(better)), new_id=False
    )
    refused(moved, "does not fit its content")


def test_a_set_without_a_record_loads_and_says_so_when_its_recipe_is_asked_for(stored_set: Path) -> None:
    with pytest.raises(ModelSetError, match="no walk-forward record, so its recipe cannot be judged"):
        walkforward.read(ModelSet.load(stored_set))


def test_a_set_of_before_there_were_records_still_loads(stored_set: Path) -> None:
    def forget(data: dict[str, object]) -> None:
        del data["baselines"], data["walkforward"], data["golden"]["trained"]  # type: ignore[attr-defined]

    found = ModelSet.load(rewritten(stored_set, forget)).manifest
    assert (found.baselines, found.walkforward) == (None, None)
    assert found.golden is not None
    assert found.golden.trained == {}


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda r: replace(r, open_time=r.open_time[::-1]), "not in time order"),
        (lambda r: replace(r, part=r.part[::-1]), "folds are not in time order"),
        (lambda r: replace(r, p_long=np.where(np.arange(ROWS) == 3, np.nan, r.p_long)), "1 rows without p_long"),
        (lambda r: replace(r, p_short=r.p_short + 1), "p_short beyond 0 and 1"),
    ],
)
def test_a_record_that_makes_no_sense_is_refused(
    made: Made, record: WalkForward, tmp_path: Path, change: Callable[[WalkForward], WalkForward], words: str
) -> None:
    broken = carrying(made, change(record))
    found = ModelSet.load(save(broken.manifest, broken.files, tmp_path))
    with pytest.raises(ModelSetError, match=words) as caught:
        walkforward.read(found)
    assert caught.value.where == found.path / walkforward.FILE


def test_a_file_that_is_no_record_is_refused(made: Made, record: WalkForward, tmp_path: Path) -> None:
    whole = carrying(made, record)
    assert whole.manifest.walkforward is not None
    for number, content in enumerate((b"no parquet", walkforward.to_bytes(record))):
        kept = Recorded(file=walkforward.FILE, sha256=digest(content), bytes=len(content), rows=ROWS + 1)
        manifest = whole.manifest.model_copy(update={"walkforward": kept})
        path = save(manifest, made.files | {walkforward.FILE: content}, tmp_path / str(number))
        with pytest.raises(ModelSetError, match=r"no walk-forward record|900 rows where the manifest says 901"):
            walkforward.read(ModelSet.load(path))


def test_a_record_cannot_take_a_models_place(made: Made, record: WalkForward) -> None:
    content = carrying(made, record).manifest.model_dump()
    content["walkforward"]["file"] = "lstm.onnx"
    with pytest.raises(ValueError, match="share the file"):
        Manifest.model_validate(content)


def test_baselines_of_another_set_are_refused(made: Made) -> None:
    keys = tuple(f"{h}/{what}" for h in (5, 12) for what in ("up", "long", "short"))
    features = len(made.manifest.features.names)
    whole = made.manifest.model_dump() | {"baselines": fitted(features, keys).model_dump()}
    assert Manifest.model_validate(whole).baselines == fitted(features, keys)
    with pytest.raises(ValueError, match="logistic baseline of 5/up does not read the 93 features"):
        Manifest.model_validate(whole | {"baselines": fitted(3, keys).model_dump()})
    with pytest.raises(ValueError, match="baselines are for"):
        Manifest.model_validate(whole | {"baselines": fitted(features).model_dump()})


def test_golden_values_come_one_for_each_input(made: Made) -> None:
    content = made.manifest.model_dump()
    content["golden"]["trained"] = {"lstm/5/long": (0.1, 0.2)}
    with pytest.raises(ValueError, match="2 golden values of lstm/5/long for 16 inputs"):
        Manifest.model_validate(content)
