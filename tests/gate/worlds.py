"""Planted worlds: one synthetic market a seed, and real sets on it whose faults are known.

The good set is trained once; what is broken is made of it by the operation that would break a real one.
"""

from __future__ import annotations

import io
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path

import numpy as np
import onnx
from onnx import numpy_helper
from rich.console import Console

from backtest.broker import Costs
from backtest.gate.config import GateConfig, Thresholds, read
from backtest.gate.evidence import Market, Terms
from market import catalogue, synthetic
from market.candles import Candles
from market.instruments import cash
from market.progress import Steps
from market.timeframes import Timeframe
from models.golden import with_golden
from models.manifest import Calibrator, Manifest, Member
from models.modelset import ModelSet, digest, save
from strategy.live_config import Rules, load_rules
from training.data import Bars
from training.run import make_set
from training.spec import TrainingSpec

HOUR = Timeframe.parse("1h")
SYMBOL = "BTCUSDT"
BARS = 24_000
JUDGED = 31 * 24
"""Candles after the training data: a month, and a day to begin with a whole one."""
SIGNAL = 0.9
"""Strength of the planted signal: with the turned flow an honest direction AUC of .57 over 5 h, no leak's."""
WEEK_MS, MONDAY_MS = 604_800_000, 345_600_000
COSTS = Costs(taker_ppm=100, slippage_ppm=50)
"""Low, so that an honest AUC is worth money within the two years a small world has; the label's cost fits them."""
LABEL_COST = 0.0005
RULES = Path(__file__).resolve().parent / "rules.yaml"

FEATURES = (
    "return_1", "return_2", "return_3", "return_5", "return_12", "return_24", "volatility_6", "volatility_24",
    "volatility_72", "volatility_168", "parkinson_24", "range_ratio_24", "taker_flow_1", "taker_flow_6",
    "taker_flow_24", "volume_ratio_24", "hour_sine_1", "hour_cosine_1", "week_sine", "week_cosine", "weekend",
)  # fmt: skip
BLIND = tuple(f for f in FEATURES if not f.startswith(("taker", "return")))
"""What a champion reads that knows how much prices move and not where to; with a little of each, below."""
MODEST = (*BLIND, "return_1", "return_2")
"""The reversal half of the signal, and nothing of the flow."""


def spec(name: str, seed: int, features: tuple[str, ...] = FEATURES) -> TrainingSpec:
    """A small recipe: seconds, not minutes."""
    return TrainingSpec.model_validate(
        {
            "name": name,
            "seed": seed,
            "data": {"symbol": SYMBOL, "venue": "synthetic", "bars": BARS, "synthetic_seed": seed},
            "features": {"include": features},
            "labels": {"horizons": (5, 12), "regime_horizon": 24, "cost": LABEL_COST},
            "splits": {"folds": 4},
            "lightgbm": {"rounds": 250, "learning_rate": 0.08, "patience": 20},
            "lstm": {"window": 4, "hidden": 8, "epochs": 6, "stride": 3, "learning_rate": 0.005, "dropout": 0.1},
            "evidence": {"draws": 100},
            "expires_days": 90,
        }
    )


@dataclass
class World:
    """A market with its sets, made when first asked for, in stores under `folder`."""

    seed: int
    folder: Path
    signal: float = SIGNAL

    def __post_init__(self) -> None:
        self.candles, self.funding = synthetic.generate(
            SYMBOL, bars=BARS + JUDGED, timeframe=HOUR, seed=self.seed, signal=self.signal
        )
        self.candles = turned(self.candles)
        self._made: dict[str, ModelSet] = {}

    @cached_property
    def silent(self) -> World:
        """The same seed's market without a signal."""
        return World(self.seed, self.folder, 0.0)

    @property
    def market(self) -> Market:
        """All of it, the days after the training too."""
        return Market(catalogue.instrument(SYMBOL), self.candles, self.candles, self.funding)

    def train(self, name: str, features: tuple[str, ...] = FEATURES, seed: int | None = None) -> ModelSet:
        """A set of the small recipe, from the first bars of the market."""
        if name not in self._made:
            source = f"synthetic seed {self.seed} signal {self.signal:g}"
            bars = Bars(self.candles[:BARS], self.funding, source)
            recipe = spec(name, self.seed if seed is None else seed, features)
            told = make_set(bars, recipe, self.store(name), Steps(quiet=True), threads=1)
            self._made[name] = ModelSet.load(told.path)
        return self._made[name]

    def store(self, name: str) -> Path:
        """A store of its own for each set: they are not variants among which one was chosen."""
        return self.folder / f"{self.seed}-{self.signal:g}-{name}" / "sets"

    def derive(
        self, name: str, origin: ModelSet, manifest: Manifest, files: Mapping[str, bytes] | None = None
    ) -> ModelSet:
        """A set made of another, in a store of its own."""
        return derived(origin, manifest, self.store(name), files)


def derived(origin: ModelSet, manifest: Manifest, store: Path, files: Mapping[str, bytes] | None = None) -> ModelSet:
    """A set made of another by changing its manifest or files; golden answers are asked anew, as a maker would."""
    contents = {**origin.contents, **(files or {})}
    models = tuple(_of_content(m, contents[m.file]) for m in manifest.models)
    changed = Manifest.model_validate(manifest.model_dump() | {"models": [m.model_dump() for m in models]})
    assert changed.golden is not None
    fresh = with_golden(changed, contents, changed.golden.seed, changed.golden.count).golden
    assert fresh is not None
    golden = fresh.model_copy(update={"trained": changed.golden.trained})
    path = save(changed.model_copy(update={"golden": golden, "id": ""}), contents, store)
    _copy_ledger(origin.path.parent, store)
    return ModelSet.load(path)


def bent(manifest: Manifest) -> Manifest:
    """A manifest whose calibrators make the set bold and lift every probability."""
    ensemble = manifest.ensemble
    wrong = {
        head: Calibrator(slope=4 * c.slope, intercept=c.intercept + 1.5) for head, c in ensemble.calibrators.items()
    }
    return manifest.model_copy(update={"ensemble": ensemble.model_copy(update={"calibrators": wrong})})


def turned(candles: Candles) -> Candles:
    """The candles with buyers and sellers exchanged in the first half of every week.

    The price then follows the flow in one half and leaves it in the other: what a logistic regression on the same
    features cannot say, so that a set that learnt it is better than all the gate compares it with.
    """
    first = (candles.open_time - MONDAY_MS) % WEEK_MS < WEEK_MS // 2
    return replace(
        candles,
        taker_base=np.where(first, candles.volume - candles.taker_base, candles.taker_base),
        taker_quote=np.where(first, candles.quote_volume - candles.taker_quote, candles.taker_quote),
    )


def terms(config: GateConfig | None = None) -> Terms:
    """Costs and rules of planted worlds; thresholds of configs/gate.yaml."""
    return Terms(rules(), COSTS, cash("10000"), config or thresholds().config)


def thresholds() -> Thresholds:
    """The gate's, as committed."""
    return read()


def rules() -> Rules:
    """Trading rules for planted sets."""
    return load_rules(RULES)


def with_other_weights(content: bytes, by: float, seed: int) -> bytes:
    """An ONNX network whose first weights were disturbed, as by a faulty export."""
    model = onnx.load(io.BytesIO(content))
    draw = np.random.default_rng(seed)
    for tensor in model.graph.initializer:
        values = numpy_helper.to_array(tensor)
        if values.dtype == np.float32 and values.size > 8:
            noise = draw.standard_normal(values.shape) * by * max(float(values.std()), 1e-3)
            tensor.CopyFrom(numpy_helper.from_array((values + noise).astype(np.float32), tensor.name))
    told: bytes = model.SerializeToString()
    return told


def constant_booster(content: bytes) -> bytes:
    """A LightGBM booster every leaf of which says the same."""
    lines = []
    for line in content.decode().splitlines(keepends=True):
        if line.startswith("tree_sizes="):
            continue  # they would no longer be right, and LightGBM reads on without them
        if line.startswith("leaf_value="):
            count = len(line.split("=")[1].split())
            line = "leaf_value=" + " ".join(["0.01"] * count) + "\n"
        lines.append(line)
    return "".join(lines).encode()


def quiet() -> Console:
    """A console nobody reads."""
    return Console(file=io.StringIO())


def _of_content(member: Member, content: bytes) -> Member:
    return member.model_copy(update={"sha256": digest(content), "bytes": len(content)})


def _copy_ledger(origin: Path, store: Path) -> None:
    ledger = origin / "trials.jsonl"
    if ledger.exists() and origin != store:
        (store / "trials.jsonl").write_bytes(ledger.read_bytes())
