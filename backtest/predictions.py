"""What a set says of a history, asked once: kept by the hashes of the set and of the data, and read again after that.

A kept file that cannot be read is asked for anew. What is kept is what the set's files say under the code and the
libraries that run them; another version of those asks again.
"""

from __future__ import annotations

import hashlib
import json
import os
from contextlib import suppress
from functools import cache as once
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Protocol

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from market import cache
from market.candles import Candles
from market.fingerprint import fingerprint, of_code
from market.funding import Funding
from models.inputs import Inputs
from models.manifest import Manifest
from models.modelset import ModelSet
from models.prediction import PredictionHistory, Progress

_RUN_BY = ("lightgbm", "numpy", "onnxruntime", "onnxruntime-gpu", "ta-lib")
_CODE = Path(__file__).resolve().parent.parent / "models"
_ASKED_THROUGH = ("", "features")
"""Folders of `models` whose code stands between candles and answers."""
_GPU = Path("/dev/nvidiactl")
"""Where there is a graphics card, networks run on it, and answer otherwise in the sixth digit."""
_KEPT = 64
"""Histories kept of each set, the newest."""


class Foreteller(Protocol):
    """Whoever says what is likely at every close of a history."""

    @property
    def manifest(self) -> Manifest:
        """Of the set that says it: what it reads, and how far back."""

    def predict_history(
        self,
        symbol: str,
        candles: Candles,
        funding: Funding | None = None,
        progress: Progress | None = None,
        *,
        finer: Candles | None = None,
        companion: Candles | None = None,
    ) -> PredictionHistory:
        """The outlook at the close of every candle."""


class Remembering:
    """A model set that is asked about a history once.

    Parameters
    ----------
    model_set : ModelSet
        Its models are opened when it is first asked something new.
    place : Path, optional
        Where answers are kept; by default `market.cache`.
    """

    def __init__(self, model_set: ModelSet, place: Path | None = None) -> None:
        self._set = model_set
        self._place = place or cache.folder("predictions")

    @property
    def manifest(self) -> Manifest:
        """As `Foreteller`."""
        return self._set.manifest

    def predict_history(
        self,
        symbol: str,
        candles: Candles,
        funding: Funding | None = None,
        progress: Progress | None = None,
        *,
        finer: Candles | None = None,
        companion: Candles | None = None,
    ) -> PredictionHistory:
        """As `models.inference.Predictor.predict_history`, from what is kept if it was asked before."""
        inputs = Inputs(candles, funding, finer, companion)
        file = self._file(inputs)
        kept = _read(file, candles) if file else None
        if kept is not None:
            return kept
        # opening a set takes the libraries that run it; an answer that is kept needs none of them
        from models.inference import Predictor

        predictor = Predictor.load(self._set)
        threads = max(1, len(os.sched_getaffinity(0)))
        made = predictor.predict_history(symbol, candles, funding, progress, threads, finer=finer, companion=companion)
        if file:
            _write(file, made)
        return made

    def _file(self, inputs: Inputs) -> Path | None:
        if self._place is None:
            return None
        run_by = [code(), *(f"{n} {_version(n)}" for n in _RUN_BY), str(_GPU.exists())]
        asked = [str(inputs.candles.timeframe), fingerprint(inputs.candles, inputs.funding), *run_by]
        for name, beside in (("finer", inputs.finer), ("companion", inputs.companion)):
            if beside is not None:
                asked += [f"{name} {beside.timeframe}", fingerprint(beside)]
        return self._place / self._set.id / f"{hashlib.sha256(json.dumps(asked).encode()).hexdigest()[:32]}.parquet"


@once
def code(place: Path = _CODE) -> str:
    """SHA-256 (hex) of the code that makes answers of candles: a formula may change before its version does."""
    return of_code(place, _ASKED_THROUGH)


def _version(library: str) -> str:
    try:
        return version(library)
    except PackageNotFoundError:
        return "-"


def _read(file: Path, candles: Candles) -> PredictionHistory | None:
    """The kept answers, if there are sound ones for these candles."""
    try:
        table = pq.read_table(file, page_checksum_verification=True)
        told = json.loads(table.schema.metadata[b"regimen"])
        column = {name: table.column(name).to_numpy() for name in table.column_names}
        horizons = {int(h): np.column_stack([column[f"{h}/long"], column[f"{h}/short"]]) for h in told["horizons"]}
        history = PredictionHistory(
            column["open_time"], column["p_long"], column["p_short"], column["regime"], horizons, told["refusals"],
            told["without"],
        )  # fmt: skip
    except (OSError, pa.ArrowException, KeyError, TypeError, ValueError):
        return None
    if not np.array_equal(history.open_time, candles.open_time):
        return None
    with suppress(OSError):  # another user's, or pruned meanwhile; what was read is whole all the same
        os.utime(file)
    return history


def _write(file: Path, made: PredictionHistory) -> None:
    columns = {"open_time": made.open_time, "p_long": made.p_long, "p_short": made.p_short, "regime": made.regime}
    for h, both in made.horizons.items():
        columns |= {f"{h}/long": both[:, 0], f"{h}/short": both[:, 1]}
    told = {"horizons": list(made.horizons), "refusals": made.refusals, "without": made.without}
    table = pa.table(columns).replace_schema_metadata({"regimen": json.dumps(told)})
    partial = file.with_suffix(f".{os.getpid()}.partial")
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        pq.write_table(table, partial, write_page_checksum=True)
        partial.replace(file)
    except OSError:
        partial.unlink(missing_ok=True)  # a full disk keeps nothing, and the answers are there all the same
        return
    with suppress(OSError):  # another process prunes as well
        for old in sorted(file.parent.glob("*.parquet"), key=lambda f: f.stat().st_mtime, reverse=True)[_KEPT:]:
            old.unlink(missing_ok=True)
