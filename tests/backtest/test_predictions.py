"""What a set says of a history is asked once; what is kept is exactly what the set says."""

from __future__ import annotations

import os
import shutil
from dataclasses import fields, replace
from pathlib import Path

import numpy as np
import pytest

from backtest import predictions
from backtest.predictions import Remembering
from market import cache, synthetic
from market.candles import Candles
from market.funding import Funding
from market.timeframes import Timeframe
from models.inference import Predictor
from models.modelset import ModelSet, resolve
from models.prediction import PredictionHistory

asked: list[int] = []


@pytest.fixture(scope="module")
def starter() -> ModelSet:
    return ModelSet.load(resolve("starter"))


@pytest.fixture(scope="module")
def history() -> tuple[Candles, Funding]:
    return synthetic.generate("BTCUSDT", bars=3_000, timeframe=Timeframe.parse("1h"), seed=11)


@pytest.fixture(autouse=True)
def counted(monkeypatch: pytest.MonkeyPatch) -> None:
    """How often the set itself is asked; it answers all the same."""
    asked.clear()
    real = Predictor.predict_history

    def count(self: Predictor, *told: object, **besides: object) -> PredictionHistory:
        asked.append(1)
        return real(self, *told, **besides)  # type: ignore[arg-type]

    monkeypatch.setattr(Predictor, "predict_history", count)


def alike(one: PredictionHistory, other: PredictionHistory) -> bool:
    for field in fields(one):
        mine, theirs = getattr(one, field.name), getattr(other, field.name)
        if field.name == "horizons":
            same = mine.keys() == theirs.keys() and all(np.array_equal(mine[h], theirs[h], True) for h in mine)
        elif field.name in ("refusals", "without"):
            same = mine == theirs
        else:
            same = mine.dtype == theirs.dtype and np.array_equal(mine, theirs, equal_nan=mine.dtype.kind == "f")
        if not same:
            return False
    return True


def test_the_second_time_nothing_is_asked_and_the_answer_is_the_same_to_the_last_bit(
    starter: ModelSet, history: tuple[Candles, Funding], tmp_path: Path
) -> None:
    candles, funding = history
    said = Predictor.load(starter).predict_history("BTCUSDT", candles, funding)
    asked.clear()
    assert alike(Remembering(starter, tmp_path).predict_history("BTCUSDT", candles, funding), said)
    assert alike(Remembering(starter, tmp_path).predict_history("BTCUSDT", candles, funding), said)
    assert len(asked) == 1


def test_other_data_is_asked_about_anew(starter: ModelSet, history: tuple[Candles, Funding], tmp_path: Path) -> None:
    candles, funding = history
    one = Remembering(starter, tmp_path)
    one.predict_history("BTCUSDT", candles, funding)
    close = candles.close.copy()
    close[-1] += 0.01
    one.predict_history("BTCUSDT", replace(candles, close=close), funding)
    one.predict_history("BTCUSDT", candles[:-1], funding)
    one.predict_history("BTCUSDT", candles, None)
    assert len(asked) == 4


@pytest.mark.parametrize("damage", [b"", b"PAR1", None])
def test_a_kept_file_that_is_damaged_is_asked_for_anew(
    starter: ModelSet, history: tuple[Candles, Funding], tmp_path: Path, damage: bytes | None
) -> None:
    candles, funding = history
    one = Remembering(starter, tmp_path)
    said = one.predict_history("BTCUSDT", candles, funding)
    (file,) = (tmp_path / starter.id).iterdir()
    content = bytearray(file.read_bytes())
    for at in range(200, len(content) - 2_000, 997):
        content[at] ^= 0xFF
    file.write_bytes(bytes(content) if damage is None else damage)
    assert alike(one.predict_history("BTCUSDT", candles, funding), said)
    assert len(asked) == 2


def test_where_nothing_can_be_kept_the_answer_is_there_all_the_same(
    starter: ModelSet, history: tuple[Candles, Funding], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").write_text("no folder")
    monkeypatch.setenv("REGIMEN_CACHE", str(tmp_path / "file"))
    assert cache.folder("predictions") is None
    assert len(Remembering(starter).predict_history("BTCUSDT", *history).p_long) == len(history[0])


def test_several_threads_say_what_one_says(starter: ModelSet, history: tuple[Candles, Funding]) -> None:
    longer, funding = synthetic.generate("BTCUSDT", bars=9_000, timeframe=Timeframe.parse("1h"), seed=12)
    predictor = Predictor.load(starter)
    real = Predictor.predict_history
    seen: list[tuple[int, int]] = []
    one = real(predictor, "BTCUSDT", longer, funding)
    many = real(predictor, "BTCUSDT", longer, funding, lambda n, of: seen.append((n, of)), 4)
    assert alike(one, many)
    assert seen == sorted(seen)
    assert seen[-1][0] == seen[-1][1]


def test_old_answers_make_room(
    starter: ModelSet, history: tuple[Candles, Funding], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("backtest.predictions._KEPT", 2)
    candles, funding = history
    one = Remembering(starter, tmp_path)
    for last, when in ((2_999, 100), (2_998, 200), (2_997, 300)):
        one.predict_history("BTCUSDT", candles[:last], funding)
        newest = max((tmp_path / starter.id).iterdir(), key=lambda f: f.stat().st_mtime)
        os.utime(newest, (when, when))
    assert len(list((tmp_path / starter.id).iterdir())) == 2


def test_changed_code_is_asked_anew(
    starter: ModelSet, history: tuple[Candles, Funding], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    one = Remembering(starter, tmp_path)
    one.predict_history("BTCUSDT", *history)
    monkeypatch.setattr("backtest.predictions.code", lambda: "another formula")
    one.predict_history("BTCUSDT", *history)
    assert len(asked) == 2


@pytest.mark.parametrize("changed", ["features/volatility.py", "ensemble.py"])
def test_a_formula_is_part_of_the_code_and_its_change_is_seen(tmp_path: Path, changed: str) -> None:
    shutil.copytree(predictions._CODE / "features", tmp_path / "features")
    for source in predictions._CODE.glob("*.py"):
        shutil.copy(source, tmp_path)
    assert predictions.code(tmp_path) == predictions.code()
    predictions.code.cache_clear()
    with (tmp_path / changed).open("a") as file:
        file.write("# another formula\n")
    assert predictions.code(tmp_path) != predictions.code()


def test_an_answer_that_another_process_removes_while_old_ones_make_room_does_no_harm(
    starter: ModelSet, history: tuple[Candles, Funding], tmp_path: Path
) -> None:
    one = Remembering(starter, tmp_path)
    (tmp_path / starter.id).mkdir()
    (tmp_path / starter.id / "gone.parquet").symlink_to(tmp_path / "nothing")
    assert len(one.predict_history("BTCUSDT", *history).p_long) == len(history[0])
