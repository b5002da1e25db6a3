"""Description: the manifest of a set that was just trained."""

from __future__ import annotations

import platform
import subprocess
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path

from models import features
from models.baselines import Baselines
from models.manifest import Data, Ensemble, Features, Finer, Identity, Labels, Manifest, Range, Rules, utc
from training.fusion import Fused
from training.problem import Problem
from training.regime import RegimeAnswers
from training.spec import TrainingSpec
from training.units import Answers, File

DAY_MS = 86_400_000
LIBRARIES = ("lightgbm", "numpy", "onnx", "onnxruntime", "scikit-learn", "torch")
SOURCE = Path(__file__).resolve().parent


def describe(
    problem: Problem,
    members: list[Answers],
    fused: Fused,
    regime: RegimeAnswers,
    files: list[File],
    baselines: Baselines,
    spec: TrainingSpec,
    command: str,
    parent: str | None = None,
) -> Manifest:
    """Everything a set says of itself before it is asked anything: evidence and records are added later."""
    candles = problem.bars.candles
    times = candles.open_time
    scaled = [m.scaler for m in members if m.scaler and m.files[0].member.timeframe is None]
    return Manifest(
        identity=Identity(
            name=spec.name,
            created=utc(int(datetime.now(UTC).timestamp() * 1000)),
            parent=parent,
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
            others=problem.bars.others(),
            rows=len(candles),
            gaps=len(candles.holes()),
            splits={name: range_of(problem, part) for name, part in problem.slices.items()},
            purge=spec.labels.purge,
            labels=Labels(
                horizons=spec.labels.horizons,
                cost=spec.labels.cost,
                regime_horizon=spec.labels.regime_horizon,
                regime_edges=spec.labels.regime_edges,
            ),
        ),
        features=Features(
            names=problem.names,
            schema_hash=features.schema_hash(problem.names),
            lookback=features.required_lookback(problem.names),
            scaler=next((s for s in (regime.scaler, *scaled) if s), None),
            pair=_pair(problem, spec),
        ),
        finer=_finer(problem, members),
        models=tuple(file.member for file in files),
        ensemble=Ensemble(
            stackers=fused.stackers,
            calibrators=fused.calibrators,
            weights=fused.weights,
            regime=regime.files[0].member.name,
            pool=regime.pool,
            regime_edges=problem.last_edges,
            dead_member="without" if fused.without else "refuse",
            without=fused.without,
        ),
        decision=Rules(max_hold_bars=fused.max_hold_bars),
        baselines=baselines,
        expires=utc(int(times[-1]) + candles.timeframe.ms + spec.expires_days * DAY_MS),
    )


def _pair(problem: Problem, spec: TrainingSpec) -> tuple[str, str] | None:
    """The symbols that are compared, if a feature compares them."""
    if not any("companion" in feature.needs for feature in features.REGISTRY.chosen(problem.names)):
        return None
    assert spec.data.companion is not None, "features of a companion nobody named"
    return spec.data.symbol, spec.data.companion


def _finer(problem: Problem, members: list[Answers]) -> Finer | None:
    """What the member on shorter candles reads, if there is one."""
    if problem.finer is None or all(answers.files[0].member.timeframe is None for answers in members):
        return None
    scaler = next(answers.scaler for answers in members if answers.files[0].member.timeframe is not None)
    return Finer(
        timeframe=str(problem.finer.candles.timeframe),
        features=Features(
            names=problem.finer.names,
            schema_hash=features.schema_hash(problem.finer.names),
            lookback=features.required_lookback(problem.finer.names),
            scaler=scaler,
        ),
    )


def range_of(problem: Problem, part: range) -> Range:
    """A slice as the manifest tells it."""
    times = problem.bars.candles.open_time
    return Range(
        start=utc(int(times[part.start])),
        end=utc(int(times[part.stop - 1]) + problem.bars.candles.timeframe.ms),
        rows=len(problem.rows_in(part)),
    )


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
