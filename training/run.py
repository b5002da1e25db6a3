"""A training run: bars in, a verified model set out. Each step is named and timed; its facts go into the manifest."""

from __future__ import annotations

import platform
import subprocess
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path

from pydantic import JsonValue

from market.progress import Steps
from models import features
from models.inference import with_golden
from models.manifest import (
    Data,
    Ensemble,
    Features,
    Identity,
    Labels,
    Manifest,
    Range,
    Rules,
    utc,
)
from models.modelset import save
from training import evidence
from training.boosting import LabelError
from training.data import Bars, DataError
from training.fusion import Fused, fuse
from training.members import Answers, File, Folds, Maker, RegimeAnswers, make_lightgbm, make_lstm, make_regime
from training.problem import Problem, pose
from training.spec import TrainingSpec
from training.splits import SplitError

DAY_MS = 86_400_000
LIBRARIES = ("lightgbm", "numpy", "onnx", "onnxruntime", "scikit-learn", "torch")
SOURCE = Path(__file__).resolve().parent


@dataclass(frozen=True)
class Outcome:
    """What a run made.

    Attributes
    ----------
    path : Path
        The set's folder.
    manifest : Manifest
        As saved.
    seconds : dict
        Step -> how long it took.
    """

    path: Path
    manifest: Manifest
    seconds: dict[str, float]


def make_set(bars: Bars, spec: TrainingSpec, store: Path, steps: Steps, threads: int = 2, command: str = "") -> Outcome:
    """Train every member, fuse them, gather the evidence, and save the set into `store`.

    Parameters
    ----------
    bars : Bars
        Decision candles with their funding.
    spec : TrainingSpec
        What to make of them.
    store : Path
        Folder of sets, such as ``models/sets``; its `latest` pointer then names the new one.
    steps : Steps
        Where progress is shown.
    threads : int
        For LightGBM and torch.
    command : str
        Kept in the manifest.

    Raises
    ------
    DataError
        If the bars cannot carry the spec.
    LoopError, ExportError, ModelSetError
        If a network does not train, does not export faithfully, or the set does not verify.
    """
    makers: dict[str, Maker] = {"LightGBM": make_lightgbm} | ({"LSTM": make_lstm} if spec.lstm else {})
    try:
        with steps.running(5 + len(makers) + spec.evidence.canary):
            return _run(bars, spec, store, steps, threads, command, makers)
    except (SplitError, LabelError) as error:
        raise DataError(f"{bars.source}: {error}") from error


def _run(
    bars: Bars, spec: TrainingSpec, store: Path, steps: Steps, threads: int, command: str, makers: dict[str, Maker]
) -> Outcome:
    with steps.step("features and labels") as step:
        problem = pose(bars, spec)
        step.note(f"{len(problem.names)} features, {len(problem.rows)} of {len(bars.candles)} bars usable")
    folds = Folds(problem, spec)
    members: list[Answers] = []
    for name, maker in makers.items():
        with steps.step(name) as step:
            members.append(maker(problem, spec, folds, threads, step))
    with steps.step("regime") as step:
        regime = make_regime(problem, spec, folds, threads, step)
    with steps.step("stack, calibrate, weigh") as step:
        fused = fuse(problem, members, spec)
        step.note(", ".join(f"{h} bars {w:.2f}" for h, w in fused.weights.items()))
    with steps.step("evidence") as step:
        told = _evidence(problem, members, fused, regime, spec, threads, steps)
        told["heads"] = evidence.of_heads(problem, members, fused, spec, threads, step)
        step.note(f"test AUC {_summary(told['heads'])}")
    if spec.evidence.canary:
        with steps.step("canary on shuffled labels") as step:
            told["canary"] = found = evidence.canary(problem, spec, threads)
            step.note("no skill, as it should be" if found["quiet"] else f"SKILL {found['auc']}: look for a leak")
    with steps.step("write the set") as step:
        files = [file for answers in members for file in answers.files] + [regime.file]
        manifest = _manifest(problem, members, fused, files, spec, told, command)
        contents = {file.member.file: file.content for file in files}
        manifest = with_golden(manifest, contents)
        path = save(manifest, contents, store)
        step.note(str(path))
    return Outcome(path, manifest.model_copy(update={"id": path.name}), dict(steps.seconds))


def _evidence(
    problem: Problem,
    members: list[Answers],
    fused: Fused,
    regime: RegimeAnswers,
    spec: TrainingSpec,
    threads: int,
    steps: Steps,
) -> dict[str, JsonValue]:
    facts: dict[str, JsonValue] = {answers.files[0].member.kind: answers.facts for answers in members}
    return {
        "interval": f"90 % block bootstrap, {spec.evidence.block} bars a block, {spec.evidence.draws} draws",
        "trials": 1,
        "spec": spec.model_dump(mode="json"),
        "features_left_out": dict(problem.left_out),
        "weights": {"skill": {h: round(s, 6) for h, s in fused.skill.items()}, "by_skill": fused.weighed},
        "outputs": evidence.of_outputs(problem, fused, spec),
        "regime": evidence.of_regime(problem, regime, spec),
        "fitting": facts | {"regime": {"rounds": regime.trees}},
    }


def _manifest(
    problem: Problem,
    members: list[Answers],
    fused: Fused,
    files: list[File],
    spec: TrainingSpec,
    told: dict[str, JsonValue],
    command: str,
) -> Manifest:
    candles = problem.bars.candles
    times = candles.open_time
    scaler = next((answers.scaler for answers in members if answers.scaler), None)
    return Manifest(
        identity=Identity(
            name=spec.name,
            created=utc(int(datetime.now(UTC).timestamp() * 1000)),
            git_commit=_commit(),
            command=command,
            seed=spec.seed,
            libraries={name: version(name) for name in LIBRARIES} | {"python": platform.python_version()},
            hardware=platform.machine(),
        ),
        data=Data(
            venue=spec.data.venue,
            symbols=(spec.data.symbol,),
            timeframe=spec.data.timeframe,
            source=problem.bars.source,
            sha256=problem.bars.sha256(),
            rows=len(candles),
            gaps=len(candles.holes()),
            splits={
                name: Range(
                    start=utc(int(times[part.start])),
                    end=utc(int(times[part.stop - 1]) + candles.timeframe.ms),
                    rows=len(problem.rows_in(part)),
                )
                for name, part in problem.slices.items()
            },
            purge=spec.labels.purge,
            labels=Labels(
                horizons=spec.labels.horizons, cost=spec.labels.cost, regime_horizon=spec.labels.regime_horizon
            ),
        ),
        features=Features(
            names=problem.names,
            schema_hash=features.schema_hash(problem.names),
            lookback=features.required_lookback(problem.names),
            scaler=scaler,
        ),
        models=tuple(file.member for file in files),
        ensemble=Ensemble(
            stackers=fused.stackers,
            calibrators=fused.calibrators,
            weights=fused.weights,
            regime="regime",
            regime_edges=problem.edges,
        ),
        decision=Rules(max_hold_bars=fused.max_hold_bars),
        evidence=told,
        expires=utc(int(times[-1]) + candles.timeframe.ms + spec.expires_days * DAY_MS),
    )


def _summary(heads: JsonValue) -> str:
    assert isinstance(heads, dict)
    return ", ".join(f"{key} {told['auc']['value']:.3f}" for key, told in heads.items())  # type: ignore[call-overload, index]


def _commit() -> str | None:
    """The commit this code is at, marked if the code that makes sets was changed since; None outside a checkout."""
    head = _git("rev-parse", "HEAD")
    if head is None:
        return None
    return f"{head}-changed" if _git("status", "--porcelain", "--", "market", "models", "training") else head


def _git(*arguments: str) -> str | None:
    try:
        asked = subprocess.run(["git", *arguments], cwd=SOURCE.parent, capture_output=True, text=True, check=False)
    except OSError:
        return None
    return asked.stdout.strip() if asked.returncode == 0 else None
