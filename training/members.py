"""Members: each is fitted once for good, and once in every fold for predictions of rows it has not seen.

What a member says is kept as logits (N, H), one column a head, NaN where it says nothing. The finished
network answers from the ONNX bytes that are saved, so what is calibrated and tested is what will be served.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Protocol

import lightgbm as lgb
import numpy as np
import torch
from pydantic import JsonValue

from market.candles import Floats, Ints
from market.progress import Step
from models import labels
from models.features import rows_ready
from models.inference import Trained
from models.manifest import REGIMES, Member, Scaler
from models.modelset import digest
from models.networks import count_parameters
from models.networks.lstm import MultiHorizonLSTM
from models.scaling import FeatureScaler
from training import boosting, export, loop
from training.problem import Problem
from training.spec import LSTMSpec, TrainingSpec
from training.splits import PurgedTimeSeriesSplit, hold_back


@dataclass(frozen=True)
class File:
    """A model file: what the manifest says of it, and its bytes."""

    member: Member
    content: bytes


@dataclass(frozen=True)
class Answers:
    """What one kind of member says, and its files.

    Attributes
    ----------
    names : (H,) tuple of str
        Name of the member behind each head's column.
    unseen : (N, H) float64
        Out-of-fold logits on the train slice.
    final : (N, H) float64
        Logits of the finished member, from the early-stop slice on.
    files : tuple of File
        What is saved.
    facts : dict
        For the evidence: how the fitting went.
    scaler : Scaler or None
        How the member's inputs are scaled, if they are.
    trained : callable or None
        The network before it was exported, if there is one: logits for rows of an unscaled feature matrix.
    """

    names: tuple[str, ...]
    unseen: Floats
    final: Floats
    files: tuple[File, ...]
    facts: dict[str, JsonValue] = field(default_factory=dict)
    scaler: Scaler | None = None
    trained: Trained | None = None

    @property
    def family(self) -> str:
        """What its members are called together: ``lightgbm``, ``lstm``."""
        return self.names[0].partition("_")[0]


class Folds:
    """Which rows each fold fits on, stops on and is judged on; `finished` is the same for the member that is kept.

    `edges` are each fold's regime edges, from the rows it fits on: what is low or high is not known in advance either.
    """

    def __init__(self, problem: Problem, spec: TrainingSpec) -> None:
        rows = problem.rows_in(problem.slices.train)
        self.purge = spec.labels.purge
        splitter = PurgedTimeSeriesSplit(spec.splits.folds, self.purge)
        self.parts: list[tuple[Ints, Ints, Ints]] = []
        self.edges: list[tuple[float, float]] = []
        for fit, judged in splitter.split(rows, groups=rows):
            grow, stop = hold_back(rows[fit], spec.splits.fold_stop, self.purge)
            self.parts.append((grow, stop, rows[judged]))
            self.edges.append(problem.edges_of(grow))
        later = problem.rows[problem.rows >= problem.slices.stop.start]
        self.finished = (rows, problem.rows_in(problem.slices.stop), later)

    def judged_before(self, fold: int) -> Ints:
        """Rows judged in earlier folds whose outcome was known before the first row of this one."""
        first = self.parts[fold][2][0]
        earlier = [judged for _, _, judged in self.parts[:fold]]
        rows = np.concatenate(earlier) if earlier else np.empty(0, dtype=np.int64)
        return np.asarray(rows[rows + self.purge < first])


class Maker(Protocol):
    """How a kind of member is made."""

    def __call__(self, problem: Problem, spec: TrainingSpec, folds: Folds, threads: int, step: Step) -> Answers:
        """Fit in every fold and for good."""


def make_lightgbm(problem: Problem, spec: TrainingSpec, folds: Folds, threads: int, step: Step) -> Answers:
    """One booster for each head."""
    unseen, final = _nothing(problem), _nothing(problem)
    names: list[str] = []
    files: list[File] = []
    trees: dict[str, JsonValue] = {}
    count = 0
    for column, (key, known) in enumerate(problem.heads.items()):
        step.doing(key)
        for grow, stop, judged in folds.parts:
            rows = boosting.Rows(problem.matrix, known, grow, stop, problem.names)
            booster = boosting.grow_binary(rows, spec.lightgbm, spec.seed, threads)
            unseen[judged, column] = boosting.raw_scores(booster, problem.matrix[judged], threads)
        grow, stop, judged = folds.finished
        rows = boosting.Rows(problem.matrix, known, grow, stop, problem.names)
        booster = boosting.grow_binary(rows, spec.lightgbm, spec.seed, threads)
        final[judged, column] = boosting.raw_scores(booster, problem.matrix[judged], threads)
        trees[key] = booster.best_iteration
        count += booster.best_iteration
        names.append(f"lightgbm_{key.replace('/', '_')}")
        files.append(_lightgbm_file(names[-1], "direction", (key,), booster))
    step.note(f"{count} trees in {len(files)} boosters")
    return Answers(tuple(names), unseen, final, tuple(files), {"trees": trees})


def make_lstm(problem: Problem, spec: TrainingSpec, folds: Folds, threads: int, step: Step) -> Answers:
    """One network for all heads."""
    assert spec.lstm is not None, "asked for an LSTM the spec does not have"
    window = spec.lstm.window
    torch.set_num_threads(threads)
    unseen, final = _nothing(problem), _nothing(problem)
    for number, (grow, stop, judged) in enumerate(folds.parts, 1):
        where = f"fold {number} of {len(folds.parts)}"
        network, scaled, _, _ = _fit_lstm(problem, spec.lstm, grow, stop, spec.seed + number, step, where)
        unseen[judged] = loop.logits(network, scaled, judged, window)
    grow, stop, judged = folds.finished
    network, scaled, scaler, fitted = _fit_lstm(problem, spec.lstm, grow, stop, spec.seed, step, "final")
    exported = export.export(network, scaled, judged, window)
    final[judged] = export.run(exported.onnx, scaled, judged, window)
    member = Member(
        name="lstm",
        kind="onnx",
        role="direction",
        file="lstm.onnx",
        sha256=digest(exported.onnx),
        bytes=len(exported.onnx),
        window=window,
        heads=tuple(problem.heads),
        output="logit",
        opset=export.OPSET,
        input_name=export.INPUT,
        output_name=export.OUTPUT,
        parity={f"batch_{batch}": difference for batch, difference in exported.parity.items()},
    )
    facts: dict[str, JsonValue] = {
        "parameters": count_parameters(network),
        "best_epoch": fitted.best_epoch,
        "train_loss": [round(loss, 6) for loss in fitted.train_loss],
        "stop_loss": [round(loss, 6) for loss in fitted.stop_loss],
    }
    worst = max(exported.parity.values())
    step.note(f"{facts['parameters']} parameters, best epoch {fitted.best_epoch}, torch to ONNX {worst:.1e}")

    def trained(matrix: Floats, rows: Ints) -> Floats:
        return loop.logits(network, scaler.transform(matrix), rows, window).astype(np.float64)

    names, file = ("lstm",) * len(problem.heads), File(member, exported.onnx)
    return Answers(names, unseen, final, (file,), facts, _kept(scaler), trained)


@dataclass(frozen=True)
class RegimeAnswers:
    """The regime member's file, and its probabilities (N, 3) of low, mid, high.

    `unseen` are out-of-fold, by each fold's own edges; `probabilities` the finished member's, from the early-stop slice
    on.
    """

    file: File
    unseen: Floats
    probabilities: Floats
    trees: int


def make_regime(problem: Problem, spec: TrainingSpec, folds: Folds, threads: int, step: Step) -> RegimeAnswers:
    """The classifier of the volatility to come."""
    unseen, probabilities = (np.full((len(problem.matrix), len(REGIMES)), np.nan) for _ in range(2))
    for number, (edges, (grow, stop, judged)) in enumerate(zip(folds.edges, folds.parts, strict=True), 1):
        step.doing(f"fold {number} of {len(folds.parts)}")
        known = labels.regimes(problem.volatility, edges)
        rows = boosting.Rows(problem.matrix, known, grow, stop, problem.names)
        booster = boosting.grow_regime(rows, spec.lightgbm, spec.seed, threads)
        unseen[judged] = booster.predict(problem.matrix[judged], num_threads=threads)
    grow, stop, judged = folds.finished
    rows = boosting.Rows(problem.matrix, problem.regimes, grow, stop, problem.names)
    booster = boosting.grow_regime(rows, spec.lightgbm, spec.seed, threads)
    probabilities[judged] = booster.predict(problem.matrix[judged], num_threads=threads)
    step.note(f"{booster.best_iteration} rounds, edges {problem.edges[0]:.2%} and {problem.edges[1]:.2%} a bar")
    file = _lightgbm_file("regime", "regime", REGIMES, booster)
    return RegimeAnswers(file, unseen, probabilities, int(booster.best_iteration))


def _fit_lstm(
    problem: Problem, spec: LSTMSpec, grow: Ints, stop: Ints, seed: int, step: Step, where: str
) -> tuple[MultiHorizonLSTM, loop.Matrix, FeatureScaler, loop.Fitted]:
    """A network trained on `grow`, with the scaler of those rows and the matrix it scaled."""
    scaler = FeatureScaler().fit(problem.matrix[grow])
    scaled = np.full(problem.matrix.shape, np.nan, dtype=np.float32)
    whole = rows_ready(problem.matrix)
    scaled[whole] = scaler.transform(problem.matrix[whole])
    torch.manual_seed(seed)
    network = MultiHorizonLSTM(len(problem.names), len(problem.heads), spec.hidden, spec.layers, spec.dropout)
    schedule = loop.Schedule(
        spec.epochs, spec.patience, spec.batch, spec.learning_rate, spec.weight_decay, spec.stride, spec.noise
    )
    told = np.asarray(~np.isnan(problem.targets).all(axis=1))
    fitted = loop.fit(
        network,
        scaled,
        problem.targets.astype(np.float32),
        grow[told[grow]],
        stop[told[stop]],
        spec.window,
        schedule,
        seed,
        lambda epoch, _, loss: step.doing(f"{where}, epoch {epoch} of {spec.epochs}, early-stop loss {loss:.4f}"),
    )
    return network, scaled, scaler, fitted


def _kept(scaler: FeatureScaler) -> Scaler:
    center, spread = scaler.center_.tolist(), scaler.scale_.tolist()
    return Scaler(center=tuple(center), scale=tuple(spread), clip=float(scaler.clip), fitted_on="train")


def _lightgbm_file(name: str, role: str, heads: tuple[str, ...], booster: lgb.Booster) -> File:
    content = boosting.text_of(booster).encode()
    member = Member.model_validate(
        {
            "name": name,
            "kind": "lightgbm",
            "role": role,
            "file": f"{name}.txt",
            "sha256": digest(content),
            "bytes": len(content),
            "heads": heads,
            "output": "logit" if role == "direction" else "probability",
        }
    )
    return File(member, content)


def _nothing(problem: Problem) -> Floats:
    return np.full((len(problem.matrix), len(problem.heads)), np.nan)
