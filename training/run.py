"""A training run: bars in, a verified model set out. Each step is named and timed; its facts go into the manifest."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from pydantic import JsonValue

from market.progress import Steps
from models import stages, trials, walkforward
from models.baselines import Baselines
from models.inference import with_golden
from models.manifest import Manifest, Recorded, identify
from models.modelset import digest, save
from models.walkforward import WalkForward
from training import baselines, evidence
from training.boosting import LabelError
from training.canary import canary
from training.data import Bars, DataError
from training.description import describe
from training.fusion import Fused, fuse, fuse_folds
from training.members import Answers, Folds, Maker, RegimeAnswers, make_lightgbm, make_lstm, make_regime
from training.problem import Problem, pose
from training.recording import walk_forward
from training.spec import TrainingSpec
from training.splits import SplitError

TRIALS = 1
"""Variants one run tries: it makes what the spec says, and chooses among nothing."""


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
        with steps.running(7 + len(makers) + spec.evidence.canary):
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
    with steps.step("baselines") as step:
        fitted = baselines.fit(problem, problem.rows_in(problem.slices.train), problem.edges)
        of_folds = [baselines.fit(problem, grow, folds.edges[n]) for n, (grow, _, _) in enumerate(folds.parts)]
        step.note(f"{len(fitted.direction)} questions, {len(folds.parts)} folds")
    with steps.step("stack, calibrate, weigh") as step:
        fused = fuse(problem, members, spec)
        step.note(", ".join(f"{h} bars {w:.2f}" for h, w in fused.weights.items()))
    files = [file for answers in members for file in answers.files] + [regime.file]
    contents = {file.member.file: file.content for file in files}
    manifest = describe(problem, members, fused, files, fitted, spec, command)
    with steps.step("walk-forward record") as step:
        folded = fuse_folds(problem, members, folds, spec)
        record = walk_forward(problem, folds, members, folded, regime, of_folds, manifest, contents)
        step.note(f"{len(record)} rows, {record.folds} folds and the test slice")
    with steps.step("evidence") as step:
        told = _evidence(problem, members, fused, regime, fitted, record, spec)
        told["heads"] = evidence.of_heads(problem, members, fused, record, spec, step)
        step.note(f"test AUC {_summary(told['heads'])}")
    if spec.evidence.canary:
        with steps.step("canary on shuffled labels") as step:
            told["canary"] = found = canary(problem, folds, spec, threads)
            step.note("no skill, as it should be" if found["quiet"] else "SKILL in shuffled labels: look for a leak")
    with steps.step("write the set") as step:
        contents[walkforward.FILE] = parquet = walkforward.to_bytes(record)
        kept = Recorded(file=walkforward.FILE, sha256=digest(parquet), bytes=len(parquet), rows=len(record))
        told["test_openings"] = 1 + _looked_before(manifest, store)
        manifest = manifest.model_copy(update={"evidence": told, "walkforward": kept})
        trained = {answers.names[0]: answers.trained for answers in members if answers.trained}
        manifest = with_golden(manifest, contents, trained=trained)
        rows = stages.rows_of(problem.rows_in(problem.slices.train))
        contents[stages.FILE] = stages.record(
            manifest, contents, bars.candles, bars.funding, rows, problem.matrix, trained
        )
        manifest = identify(manifest.model_copy(update={"stages": stages.recorded(contents[stages.FILE])}))
        # Before the set is there to be chosen: a run that ends here was a trial all the same.
        trials.add(store, _trial(manifest, spec))
        path = save(manifest, contents, store)
        step.note(str(path))
    return Outcome(path, manifest, dict(steps.seconds))


def _evidence(
    problem: Problem,
    members: list[Answers],
    fused: Fused,
    regime: RegimeAnswers,
    fitted: Baselines,
    record: WalkForward,
    spec: TrainingSpec,
) -> dict[str, JsonValue]:
    facts: dict[str, JsonValue] = {answers.files[0].member.kind: answers.facts for answers in members}
    return {
        "interval": f"90 % block bootstrap, {spec.evidence.block} bars a block, {spec.evidence.draws} draws",
        "trials": TRIALS,
        "spec": spec.model_dump(mode="json"),
        "features_left_out": dict(problem.left_out),
        "weights": {"skill": {h: round(s, 6) for h, s in fused.skill.items()}, "by_skill": fused.weighed},
        "outputs": evidence.of_outputs(problem, fused, spec),
        "regime": evidence.of_regime(problem, fitted, record, spec),
        "fitting": facts | {"regime": {"rounds": regime.trees}},
    }


def _trial(manifest: Manifest, spec: TrainingSpec) -> trials.Trial:
    """This run's line in the ledger; its evidence looked at the outcomes of the test slice."""
    test = manifest.data.splits["test"]
    return trials.Trial(
        time=trials.now(),
        what="training",
        name=spec.name,
        trials=TRIALS,
        set_id=manifest.id,
        symbols=manifest.data.symbols,
        test_start=test.start,
        test_end=test.end,
    )


def _looked_before(manifest: Manifest, store: Path) -> int:
    """How many runs of this store looked at outcomes of this test slice: each makes the next look worth less."""
    test = manifest.data.splits["test"]
    return trials.read(store).openings(manifest.data.symbols, test.start, test.end)


def _summary(heads: JsonValue) -> str:
    assert isinstance(heads, dict)
    return ", ".join(f"{key} {told['auc']['value']:.3f}" for key, told in heads.items())  # type: ignore[call-overload, index]
