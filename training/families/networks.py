"""Network members: one way to fit, keep and export any of them; what they read and how they are built is told apart.

Every network is fitted by `training.loop`, in each fold and for good. The one that is kept answers from the ONNX bytes
that are saved, so what is calibrated and tested is what will be served.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from pydantic import JsonValue
from torch import nn

from market import cluster
from market.candles import Floats, Ints
from models import labels, networks
from models.features import rows_ready
from models.manifest import REGIMES, Member, Scaler
from models.modelset import digest
from models.scaling import FeatureScaler, scale
from training import export, loop
from training.augmentation import Augmentation
from training.folds import FINISHED
from training.member_spec import LSTMSpec, NetworkSpec, StudentSpec, TFTSpec, TransformerSpec
from training.spec import TrainingSpec
from training.units import Answers, Context, File, Fit, Fits, Unit, gathered

SIDES = 2


@dataclass(frozen=True)
class Reading:
    """What a network learns from, row by row of its own candles.

    Attributes
    ----------
    matrix : (M, F) float64
        Unscaled features.
    targets : (M, K) or (M,) float64
        Labels of its heads, or numbers of classes; NaN where unknown.
    heads : tuple of str
        K names.
    ready : (M,) bool
        Rows at which its window is complete.
    ends : (N,) int64
        The row that closes with each decision candle.
    timeframe : str or None
        Of its candles; None for the decision candles.
    """

    matrix: Floats
    targets: Floats
    heads: tuple[str, ...]
    ready: np.ndarray[tuple[int, ...], np.dtype[np.bool_]]
    ends: Ints
    timeframe: str | None = None

    def learned(self, positions: Ints) -> Ints:
        """Ready rows whose label is known, from the first to the last of these decision candles."""
        rows = self.ends[positions]
        if self.timeframe is not None:
            rows = np.arange(rows[0], rows[-1] + 1)
        told = ~np.isnan(self.targets[rows].reshape(len(rows), -1)).all(axis=1)
        return np.asarray(rows[told & self.ready[rows]])


@dataclass(frozen=True)
class NetworkFamily:
    """One kind of network; `name` is also its section of the spec."""

    name: str
    kind: str

    def told(self, spec: TrainingSpec) -> NetworkSpec:
        """Its section."""
        section = spec.regime.lstm if self.name == "regime_lstm" else getattr(spec, self.name)
        assert section is not None, f"the spec has no {self.name}"
        return section

    def seeds(self, spec: TrainingSpec) -> int:
        """As `Family`."""
        return self.told(spec).seeds

    def settings(self, context: Context) -> JsonValue:
        """As `Family`."""
        return {"seed": context.spec.seed, **self.told(context.spec).model_dump(mode="json")}

    def reading(self, context: Context, part: int) -> Reading:
        """What it learns from in one part."""
        problem = context.problem
        if self.name == "lstm15m":
            assert problem.finer is not None, "the 15-minute LSTM needs finer candles"
            finer = problem.finer
            return Reading(
                finer.matrix, finer.targets, finer.heads, finer.ready, finer.ends, str(finer.candles.timeframe)
            )
        ready = np.zeros(len(problem.matrix), dtype=bool)
        ready[problem.rows] = True
        here = np.arange(len(problem.matrix), dtype=np.int64)
        if self.name == "regime_lstm":
            known = labels.regimes(problem.volatility, context.folds.edges_in(part, problem))
            return Reading(problem.matrix, known, REGIMES, ready, here)
        return Reading(problem.matrix, problem.targets, tuple(problem.heads), ready, here)

    def fit(self, context: Context, unit: Unit) -> Fit:
        """As `Family`; a finished network's parameters are handed on, and it answers when it has been exported."""
        spec = self.told(context.spec)
        reading = self.reading(context, unit.part)
        grow, stop, judged = context.folds.rows(unit.part)
        seed = context.spec.seed + unit.part + 1 + 1000 * unit.seed
        torch.set_num_threads(context.threads)
        torch.manual_seed(seed)
        network = build(self.kind, spec, reading)
        _, scaled = scaling(reading, grow)
        fitted = loop.fit(
            network,
            scaled,
            reading.targets.astype(np.float32),
            reading.learned(grow),
            reading.learned(stop),
            spec.window,
            self._schedule(spec, reading),
            seed,
            device=context.device,
            teacher=self._teacher(context, grow),
        )
        facts: dict[str, JsonValue] = {
            "parameters": networks.count_parameters(network),
            "best_epoch": fitted.best_epoch,
            "train_loss": _rounded(fitted.train_loss),
            "stop_loss": _rounded(fitted.stop_loss),
            "stop_auc": _rounded(fitted.stop_auc),
            "gradient_norm": _rounded(fitted.gradient_norm),
            "not_finite": fitted.not_finite,
        }
        if unit.part == FINISHED:
            weights = {name: value.cpu().numpy() for name, value in network.state_dict().items()}
            return Fit(np.empty((0, len(reading.heads))), facts, weights=weights)
        return Fit(_answers(reading, network, scaled, judged, spec.window), facts)

    def finish(self, context: Context, fits: Fits) -> Exported:
        """Put the seeds of the finished network together, export them as one, and let that answer."""
        spec, reading = self.told(context.spec), self.reading(context, FINISHED)
        scaler, scaled = scaling(reading, context.folds.rows(FINISHED)[0])
        grown = [self._grown(spec, reading, fits[Unit(self.name, FINISHED, seed)]) for seed in range(spec.seeds)]
        network = grown[0] if len(grown) == 1 else Averaged(grown)
        later = context.folds.rows(FINISHED)[2]
        rows = reading.ends[later]
        exported = export.export(network, scaled, rows, spec.window)
        final = np.full((len(context.problem.matrix), len(reading.heads)), np.nan)
        final[later] = export.run(exported.onnx, scaled, rows, spec.window, threads=cluster.cores())
        member = Member(
            name=self.name,
            kind="onnx",
            role="regime" if self.name == "regime_lstm" else "direction",
            file=f"{self.name}.onnx",
            sha256=digest(exported.onnx),
            bytes=len(exported.onnx),
            window=spec.window,
            heads=reading.heads,
            output="logit",
            opset=export.OPSET,
            input_name=export.INPUT,
            output_name=export.OUTPUT,
            parity={f"batch_{batch}": difference for batch, difference in exported.parity.items()},
            timeframe=reading.timeframe,
        )

        def trained(matrix: Floats, rows: Ints) -> Floats:
            inputs = scale(matrix, scaler.center_, scaler.scale_, scaler.clip)
            return loop.logits(network, inputs, rows, spec.window).astype(np.float64)

        facts = dict(fits[Unit(self.name, FINISHED)].facts)
        if spec.seeds > 1:
            others = [fits[Unit(self.name, FINISHED, seed)] for seed in range(1, spec.seeds)]
            facts["other_seeds"] = [dict(fit.facts) for fit in others]
        facts["folds"] = [dict(fits[Unit(self.name, part)].facts) for part in range(len(context.folds.parts))]
        unseen = gathered(context, self.name, fits, len(reading.heads))
        return Exported(File(member, exported.onnx), unseen, final, facts, kept(scaler), trained)

    def _schedule(self, spec: NetworkSpec, reading: Reading) -> loop.Schedule:
        weights = None
        if spec.horizon_weights is not None and self.name not in ("lstm15m", "regime_lstm"):
            weights = tuple(weight / SIDES for weight in spec.horizon_weights for _ in range(SIDES))
        schedule = loop.Schedule(
            spec.epochs,
            spec.patience,
            spec.batch,
            spec.learning_rate,
            spec.weight_decay,
            spec.stride,
            spec.noise,
            loss="classes" if self.name == "regime_lstm" else spec.loss,
            head_weights=weights,
            diversity=spec.diversity,
            augment=None if spec.augment is None else Augmentation(**spec.augment.model_dump()),
        )
        if isinstance(spec, StudentSpec):
            return replace(schedule, temperature=spec.temperature, alpha=spec.alpha)
        return schedule

    def _teacher(self, context: Context, grow: Ints) -> loop.Matrix | None:
        """The teacher's logits where it had not seen the row and this fit may."""
        if self.name != "student" or context.teacher is None:
            return None
        known = np.full(context.teacher.shape, np.nan, dtype=np.float32)
        known[grow] = context.teacher[grow]
        return known if np.isfinite(known).any() else None

    def _grown(self, spec: NetworkSpec, reading: Reading, fit: Fit) -> nn.Module:
        network = build(self.kind, spec, reading)
        network.load_state_dict({name: torch.from_numpy(np.array(value)) for name, value in fit.weights.items()})
        return network.eval()


@dataclass(frozen=True)
class Exported:
    """A finished network: its file, what it said out of fold (N, K) and says from the early-stop slice on (N, K)."""

    file: File
    unseen: Floats
    final: Floats
    facts: dict[str, JsonValue]
    scaler: Scaler
    trained: Any

    def answers(self, heads: int) -> Answers:
        """As a member of direction with so many heads; finer heads speak for every horizon of their side."""
        columns = [at % self.unseen.shape[1] for at in range(heads)]
        names = (self.file.member.name,) * heads
        said = self.unseen[:, columns], self.final[:, columns]
        return Answers(names, *said, (self.file,), self.facts, self.scaler, self.trained)


class Averaged(nn.Module):  # type: ignore[misc]
    """Networks of several seeds as one: the mean of their logits."""

    def __init__(self, grown: list[nn.Module]) -> None:
        super().__init__()
        self.grown = nn.ModuleList(grown)

    def forward(self, window: torch.Tensor) -> torch.Tensor:
        """Logits (B, H) from windows (B, T, F)."""
        return torch.stack([network(window) for network in self.grown]).mean(dim=0)


def build(kind: str, spec: NetworkSpec, reading: Reading) -> nn.Module:
    """The network a section of the spec describes, untrained."""
    options: dict[str, Any] = {"dropout": spec.dropout}
    if isinstance(spec, LSTMSpec):
        options |= spec.model_dump(include={"hidden", "layers", "bidirectional", "pooling"})
    elif isinstance(spec, TFTSpec):
        options |= spec.model_dump(include={"hidden", "attention_heads", "embedding"})
    elif isinstance(spec, TransformerSpec):
        options |= spec.model_dump(include={"width", "attention_heads", "layers"}) | {"length": spec.window}
    return networks.build(kind, reading.matrix.shape[1], len(reading.heads), **options)


def scaling(reading: Reading, grow: Ints) -> tuple[FeatureScaler, loop.Matrix]:
    """The scaler fitted on the rows grown on, and the whole matrix as it scales it."""
    first, last = reading.ends[grow[0]], reading.ends[grow[-1]]
    whole = rows_ready(reading.matrix)
    fitted = reading.ends[grow] if reading.timeframe is None else np.flatnonzero(whole[first : last + 1]) + first
    scaler = FeatureScaler().fit(reading.matrix[fitted])
    scaled = np.full(reading.matrix.shape, np.nan, dtype=np.float32)
    scaled[whole] = scaler.transform(reading.matrix[whole])
    return scaler, scaled


def kept(scaler: FeatureScaler) -> Scaler:
    """The scaler as the manifest keeps it."""
    center, spread = scaler.center_.tolist(), scaler.scale_.tolist()
    return Scaler(center=tuple(center), scale=tuple(spread), clip=float(scaler.clip), fitted_on="train")


def _answers(reading: Reading, network: nn.Module, scaled: loop.Matrix, judged: Ints, window: int) -> Floats:
    return loop.logits(network, scaled, reading.ends[judged], window).astype(np.float64)


def _rounded(values: tuple[float, ...]) -> list[JsonValue]:
    return [round(value, 6) if np.isfinite(value) else None for value in values]
