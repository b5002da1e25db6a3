"""Small, real model sets for the tests: LightGBM boosters fitted to noise-free rules, and a network built by onnx."""

from __future__ import annotations

from dataclasses import dataclass, replace

import lightgbm
import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from market import synthetic
from market.aggregate import aggregate
from market.candles import Candles
from market.funding import Funding
from market.timeframes import Timeframe
from models import features, labels
from models.golden import with_golden
from models.manifest import (
    Calibrator,
    Data,
    Ensemble,
    Features,
    Identity,
    Labels,
    Manifest,
    Member,
    Range,
    Rules,
    Scaler,
    Stacker,
    family,
)
from models.modelset import digest

HOUR = Timeframe.parse("1h")
WINDOW = 8
HEADS = ("5/long", "5/short", "12/long", "12/short")
QUARTER = Timeframe.parse("15m")
PAIR = ("BTCUSDT", "ETHUSDT")
FINER_NAMES = ("return_1", "return_5", "volatility_6", "taker_flow_6")
FINER_WINDOW = 12
WIDE_NAMES = ("return_1", "return_24", "volatility_24", "companion_return_1", "companion_lead_24")


@dataclass(frozen=True)
class Market:
    """Candles of an hour with their funding, and what a set may read besides: quarters, and another symbol's hours."""

    candles: Candles
    funding: Funding
    finer: Candles | None = None
    companion: Candles | None = None


@dataclass(frozen=True)
class Made:
    """A set before it is written."""

    manifest: Manifest
    files: dict[str, bytes]


def make_set(market: Market, names: tuple[str, ...] | None = None, created: str = "2025-01-01T00:00:00Z") -> Made:
    """Fit and build every part, and put them together as training does."""
    names = names or tuple(f.name for f in features.FEATURES)
    matrix = features.compute(market.candles, market.funding, names, market.companion)
    ready = features.rows_ready(matrix, WINDOW)
    files = {"lstm.onnx": network(len(names))}
    members = [member("lstm", "onnx", "direction", "lstm.onnx", files["lstm.onnx"], HEADS, "logit")]
    for key in HEADS:
        horizon, side = int(key.split("/")[0]), 1 if key.endswith("long") else -1
        paid = labels.profitable(market.candles, horizon, side)
        name = f"lgbm_{key.replace('/', '_')}"
        files[f"{name}.txt"] = booster(matrix, paid, ready, objective="binary")
        members.append(member(name, "lightgbm", "direction", f"{name}.txt", files[f"{name}.txt"], (key,), "logit"))
    volatility = labels.forward_volatility(market.candles, 24)
    edges = labels.regime_edges(volatility)
    files["regime.txt"] = booster(matrix, labels.regimes(volatility, edges), ready, objective="multiclass", num_class=3)
    members.append(
        member("regime", "lightgbm", "regime", "regime.txt", files["regime.txt"], ("low", "mid", "high"), "probability")
    )
    whole = matrix[ready]
    manifest = Manifest(
        identity=Identity(name="test", created=created, seed=7),
        data=Data(
            venue="synthetic",
            symbols=("BTCUSDT",),
            timeframe="1h",
            source="synthetic market, seed 7",
            sha256=digest(market.candles.close.tobytes()),
            rows=len(market.candles),
            gaps=0,
            splits={"train": Range(start="2024-01-01T00:00:00Z", end="2024-03-01T00:00:00Z", rows=int(ready.sum()))},
            purge=24,
            labels=Labels(horizons=(5, 12), cost=0.0015, regime_horizon=24),
        ),
        features=Features(
            names=names,
            schema_hash=features.schema_hash(names),
            lookback=features.required_lookback(names),
            scaler=Scaler(
                center=tuple(whole.mean(axis=0).tolist()),
                scale=tuple(np.maximum(whole.std(axis=0), 1e-6).tolist()),
                clip=8.0,
                fitted_on="train",
            ),
            pair=None if market.companion is None else PAIR,
        ),
        models=tuple(members),
        ensemble=Ensemble(
            stackers={
                key: Stacker(members=("lstm", f"lgbm_{key.replace('/', '_')}"), coefficients=(0.4, 0.7), intercept=-0.1)
                for key in HEADS
            },
            calibrators={key: Calibrator(slope=0.9, intercept=0.05) for key in HEADS},
            weights={"5": 0.25, "12": 0.75},
            regime="regime",
            regime_edges=edges,
        ),
        decision=Rules(max_hold_bars=11),
        expires="2030-01-01T00:00:00Z",
    )
    return Made(with_golden(manifest, files), files)


def wide_market(bars: int = 700, seed: int = 7, symbol: str = PAIR[0]) -> Market:
    """Hours made of quarters, the quarters themselves, and the companion's hours."""
    quarters, funding = synthetic.generate(symbol, bars=4 * bars, timeframe=QUARTER, seed=seed)
    other, _ = synthetic.generate(PAIR[symbol == PAIR[0]], bars=4 * bars, timeframe=QUARTER, seed=seed)
    return Market(aggregate(quarters, HOUR), funding, quarters, aggregate(other, HOUR))


def make_wide_set(
    market: Market,
    names: tuple[str, ...] = WIDE_NAMES,
    dead_member: str = "without",
    without: tuple[str, ...] = (),
    finer_names: tuple[str, ...] = FINER_NAMES,
) -> Made:
    """A set that reads quarters by a network of its own, and compares two symbols if a name asks for it.

    `without` are the families that can be done without; the network of quarters, unless said otherwise.
    """
    assert market.finer is not None
    compares = any(features.COMPANION in f.needs for f in features.REGISTRY.chosen(names))
    compared = market if compares else replace(market, companion=None)
    made = make_set(compared, names)
    quarters = features.compute(market.finer, market.funding, finer_names)
    quarters = quarters[features.rows_ready(quarters)]
    content = network(len(finer_names), heads=2, window=FINER_WINDOW, seed=5)
    entry = member("lstm15m", "onnx", "direction", "lstm15m.onnx", content, ("3/long", "3/short"), "logit")
    told = made.manifest.model_dump()
    ensemble = told["ensemble"]
    left = {key: stacker["members"] for key, stacker in ensemble["stackers"].items()}
    for stacker in ensemble["stackers"].values():
        stacker["members"] = (*stacker["members"], "lstm15m")
        stacker["coefficients"] = (*stacker["coefficients"], 0.5)
    if dead_member == "without":
        ensemble["dead_member"] = "without"
        ensemble["without"] = {
            gone: {key: fusion((*read, "lstm15m"), gone) for key, read in left.items()}
            for gone in without or ("lstm15m",)
        }
    scaler = {
        "center": tuple(quarters.mean(axis=0).tolist()),
        "scale": tuple(quarters.std(axis=0).tolist()),
        "clip": 8.0,
        "fitted_on": "train",
    }
    finer = {
        "timeframe": "15m",
        "features": {
            "names": finer_names,
            "schema_hash": features.schema_hash(finer_names),
            "lookback": features.required_lookback(finer_names),
            "scaler": scaler,
        },
    }
    entry = Member.model_validate(entry.model_dump() | {"window": FINER_WINDOW, "timeframe": "15m"})
    changed = {"models": (*told["models"], entry.model_dump()), "finer": finer, "golden": None}
    files = made.files | {"lstm15m.onnx": content}
    return Made(with_golden(Manifest.model_validate(told | changed), files), files)


def fusion(read: tuple[str, ...], gone: str) -> dict[str, object]:
    """What fuses the members of the families left, none of them as with all."""
    left = tuple(name for name in read if family(name) != gone)
    stacker = {"members": left, "coefficients": (0.8,) * len(left), "intercept": 0.2}
    return {"stacker": stacker, "calibrator": {"slope": 1.1, "intercept": -0.05}}


def member(name: str, kind: str, role: str, file: str, content: bytes, heads: tuple[str, ...], output: str) -> Member:
    """A member's entry, its hash and size taken from the content."""
    return Member.model_validate(
        {
            "name": name, "kind": kind, "role": role, "file": file, "sha256": digest(content), "bytes": len(content),
            "heads": heads, "output": output, "window": WINDOW if kind == "onnx" else 1,
        }
    )  # fmt: skip


def booster(matrix: np.ndarray, outcome: np.ndarray, ready: np.ndarray, **parameters: object) -> bytes:
    """A LightGBM booster of some trees on the rows whose outcome is known, as text."""
    rows = ready & np.isfinite(outcome)
    settings = {"verbose": -1, "num_threads": 1, "num_leaves": 7, "deterministic": True, **parameters}
    fitted = lightgbm.train(settings, lightgbm.Dataset(matrix[rows], outcome[rows]), num_boost_round=12)
    return fitted.model_to_string().encode()


def network(columns: int, heads: int = len(HEADS), window: int = WINDOW, hidden: int = 6, seed: int = 3) -> bytes:
    """An LSTM with a linear head over its last state, as ONNX: (batch, window, columns) float32 -> (batch, heads)."""
    draw = np.random.default_rng(seed)

    def weights(name: str, *shape: int) -> onnx.TensorProto:
        return numpy_helper.from_array((draw.standard_normal(shape) * 0.2).astype(np.float32), name)

    graph = helper.make_graph(
        [
            helper.make_node("Transpose", ["window"], ["steps"], perm=[1, 0, 2]),
            helper.make_node("LSTM", ["steps", "w", "r", "b"], ["", "last"], hidden_size=hidden),
            helper.make_node("Squeeze", ["last", "axis"], ["state"]),
            helper.make_node("Gemm", ["state", "hw", "hb"], ["logits"]),
        ],
        "lstm",
        [helper.make_tensor_value_info("window", TensorProto.FLOAT, ["batch", window, columns])],
        [helper.make_tensor_value_info("logits", TensorProto.FLOAT, ["batch", heads])],
        [
            weights("w", 1, 4 * hidden, columns),
            weights("r", 1, 4 * hidden, hidden),
            weights("b", 1, 8 * hidden),
            weights("hw", hidden, heads),
            weights("hb", heads),
            numpy_helper.from_array(np.array([0], dtype=np.int64), "axis"),
        ],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    onnx.checker.check_model(model)
    content: bytes = model.SerializeToString()
    return content
