"""A small set on a market with a planted signal, made of its first part, so that the rest can judge it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from market import synthetic
from market.candles import Candles
from market.funding import Funding
from models import features, labels, walkforward
from models.evaluation import outcomes
from models.evaluation.rivals import fit_baselines
from models.evaluation.sample import scores
from models.inference import Predictor
from models.logits import logit
from models.manifest import Manifest, Range, Recorded, utc
from models.modelset import digest, save
from models.walkforward import WalkForward
from tests.models.small_sets import HOUR, Market, make_set

NAMES = (
    "return_1", "return_3", "return_5", "taker_flow_1", "taker_flow_6", "taker_flow_24", "volatility_6",
    "volatility_24", "stochastic_14", "bollinger_20", "hour_sine_1", "hour_cosine_1",
)  # fmt: skip
BARS, MADE_OF, CALIBRATED, TEST_END = 8000, 4000, 5000, 5500
PURGE = 24


@dataclass(frozen=True)
class Judged:
    """A stored set, the whole market, and the instants (UTC ms) that part what it was made of from what it was not."""

    path: Path
    candles: Candles
    funding: Funding
    fresh_ms: int

    @property
    def predictor(self) -> Predictor:
        """The set, opened."""
        return Predictor.load(self.path)


def market(signal: float = 1.0, seed: int = 11, symbol: str = "BTCUSDT") -> Market:
    """Candles with a signal in taker flow and short reversal."""
    return Market(*synthetic.generate(symbol, bars=BARS, timeframe=HOUR, seed=seed, signal=signal))


def make(where: Path, of: Market, complete: bool = True) -> Judged:
    """A set fitted to the first bars of a market; `complete` with fitted baselines and a walk-forward record."""
    candles = of.candles
    made = make_set(Market(candles[:MADE_OF], of.funding), NAMES)
    manifest = Manifest.model_validate(made.manifest.model_dump() | {"data": _data(made.manifest, candles)})
    files = dict(made.files)
    if complete:
        matrix = features.compute(candles, of.funding, NAMES)
        rows = np.flatnonzero(features.unbroken(candles)[:MADE_OF] > 200)
        manifest = manifest.model_copy(update={"baselines": fit_baselines(manifest, candles, matrix, rows)})
        files[walkforward.FILE] = walkforward.to_bytes(record(where, manifest, files, of))
        manifest = Manifest.model_validate(
            manifest.model_dump()
            | {"walkforward": Recorded(
                file=walkforward.FILE, sha256=digest(files[walkforward.FILE]), bytes=len(files[walkforward.FILE]),
                rows=MADE_OF - 1000,
            )}
        )  # fmt: skip
    path = save(manifest, files, where / "sets")
    return Judged(path, candles, of.funding, int(candles.open_time[CALIBRATED + PURGE]))


def _data(manifest: Manifest, candles: Candles) -> dict[str, object]:
    times = candles.open_time
    parts = {
        "train": (200, MADE_OF),
        "calibrate": (MADE_OF + PURGE, CALIBRATED),
        "test": (CALIBRATED + PURGE, TEST_END),
    }
    splits = {
        name: Range(start=utc(int(times[a])), end=utc(int(times[b])), rows=b - a) for name, (a, b) in parts.items()
    }
    return manifest.data.model_dump() | {"splits": splits, "purge": PURGE}


def record(where: Path, manifest: Manifest, files: dict[str, bytes], of: Market) -> WalkForward:
    """What this very set says of bars 1000 to 4000 in three folds, which is enough of a record to be read."""
    predictor = Predictor.load(save(manifest, {m.file: files[m.file] for m in manifest.models}, where / "drafts"))
    rows = np.arange(1000, MADE_OF)
    candles = of.candles
    answers = predictor.answers(predictor.matrix(candles, of.funding), rows)
    said = {
        name: {key: logit(p) for key, p in heads.items() if not key.endswith(outcomes.UP)}
        for name, heads in scores(manifest, answers).items()
    }
    none = {key: np.full(len(rows), np.nan) for key in said["stack"]}
    return WalkForward(
        open_time=candles.open_time[rows],
        part=((rows - 1000) // 1000).astype(np.int8),
        close=candles.close[rows],
        returns={h: labels.forward_return(candles, h)[rows] for h in manifest.horizons},
        volatility=labels.forward_volatility(candles, 24)[rows],
        edges=np.tile(manifest.ensemble.regime_edges, (len(rows), 1)),
        logits=said,
        scores={"logistic": none, "volatility_and_clock": none},
        minus_24h_return=np.zeros(len(rows)),
        regime=answers.regime,
        har=answers.regime,
        p_long=answers.p_long,
        p_short=answers.p_short,
    )
