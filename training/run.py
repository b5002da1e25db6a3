"""A training run: bars in, a verified model set out. Each step is named and timed; its facts go into the manifest."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from pydantic import JsonValue

from market.progress import Step, Steps
from models import stages, trials, walkforward
from models.drift import reference as drift
from models.golden import with_golden
from models.inputs import Inputs
from models.manifest import Manifest, Member, Recorded, identify
from models.modelset import digest, save
from training import baselines, evidence, families
from training.boosting import LabelError
from training.canary import canary
from training.data import Bars, DataError
from training.description import describe
from training.families import BOOSTED, NETWORKS, SEARCH
from training.folds import FINISHED, Folds
from training.fusion import fuse, fuse_folds
from training.modes import ALL, DISTILL
from training.plan import Workshop, taught, units_of
from training.problem import Problem, pose
from training.recording import finer_rows, walk_forward
from training.reference import reference
from training.regime import finish as finish_regime
from training.spec import TrainingSpec
from training.splits import SplitError
from training.units import Answers, Context, Fits, Unit

STEPS = 8
"""Steps of every run, beside the units it fits."""


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


def make_set(
    bars: Bars,
    spec: TrainingSpec,
    store: Path,
    steps: Steps,
    threads: int = 2,
    command: str = "",
    *,
    mode: str = ALL,
    device: str = "cpu",
    workshop: Workshop | None = None,
    parent: str | None = None,
) -> Outcome:
    """Train every member a mode asks for, fuse them, gather the evidence, and save the set into `store`.

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
        For LightGBM and torch, in each unit.
    command : str
        Kept in the manifest.
    mode : str
        One of `training.modes.MODES`.
    device : str
        ``cpu`` or ``cuda``, for networks.
    workshop : Workshop, optional
        Where units are fitted, and what earlier runs kept; by default here, and nothing.
    parent : str, optional
        Id of the set it is made to replace.

    Raises
    ------
    ConfigError
        If the spec lacks what the mode asks for.
    DataError
        If the bars cannot carry the spec.
    LoopError, ExportError, ModelSetError, NotTrained, ExecutorError
        If a network does not train, does not export faithfully, the set does not verify, units that may not be fitted
        are missing, or the executor fails.
    """
    asked = families.wanted(spec, mode)
    if bars.finer is None and spec.lstm15m is not None and families.FINER not in asked and mode != DISTILL:
        spec = spec.model_copy(update={families.FINER: None})
    try:
        run = _Run(spec, store, steps, command, asked, workshop or Workshop(), parent)
        with steps.running(STEPS + spec.evidence.canary + run.units):
            with steps.step("features and labels") as step:
                problem = pose(bars, spec)
                step.note(_usable(problem))
            return run.made(Context(problem, spec, Folds(problem, spec), threads, device))
    except (SplitError, LabelError) as error:
        raise DataError(f"{bars.source}: {error}") from error


class _Run:
    """One run: what it makes, and where its set goes."""

    def __init__(
        self,
        spec: TrainingSpec,
        store: Path,
        steps: Steps,
        command: str,
        asked: list[str],
        workshop: Workshop,
        parent: str | None,
    ) -> None:
        self.store, self.steps, self.command, self.parent = store, steps, command, parent
        self.asked, self.workshop = asked, workshop
        self.tried, self.searched = 0, False
        learns = "student" in asked
        self.teachers = [f for f in (families.direction(spec) if learns else asked) if f != "student"]
        self.first = [*self.teachers, *families.regime(spec)]
        self.first += [families.PLAIN.name] if BOOSTED.name in asked and spec.lightgbm.compare_plain else []
        self.searches = spec.lightgbm.search is not None and BOOSTED.name in self.first
        self.units = len(units_of(spec, [*self.first, *(["student"] if learns else [])])) + self.searches

    def made(self, context: Context) -> Outcome:
        """Go through the steps that follow once the problem is posed."""
        steps, self.context = self.steps, self._searched(context)
        context = self.context
        problem, spec, folds = context.problem, context.spec, context.folds
        members, fits = self._fitted()
        with steps.step("baselines") as step:
            fitted = baselines.fit(problem, problem.rows_in(problem.slices.train), problem.edges)
            of_folds = [baselines.fit(problem, grow, folds.edges[n]) for n, (grow, _, _) in enumerate(folds.parts)]
            step.note(f"{len(fitted.direction)} questions, {len(folds.parts)} folds")
        with steps.step("stack, calibrate, weigh") as step:
            regime = finish_regime(context, fits)
            fused = fuse(problem, members, spec)
            step.note(", ".join(f"{h} bars {w:.2f}" for h, w in fused.weights.items()))
        files = [file for answers in members for file in answers.files] + list(regime.files)
        contents = {file.member.file: file.content for file in files}
        manifest = describe(problem, members, fused, regime, files, fitted, spec, self.command, self.parent)
        with steps.step("walk-forward record") as step:
            folded = fuse_folds(problem, members, folds, spec)
            record = walk_forward(problem, folds, members, folded, regime, of_folds, manifest, contents)
            step.note(f"{len(record)} rows, {record.folds} folds and the test slice")
        with steps.step("evidence") as step:
            found = evidence.gathered(context, members, fused, regime, fitted, record, fits, 1 + self.tried)
            found["heads"] = evidence.of_heads(problem, members, fused, record, spec, step)
            step.note(f"test AUC {_summary(found['heads'])}")
        with steps.step("reference for drift") as step:
            contents[drift.FILE] = compared = drift.to_bytes(reference(problem, manifest, contents, record, spec))
            manifest = manifest.model_copy(update={"drift": drift.recorded(compared, len(problem.rows))})
            step.note(f"{len(compared)} bytes")
        if spec.evidence.canary:
            with steps.step("canary on shuffled labels") as step:
                found["canary"] = quiet = canary(problem, folds, spec, context.threads)
                step.note(
                    "no skill, as it should be" if quiet["quiet"] else "SKILL in shuffled labels: look for a leak"
                )
        with steps.step("write the set") as step:
            contents[walkforward.FILE] = written = walkforward.to_bytes(record)
            kept = Recorded(file=walkforward.FILE, sha256=digest(written), bytes=len(written), rows=len(record))
            found["test_openings"] = 1 + _looked_before(manifest, self.store)
            manifest = manifest.model_copy(update={"evidence": found, "walkforward": kept})
            trained = {m.names[0]: m.trained for m in members if m.trained} | regime.trained
            manifest = with_golden(manifest, contents, trained=trained)
            manifest = identify(self._with_stages(manifest, contents, trained))
            # Before the set is there to be chosen: a run that ends here was a trial all the same.
            trials.add(self.store, self._trial(manifest))
            path = save(manifest, contents, self.store)
            step.note(str(path))
        return Outcome(path, manifest, dict(steps.seconds))

    def _searched(self, context: Context) -> Context:
        """The context with the settings a search has found, if the spec asks for one."""
        if not self.searches:
            return context
        self.searched = not self.workshop.has(context, [Unit(SEARCH.name, FINISHED)])
        best, self.tried = SEARCH.found(context, self.workshop.fit(context, [SEARCH.name], self.steps, [FINISHED]))
        return replace(context, found=best)

    def _fitted(self) -> tuple[list[Answers], Fits]:
        """The members asked for, in that order, and every fit; the student's come after those of its teachers."""
        fits = dict(self.workshop.fit(self.context, self.first, self.steps))
        with self.steps.step("export") as step:
            told = {family: self._finished(family, fits, step) for family in self.teachers}
            step.note(f"{sum(m.kind == 'onnx' for m in _files(told.values()))} networks, each as in torch")
        if "student" in self.asked:
            fits |= self.workshop.fit(taught(self.context, list(told.values())), ["student"], self.steps)
            told["student"] = self._finished("student", fits, step)
        return [told[family] for family in self.asked], fits

    def _finished(self, family: str, fits: Fits, step: Step) -> Answers:
        step.doing(family)
        if family == BOOSTED.name:
            return BOOSTED.finish(self.context, fits)
        return NETWORKS[family].finish(self.context, fits).answers(len(self.context.problem.heads))

    def _with_stages(self, manifest: Manifest, contents: dict[str, bytes], trained: dict[str, Any]) -> Manifest:
        """The manifest that names a record of every stage, which is put among the contents."""
        problem, bars = self.context.problem, self.context.problem.bars
        rows = stages.rows_of(problem.rows_in(problem.slices.train))
        inputs = Inputs(bars.candles, bars.funding, bars.finer, bars.companion)
        contents[stages.FILE] = content = stages.record(
            manifest, contents, inputs, rows, trained, matrix=problem.matrix, finer=finer_rows(problem)
        )
        return manifest.model_copy(update={"stages": stages.recorded(content)})

    def _trial(self, manifest: Manifest) -> trials.Trial:
        """This run's line in the ledger; its evidence looked at the outcomes of the test slice."""
        test = manifest.data.splits["test"]
        return trials.Trial(
            time=trials.now(),
            what="training",
            name=self.context.spec.name,
            # a search that was kept was counted when it was made
            trials=1 + self.tried * self.searched,
            set_id=manifest.id,
            symbols=manifest.data.symbols,
            test_start=test.start,
            test_end=test.end,
        )


def _usable(problem: Problem) -> str:
    """How many features and bars there are, and which features the history lacks the columns of."""
    lacking = [name for name, why in problem.left_out.items() if why.startswith("needs")]
    without = f" (without {', '.join(lacking)}: the history lacks their columns)" if lacking else ""
    bars = len(problem.bars.candles)
    return f"{len(problem.names)} features{without}, {len(problem.rows)} of {bars} bars usable"


def _files(members: Iterable[Answers]) -> list[Member]:
    return [file.member for answers in members for file in answers.files]


def _looked_before(manifest: Manifest, store: Path) -> int:
    """How many runs of this store looked at outcomes of this test slice: each makes the next look worth less."""
    test = manifest.data.splits["test"]
    return trials.read(store).openings(manifest.data.symbols, test.start, test.end)


def _summary(heads: JsonValue) -> str:
    assert isinstance(heads, dict)
    told: dict[str, Any] = heads
    return ", ".join(f"{key} {found['auc']['value']:.3f}" for key, found in told.items())
