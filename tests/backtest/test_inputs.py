"""A backtest reads what the daemon reads: quarters of the base or of a file, and the companion played or given."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from backtest import sources
from backtest.bars import BacktestError
from backtest.gate import leak, liveness, parity
from backtest.gate.evidence import Market as Judged
from backtest.gate.evidence import gather
from backtest.predictions import Remembering
from backtest.verdict import Says
from market import catalogue, history
from models.inference import Predictor
from models.known_market import regrown
from models.manifest import Manifest
from models.modelset import ModelSet, save
from tests.gate.worlds import terms
from tests.models.small_sets import HOUR, QUARTER, Made, Market, make_wide_set, wide_market


@pytest.fixture(scope="module")
def wide() -> Market:
    return wide_market()


@pytest.fixture(scope="module")
def made(wide: Market) -> Made:
    return make_wide_set(wide)


@pytest.fixture(scope="module")
def wide_set(made: Made, tmp_path_factory: pytest.TempPathFactory) -> ModelSet:
    return ModelSet.load(save(made.manifest, made.files, tmp_path_factory.mktemp("sets")))


@pytest.fixture(scope="module")
def files(wide: Market, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("data")
    for name, candles in (
        ("BTCUSDT-1h", wide.candles), ("BTCUSDT-15m", wide.finer), ("ETHUSDT-1h", wide.companion)
    ):  # fmt: skip
        assert candles is not None
        history.write(candles, folder / f"{name}.parquet")
    return folder


def played(wide_set: ModelSet, series: list[sources.Series], tmp_path: Path) -> tuple[list[np.ndarray], dict[str, int]]:
    frames, _ = sources.frames(series, Remembering(wide_set, tmp_path), HOUR, None, None)
    return [f.predictions.p_long for f in frames], sources.without(frames)


def test_quarters_make_the_hours_and_are_read_themselves(
    wide_set: ModelSet, wide: Market, files: Path, tmp_path: Path
) -> None:
    companion = [files / "ETHUSDT-1h.parquet"]
    (base,), without = played(
        wide_set, sources.from_files([files / "BTCUSDT-15m.parquet"], [], [], companions=companion), tmp_path
    )
    told = Predictor.load(wide_set).predict_history("BTCUSDT", wide.candles, finer=wide.finer, companion=wide.companion)
    np.testing.assert_array_equal(base, told.p_long)
    assert without == {}
    hours = [files / "BTCUSDT-1h.parquet"]
    given = sources.from_files(hours, [], [], finer=[files / "BTCUSDT-15m.parquet"], companions=companion)
    np.testing.assert_array_equal(played(wide_set, given, tmp_path)[0][0], told.p_long)
    (lame,), without = played(wide_set, sources.from_files(hours, [], [], companions=companion), tmp_path)
    assert without == {"lstm15m": int(np.isfinite(lame).sum())}
    assert not np.array_equal(lame, told.p_long, equal_nan=True)


def test_a_companion_that_is_played_needs_no_file_of_its_own(wide_set: ModelSet, files: Path, tmp_path: Path) -> None:
    both = sources.from_files([files / "BTCUSDT-1h.parquet", files / "ETHUSDT-1h.parquet"], [], [])
    alone = sources.from_files([files / "BTCUSDT-1h.parquet"], [], [], companions=[files / "ETHUSDT-1h.parquet"])
    (together, other), _ = played(wide_set, both, tmp_path)
    np.testing.assert_array_equal(together, played(wide_set, alone, tmp_path)[0][0])
    assert np.isfinite(other).any()
    lone = sources.from_files([files / "BTCUSDT-1h.parquet"], [], [])
    with pytest.raises(BacktestError, match="compares it with ETHUSDT, whose candles are not there"):
        played(wide_set, lone, tmp_path)


def test_the_synthetic_market_has_quarters_and_companion_of_its_own(wide_set: ModelSet, tmp_path: Path) -> None:
    manifest = wide_set.manifest
    series = sources.from_synthetic((), 5, manifest.warmup, HOUR, 3, ["ETHUSDT"])
    (said,), without = played(wide_set, series, tmp_path)
    assert np.isfinite(said).sum() == 5 * 24 + 1
    assert without == {}


def test_a_set_that_cannot_do_without_quarters_says_how_to_give_them(wide: Market, files: Path, tmp_path: Path) -> None:
    strict = make_wide_set(wide, dead_member="refuse")
    refusing = ModelSet.load(save(strict.manifest, strict.files, tmp_path))
    series = sources.from_files([files / "BTCUSDT-1h.parquet"], [], [], companions=[files / "ETHUSDT-1h.parquet"])
    with pytest.raises(BacktestError, match=r"lstm15m of .* reads 15m candles, and none can be made of 1h ones"):
        played(refusing, series, tmp_path)


def test_kept_answers_are_of_these_quarters_and_this_companion(
    wide_set: ModelSet, wide: Market, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[int] = []
    real = Predictor.predict_history

    def counted(self: Predictor, *told: object, **besides: object) -> object:
        asked.append(1)
        return real(self, *told, **besides)  # type: ignore[arg-type]

    monkeypatch.setattr(Predictor, "predict_history", counted)
    one = Remembering(wide_set, tmp_path)
    assert wide.finer is not None
    assert wide.companion is not None
    close = wide.finer.close.copy()
    close[-1] *= 1.001
    for finer in (wide.finer, wide.finer, replace(wide.finer, close=close), None):
        one.predict_history("BTCUSDT", wide.candles, finer=finer, companion=wide.companion)
    assert len(asked) == 3
    close = wide.companion.close.copy()
    close[-1] *= 1.001
    other = replace(wide.companion, close=close)
    first = one.predict_history("BTCUSDT", wide.candles, companion=other)
    kept = one.predict_history("BTCUSDT", wide.candles, companion=other)
    assert len(asked) == 4
    assert first.without == kept.without == {"lstm15m": int(np.isfinite(first.p_long).sum())}


def test_a_synthetic_market_of_quarters_is_made_again_with_its_companion(made: Made, wide: Market) -> None:
    told = made.manifest.model_dump()
    manifest = Manifest.model_validate(told | {"data": told["data"] | {"source": "synthetic seed 7 signal 0.5"}})
    grown = regrown(manifest, "BTCUSDT", 50)
    assert grown is not None
    assert grown.finer is not None
    assert grown.companion is not None
    assert (len(grown.candles), len(grown.finer), grown.finer.timeframe) == (50, 200, QUARTER)
    np.testing.assert_array_equal(grown.candles.open_time, grown.companion.open_time)
    assert not np.array_equal(grown.candles.close, grown.companion.close)


def test_the_gate_asks_with_quarters_and_companion_live_as_in_the_history(wide_set: ModelSet, wide: Market) -> None:
    assert wide.companion is not None
    manifest = wide_set.manifest
    early = manifest.data.model_copy(
        update={"splits": {"train": manifest.data.splits["train"].model_copy(update={"end": "2024-01-20T00:00:00Z"})}}
    )
    predictor = Predictor.load(replace(wide_set, manifest=manifest.model_copy(update={"data": early})))
    market = Judged(
        catalogue.instrument("BTCUSDT"), wide.candles, wide.candles, wide.funding, None, wide.finer,
        {"ETHUSDT": wide.companion},
    )  # fmt: skip
    evidence = gather(predictor, None, market, terms(), None)
    unseen = evidence.challenger.unseen
    assert len(unseen.rows) > 100
    assert not unseen.answers.without()
    said = {g.name: g for g in (*parity.gates(evidence), *leak.gates(evidence, None), *liveness.gates(evidence))}
    for name in ("parity/live", "leak/look_ahead", "leak/recursion", "liveness/missing"):
        assert said[name].says is Says.PASS, said[name]
    lacking = replace(market, finer=None)
    with pytest.raises(BacktestError, match="give them by --finer FILE"):
        gather(predictor, None, lacking, terms(), None)
