"""The walk-forward record: what a recipe said, fold by fold, of rows that nothing it used had seen.

A parquet file of the set, so that the recipe can be judged without its training data. Everything that answers a row of
fold k was fitted before that fold: members and baselines on the fold's own fitting rows, stack, calibration and horizon
weights on out-of-fold rows of folds before k, each a purge away. In the first fold the members are averaged, and the
horizons weigh the same. Rows of the test slice are answered by the finished set, exactly as it is served.
"""

from __future__ import annotations

import io
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from market.candles import Floats, Ints
from models import labels
from models.baselines import Fitted
from models.manifest import REGIMES
from models.modelset import ModelSet, ModelSetError

FILE = "walkforward.parquet"
TEST = -1
"""`part` of the rows of the test slice."""
SCORE_BITS, OUTCOME_BITS = 10, 24
"""Binary digits the file keeps of logits, scores and regime probabilities (3 decimal ones), and of what came (7): the
rest is noise that cannot be compressed. `p_long` and `p_short`, which are traded, are kept whole.
"""
FITTED: tuple[Fitted, ...] = ("logistic", "volatility_and_clock")


@dataclass(frozen=True)
class WalkForward:
    """The record in columns, n rows in time order, the folds' first and the test slice's last.

    Attributes
    ----------
    open_time : (n,) int64
        UTC ms.
    part : (n,) int8
        Number of the fold from 0, or -1 (`TEST`).
    close : (n,) float64
        Price after which this was said.
    returns : dict
        Horizon -> return (n,) from this close to the one so many bars later, NaN where unknown.
    volatility : (n,) float64
        Of the bars to come, per bar, NaN where unknown.
    edges : (n, 2) float64
        Regime edges in force for the row: a fold's own, from its fitting rows; in the test slice the set's.
    logits : dict
        ``stack`` (stacked and calibrated), ``average`` (the members' plain one), or a family of members
        (``lightgbm``, ``lstm``) -> head (``5/long``) -> (n,) logits.
    scores : dict
        ``logistic``, ``volatility_and_clock`` -> head -> (n,) scores of the baseline, NaN where it has none.
    minus_24h_return : (n,) float64
        The baseline rule's score for a long; a short's is its opposite.
    regime, har : (n, 3) float64
        P(low), P(mid), P(high) of the regime member and of the HAR + calendar baseline.
    p_long, p_short : (n,) float64
        What would have been traded: the horizons' probabilities by weight, rounded to 1e-9.
    """

    open_time: Ints
    part: NDArray[np.int8]
    close: Floats
    returns: Mapping[int, Floats]
    volatility: Floats
    edges: Floats
    logits: Mapping[str, Mapping[str, Floats]]
    scores: Mapping[str, Mapping[str, Floats]]
    minus_24h_return: Floats
    regime: Floats
    har: Floats
    p_long: Floats
    p_short: Floats

    def __len__(self) -> int:
        return len(self.open_time)

    @property
    def folds(self) -> int:
        """How many folds there are."""
        return int(self.part.max(initial=TEST)) + 1

    @property
    def families(self) -> tuple[str, ...]:
        """Names of the families of members, in order."""
        return tuple(name for name in self.logits if name not in ("stack", "average"))

    def regimes(self) -> Floats:
        """The regime that came (n,), by each row's own edges: 0, 1, 2, or NaN where unknown."""
        above = (self.volatility[:, None] >= self.edges).sum(axis=1).astype(np.float64)
        return np.where(np.isnan(self.volatility) | np.isnan(self.edges).any(axis=1), np.nan, above)

    def profitable(self, horizon: int, side: int, cost: float) -> Floats:
        """Whether that side paid beyond `cost` over `horizon` bars (n,): 1, 0, or NaN; `labels.profitable`'s twin."""
        gain = side * self.returns[horizon]
        return np.where(np.isnan(gain), np.nan, (gain > cost).astype(np.float64))

    def rising(self, horizon: int) -> Floats:
        """Whether the close was higher `horizon` bars later (n,): 1, 0, or NaN; `labels.up`'s twin."""
        return self.profitable(horizon, labels.LONG, 0.0)

    def columns(self) -> dict[str, NDArray[Any]]:
        """The file's columns by name, as written."""
        exact: dict[str, NDArray[Any]] = {
            "open_time": self.open_time,
            "part": self.part,
            "close": self.close,
            **{f"return_{h}": _rounded(column, OUTCOME_BITS) for h, column in self.returns.items()},
            "volatility": _rounded(self.volatility, OUTCOME_BITS),
            "edge_low": _rounded(self.edges[:, 0], OUTCOME_BITS),
            "edge_high": _rounded(self.edges[:, 1], OUTCOME_BITS),
            "p_long": self.p_long,
            "p_short": self.p_short,
        }
        coarse = {f"logit/{name}/{key}": c for name, heads in self.logits.items() for key, c in heads.items()}
        coarse |= {f"score/{name}/{key}": c for name, heads in self.scores.items() for key, c in heads.items()}
        coarse["score/minus_24h_return"] = self.minus_24h_return
        for what, table in (("regime", self.regime), ("har", self.har)):
            coarse |= {f"{what}/{name}": table[:, at] for at, name in enumerate(REGIMES)}
        return exact | {name: _rounded(c, SCORE_BITS).astype(np.float32) for name, c in coarse.items()}


def to_bytes(record: WalkForward) -> bytes:
    """The file's content; the same record gives the same bytes."""
    columns = record.columns()
    repeated = ["part", "edge_low", "edge_high"]
    encoding = {name: "BYTE_STREAM_SPLIT" for name in columns if name not in repeated}
    buffer = io.BytesIO()
    pq.write_table(
        pa.table(columns),
        buffer,
        compression="zstd",
        compression_level=19,
        use_dictionary=repeated,
        column_encoding=encoding | {"open_time": "DELTA_BINARY_PACKED"},
        write_statistics=False,
    )
    return buffer.getvalue()


def read(model_set: ModelSet) -> WalkForward:
    """The record of a verified set.

    Raises
    ------
    ModelSetError
        If the set has none, or the file is not such a record.
    """
    manifest = model_set.manifest
    if manifest.walkforward is None:
        raise ModelSetError(
            "it has no walk-forward record, so its recipe cannot be judged", model_set.path,
            "it was made by an earlier version; train it again",
        )  # fmt: skip
    file = model_set.path / manifest.walkforward.file
    remedy = "train the set again"
    try:
        table = pq.read_table(io.BytesIO(model_set.contents[manifest.walkforward.file]))
        record = _parsed(table, manifest.horizons)
    except (pa.ArrowException, OSError, KeyError) as error:
        raise ModelSetError(f"no walk-forward record: {str(error).splitlines()[0]}", file, remedy) from error
    if len(record) != manifest.walkforward.rows:
        raise ModelSetError(f"{len(record)} rows where the manifest says {manifest.walkforward.rows}", file, remedy)
    fault = _fault(record)
    if fault:
        raise ModelSetError(f"its walk-forward record makes no sense: {fault}", file, remedy)
    return record


def _parsed(table: pa.Table, horizons: tuple[int, ...]) -> WalkForward:
    def floats(name: str) -> Floats:
        return np.asarray(table[name].to_numpy(), dtype=np.float64)

    keys = [f"{h}/{side}" for h in horizons for side in ("long", "short")]
    found = [name.split("/")[1] for name in table.column_names if name.startswith("logit/")]
    return WalkForward(
        open_time=np.asarray(table["open_time"].to_numpy(), dtype=np.int64),
        part=np.asarray(table["part"].to_numpy(), dtype=np.int8),
        close=floats("close"),
        returns={h: floats(f"return_{h}") for h in horizons},
        volatility=floats("volatility"),
        edges=np.column_stack([floats("edge_low"), floats("edge_high")]),
        logits={
            name: {key: floats(f"logit/{name}/{key}") for key in keys}
            for name in dict.fromkeys(["stack", "average", *found])
        },
        scores={name: {key: floats(f"score/{name}/{key}") for key in keys} for name in FITTED},
        minus_24h_return=floats("score/minus_24h_return"),
        regime=np.column_stack([floats(f"regime/{name}") for name in REGIMES]),
        har=np.column_stack([floats(f"har/{name}") for name in REGIMES]),
        p_long=floats("p_long"),
        p_short=floats("p_short"),
    )


def _fault(record: WalkForward) -> str | None:
    """What makes a record impossible, in words, or None."""
    if not (np.diff(record.open_time) > 0).all():
        return "its rows are not in time order"
    order = np.where(record.part == TEST, np.iinfo(np.int16).max, record.part.astype(np.int16))
    if (record.part < TEST).any() or not (np.diff(order) >= 0).all():
        return "its folds are not in time order, the test slice last"
    said = {"p_long": record.p_long, "p_short": record.p_short}
    said |= {f"logit {name} {key}": c for name, heads in record.logits.items() for key, c in heads.items()}
    for name, column in said.items():
        if not np.isfinite(column).all():
            return f"{int((~np.isfinite(column)).sum())} rows without {name}"
    for name, column in (("p_long", record.p_long), ("p_short", record.p_short)):
        if not ((column >= 0) & (column <= 1)).all():
            return f"{name} beyond 0 and 1"
    return None


def _rounded(column: Floats, bits: int) -> Floats:
    """The column with so many binary digits of each number kept."""
    mantissa, exponent = np.frexp(column)
    return np.asarray(np.ldexp(np.rint(mantissa * 2**bits) / 2**bits, exponent), dtype=np.float64)
