"""Tasks: every id of the task list and every number in it, with the command that does it now and what came of it.

The table of docs/tasks.md lies between two markers and is written here; what stands outside them is kept.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from training.quality import results
from training.quality.ablation import COMMAND
from training.quality.aims import Aim, Verdict
from training.quality.figures import Figures
from training.quality.listed import listed
from training.quality.results import Result
from training.quality.wording import NOT_RUN, NOTHING, table

ROOT = Path(__file__).resolve().parents[2]
BEGIN = "<!-- written by `python -m training quality` from here; changes are lost -->"
END = "<!-- to here -->"
TRAIN = "training run --mode {} …"
ABLATE = f"{COMMAND.removeprefix('python -m ')} …"


class TasksError(Exception):
    """A page that the table cannot be written into."""


@dataclass(frozen=True)
class Task:
    """A task of the list.

    Attributes
    ----------
    key : str
        As the list names it.
    asked : str
        What it asked.
    command : str
        That does it now, without `python -m`.
    tests : tuple of str
        Patterns of the files that hold it, from the repository's root.
    result : callable
        What the figures say came of it.
    """

    key: str
    asked: str
    command: str
    tests: tuple[str, ...]
    result: Result


def filled(page: Path, figures: Figures) -> str:
    """The page with its table written anew; a new page if there is none.

    Raises
    ------
    TasksError
        If there is a page without the markers, each once and in order.
    """
    text = page.read_text(encoding="utf-8") if page.is_file() else f"# Tasks\n\n{BEGIN}\n{END}\n"
    if text.count(BEGIN) != 1 or text.count(END) != 1 or text.index(BEGIN) > text.index(END):
        raise TasksError(f"{page}: its table goes between the lines {BEGIN!r} and {END!r}, each once; put them back")
    before, after = text.split(BEGIN)[0], text.split(END)[1]
    return f"{before}{BEGIN}\n\n{written(figures)}\n{END}{after}"


def written(figures: Figures) -> str:
    """Both tables: the ids, and the numbers."""
    spec = figures.manifest.identity.name
    # `full.yaml` takes a GPU machine; beside another spec its column says plainly that nobody ran it.
    beside, unsaid = ((), ()) if spec == "full" else (("`full.yaml`",), (NOT_RUN,))
    rows = []
    for task in TASKS:
        result, why = task.result(figures)
        rows.append(
            (f"**{task.key}**", task.asked, f"`{task.command}`", _tests(task.tests), result, *unsaid, why),
        )
    numbers = [
        (title, aim.measured or NOTHING, _verdict(aim), *unsaid, aim.reason) for title, aim in listed(figures).items()
    ]
    return (
        f"Results of set `{figures.manifest.id}` on its own test slice, {figures.told['data']['from']} to "
        f"{figures.told['data']['to']}; all of it is in [model-quality.md](results/model-quality.md).\n\n"
        + table(("task", "asked", "command", "held by", f"result, `{spec}`", *beside, "why not more"), rows)
        + "\nThe list's numbers:\n\n"
        + table(("number", f"measured, `{spec}`", "verdict", *beside, "why"), numbers)
    )


def _verdict(aim: Aim) -> str:
    return NOT_RUN if aim.verdict == Verdict.NOT_RUN else f"**{aim.verdict}**"


def _tests(patterns: tuple[str, ...]) -> str:
    """The files and folders that there are."""
    found = sorted({path.relative_to(ROOT).as_posix() for pattern in patterns for path in ROOT.glob(pattern)})
    return ", ".join(f"`{path}`" for path in found) if found else "no test yet"


TASKS = (
    Task(
        key="Fix-4.2",
        asked="LightGBM per horizon and side, regularised against plain; search counted into the deflated Sharpe",
        command=TRAIN.format("lgb"),
        tests=(
            "tests/training/test_zoo.py",
            "tests/training/test_recording.py",
        ),
        result=results.member("lightgbm", results.plain_lightgbm),
    ),
    Task(
        key="New-1",
        asked="multi-horizon LSTM: one network, heads 5, 12, 24 h for each side, joint loss .40/.35/.25",
        command=TRAIN.format("lstm"),
        tests=("tests/models/networks", "tests/training/test_loop.py"),
        result=results.member("lstm", results.horizons("lstm")),
    ),
    Task(
        key="New-1-v2",
        asked="its second form: bidirectional, attention pooling, penalty on heads that agree more than labels",
        command=TRAIN.format("lstm"),
        tests=("tests/models/networks", "tests/training/*losses*"),
        result=results.ablated("divers"),
    ),
    Task(
        key="New-1-v2, fusion",
        asked="calibrate each head, average probabilities by the manifest's weights; heads stay apart",
        command=TRAIN.format("stacking"),
        tests=("tests/models/test_inference.py", "tests/training/test_recording.py"),
        result=results.fusion,
    ),
    Task(
        key="Fix-4.3",
        asked="LSTM held back: dropout .4, weight decay 5e-4, patience 5 on an early-stop slice, never the holdout",
        command=TRAIN.format("lstm"),
        tests=("tests/training/test_loop.py", "tests/training/test_splits.py"),
        result=results.member("lstm"),
    ),
    Task(
        key="Fix-2",
        asked="a TFT that answers: variable selection, interpretable attention",
        command=TRAIN.format("tft"),
        tests=("tests/models/networks",),
        result=results.member("tft", results.weight("tft")),
    ),
    Task(
        key="Fix-2, diagnosis",
        asked="why it said 0.0, by command: log, parity, scaling, order, golden vectors, range, weight",
        command="training diagnose --model-set ID --model tft",
        tests=("tests/training/diagnosis",),
        result=results.diagnosis,
    ),
    Task(
        key="Arch-1",
        asked="multi-horizon Transformer: width 256, 8 heads, 4 layers, sequence 96, pre-norm, learned positions",
        command=TRAIN.format("transformer"),
        tests=("tests/models/networks",),
        result=results.member("transformer", results.horizons("transformer")),
    ),
    Task(
        key="New-3",
        asked="15-minute LSTM: 192 bars, labels 3 bars ahead; an input of the stack, never a horizon",
        command=TRAIN.format("lstm15m"),
        tests=("tests/training/test_zoo.py", "tests/models/test_inputs.py", "tests/daemon/test_inputs.py"),
        result=results.member("lstm15m", results.aim("15m LSTM")),
    ),
    Task(
        key="New-2",
        asked="24 h volatility regime: LSTM, LightGBM and HAR + calendar, terciles by edges of the training split",
        command=TRAIN.format("regime"),
        tests=("tests/training/test_zoo.py", "tests/training/test_recording.py"),
        result=results.aim("regime"),
    ),
    Task(
        key="Arch-3",
        asked="distilled student: a small LSTM of an out-of-fold teacher, T 2, α .5",
        command=TRAIN.format("distill"),
        tests=("tests/training/test_zoo.py", "tests/training/test_losses.py"),
        result=results.member("student"),
    ),
    Task(
        key="New-4",
        asked="losses as options of one loop: BCE, focal (recalibrated), AUC-margin with its PESG-type optimiser",
        command=ABLATE,
        tests=("tests/training/test_losses.py", "tests/training/test_optimizers.py", "tests/training/test_ablation.py"),
        result=results.ablated("focal", "auc"),
    ),
    Task(
        key="Fix-4.1",
        asked="augmentation on the fly, after scaling, in training folds alone: noise, channels, smooth warp",
        command=ABLATE,
        tests=("tests/training/test_augmentation.py", "tests/training/test_ablation.py"),
        result=results.ablated("augment", "noise", "channels", "warp"),
    ),
    Task(
        key="Fix-3",
        asked="stacking on out-of-fold logits, none below 0, against the plain average; one activation path",
        command=TRAIN.format("stacking"),
        tests=("tests/training/test_zoo.py", "tests/models/test_fitting.py"),
        result=results.stacking,
    ),
    Task(
        key="features",
        asked="BTC for ETH and ETH for BTC, and funding, as options of the feature schema",
        command="training run … --funding FILE --companion FILE",
        tests=("tests/models/test_features.py", "tests/training/test_ablation.py"),
        result=results.features,
    ),
    Task(
        key="honesty",
        asked="untouched test slice, every look logged; canary, leak audit, baselines; both questions",
        command="training quality … ; models audit …",
        tests=("tests/training/quality", "tests/models/test_audit.py", "tests/models/test_evaluation.py"),
        result=results.honesty,
    ),
    Task(
        key="regime rules",
        asked="leverage and stop by regime: Sharpe ratio +20 %",
        command="backtest rules …",
        tests=("tests/backtest/*rules*",),
        result=results.rules,
    ),
)
