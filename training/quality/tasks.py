"""Tasks: every id of the task list and every number in it, with the command that does it now and what came of it.

The table of docs/tasks.md lies between two markers and is written here; what stands outside them is kept.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from models.evaluation.sample import AVERAGE, STACK
from models.metrics import Interval
from training.quality.ablation import COMMAND, Ablation
from training.quality.aims import Aim, Verdict, aims, parity, weight
from training.quality.figures import LONG, SHORT, Figures
from training.quality.listed import listed
from training.quality.wording import NOT_RUN, NOTHING, SECTIONS, estimate, interval, name, number, table

ROOT = Path(__file__).resolve().parents[2]
BEGIN = "<!-- written by `python -m training quality` from here; changes are lost -->"
END = "<!-- to here -->"
TRAIN = "training run --mode {} …"
Told = tuple[str, str]
"""What came of a task, and why it is not more."""


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
    result: Callable[[Figures], Told]


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
    full = spec == "full"
    head = (
        "task",
        "asked",
        "command",
        "held by",
        f"result, `{spec}`",
        *(() if full else ("`full.yaml`",)),
        "why not more",
    )
    rows = []
    for task in TASKS:
        result, why = task.result(figures)
        # One pass: `full.yaml` takes a GPU machine, so that beside another spec its column says so plainly.
        last = (result, why) if full else (result, NOT_RUN, why)
        rows.append((f"**{task.key}**", task.asked, f"`{task.command}`", _tests(task.tests), *last))
    numbers = [
        (title, aim.measured or NOTHING, _verdict(aim), *(() if full else (NOT_RUN,)), aim.reason)
        for title, aim in listed(figures).items()
    ]
    columns = ("number", f"measured, `{spec}`", "verdict", *(() if full else ("`full.yaml`",)), "why")
    return (
        f"Results of set `{figures.manifest.id}` on its own test slice, {figures.told['data']['from']} to "
        f"{figures.told['data']['to']}; all of it is in [model-quality.md](results/model-quality.md).\n\n"
        + table(head, rows)
        + "\nThe list's numbers:\n\n"
        + table(columns, numbers)
    )


def _verdict(aim: Aim) -> str:
    return NOT_RUN if aim.verdict == Verdict.NOT_RUN else f"**{aim.verdict}**"


def _tests(patterns: tuple[str, ...]) -> str:
    """The files and folders that there are."""
    found = sorted({path.relative_to(ROOT).as_posix() for pattern in patterns for path in ROOT.glob(pattern)})
    return ", ".join(f"`{path}`" for path in found) if found else "no test yet"


def _member(key: str, *more: Callable[[Figures], Told]) -> Callable[[Figures], Told]:
    """AUC of a member at the shortest horizon, both sides and direction."""

    def result(figures: Figures) -> Told:
        if key not in figures.families:
            return NOT_RUN, f"the set has no {name(key)}"
        h = figures.horizons[0]
        told = [f"{title} {estimate(figures.auc(section, h, key))}" for section, title in SECTIONS.items()]
        best = figures.strongest(LONG, h)
        why = [] if best is None else [_against(figures, key, best)]
        for each in more:
            text, reason = each(figures)
            told += [text] if text else []
            why += [reason] if reason else []
        return f"test AUC, {figures.spell(h)}: " + "; ".join(told), "; ".join(each for each in why if each)

    return result


def _against(figures: Figures, key: str, best: str) -> str:
    mine, theirs = (figures.auc(LONG, figures.horizons[0], each) for each in (key, best))
    if mine is None or theirs is None or mine.value > theirs.value:
        return ""
    return f"{name(best)} has {number(theirs.value)} where a long pays: most of what is asked is how far, not where to"


def _horizons(key: str) -> Callable[[Figures], Told]:
    def result(figures: Figures) -> Told:
        others = [h for h in figures.horizons[1:] if figures.auc(LONG, h, key) is not None]
        told = [
            f"{figures.spell(h)} long {estimate(figures.auc(LONG, h, key))}, short {estimate(figures.auc(SHORT, h, key))}"
            for h in others
        ]
        return "; ".join(told), ""

    return result


def _weight(key: str) -> Callable[[Figures], Told]:
    def result(figures: Figures) -> Told:
        aim = Aim("", tuple(weight(figures, key)))
        return f"weight {aim.measured}" if aim.measured else "", aim.reason

    return result


def _ablated(*words: str) -> Callable[[Figures], Told]:
    """Rows of the ablations whose names hold one of the words."""

    def result(figures: Figures) -> Told:
        found: list[tuple[Ablation, str, Interval]] = [
            (each, row.name, row.difference.interval)
            for each in figures.asked.ablations
            for row in each.rows
            if row.difference is not None and any(word in row.name.lower() for word in words)
        ]
        if not found:
            return NOT_RUN, f"no ablation of it was given (`{COMMAND}`)"
        told = [
            f"{row} {estimate(difference, sign=True)} ({name(a.model)}, {a.question})" for a, row, difference in found
        ]
        unclear = [row for _, row, difference in found if difference.low <= 0 <= difference.high]
        worse = [row for _, row, difference in found if difference.high < 0]
        why = [
            f"{', '.join(rows)} {text}"
            for rows, text in ((worse, "made it worse"), (unclear, "not told from no gain"))
            if rows
        ]
        return "AUC less the unchanged one's: " + "; ".join(told), "; ".join(why)

    return result


def _aim(*words: str) -> Callable[[Figures], Told]:
    """The aims whose words begin so."""

    def result(figures: Figures) -> Told:
        found = [aim for aim in aims(figures) if aim.asks.startswith(words)]
        told = "; ".join(f"{aim.measured or NOTHING}: {aim.verdict}" for aim in found)
        return told, "; ".join(aim.reason for aim in found if aim.reason)

    return result


def _stacking(figures: Figures) -> Told:
    h = figures.horizons[0]
    told = [f"{SECTIONS[s]} {estimate(figures.auc(s, h, STACK))}" for s in (LONG, SHORT)]
    leads = [figures.lead(s, h, AVERAGE) for s in (LONG, SHORT)]
    told.append("lead on the plain average " + ", ".join(estimate(lead, sign=True) for lead in leads))
    clear = [lead is not None and lead.low > 0 for lead in leads]
    return "; ".join(told), "" if all(clear) else "no sure lead on the plain average"


def _fusion(figures: Figures) -> Told:
    weights = ", ".join(
        f"{figures.spell(h)} {number(figures.manifest.ensemble.weights[str(h)], 2)}" for h in figures.horizons
    )
    slopes = [
        f"{SECTIONS[s]} {estimate(interval(figures.told[s][str(figures.horizons[0])][STACK]['calibration'], 'slope', 'slope_ci'), 2)}"
        for s in (LONG, SHORT)
    ]
    return f"weights {weights}; calibration slope, {figures.spell(figures.horizons[0])}: {', '.join(slopes)}", ""


def _diagnosis(figures: Figures) -> Told:
    found = parity(figures)
    return (f"torch against ONNX {found.figure}", found.reason) if found.figure else (NOT_RUN, found.reason)


def _features(figures: Figures) -> Told:
    names = figures.manifest.features.names
    funding = sum("funding" in each for each in names)
    cross = sum(each.startswith(("cross", "companion", "pair")) for each in names)
    told = f"{len(names)} features, {funding} of funding, {cross} of the companion symbol"
    worth, why = _ablated("funding", "companion", "cross")(figures)
    return f"{told}; {worth}", why


def _rules(figures: Figures) -> Told:
    aim = listed(figures)["Sharpe +20 %"]
    return aim.measured or NOT_RUN, aim.reason


TASKS = (
    Task("Fix-4.2", "LightGBM per horizon and side, regularised against plain; search counted into the deflated Sharpe",
         TRAIN.format("lgb"), ("tests/training/*boost*", "tests/training/*lightgbm*", "tests/training/test_recording.py"),
         _member("lightgbm", _ablated("plain", "regularised", "search"))),
    Task("New-1", "multi-horizon LSTM: one network, heads 5, 12, 24 h for each side, joint loss .40/.35/.25",
         TRAIN.format("lstm"), ("tests/models/networks", "tests/training/test_loop.py"), _member("lstm", _horizons("lstm"))),
    Task("New-1-v2", "its second form: bidirectional, attention pooling, head-diversity penalty above the labels' own correlation",
         TRAIN.format("lstm"), ("tests/models/networks", "tests/training/*losses*"), _ablated("divers")),
    Task("New-1-v2, fusion", "calibrate each head, then average probabilities by weights of the manifest; heads stay apart",
         TRAIN.format("stacking"), ("tests/models/test_inference.py", "tests/training/test_recording.py"), _fusion),
    Task("Fix-4.3", "LSTM held back: dropout .4, weight decay 5e-4, patience 5 on an early-stop slice, never the holdout",
         TRAIN.format("lstm"), ("tests/training/test_loop.py", "tests/training/test_splits.py"), _member("lstm")),
    Task("Fix-2", "a TFT that answers: variable selection, interpretable attention; why it said 0.0",
         TRAIN.format("tft"), ("tests/models/networks", "tests/training/diagnosis"), _member("tft", _weight("tft"))),
    Task("Fix-2, diagnosis", "find the broken stage by command: log, parity, scaling, order, golden vectors, range, weight",
         "training diagnose --model-set ID --model tft", ("tests/training/diagnosis",), _diagnosis),
    Task("Arch-1", "multi-horizon Transformer: width 256, 8 heads, 4 layers, sequence 96, pre-norm, learned positions",
         TRAIN.format("transformer"), ("tests/models/networks",), _member("transformer", _horizons("transformer"))),
    Task("New-3", "15-minute LSTM: 192 bars, labels 3 bars ahead; an input of the stack, never a horizon",
         TRAIN.format("lstm15m"), ("tests/models/networks", "tests/training/*finer*", "tests/models/*finer*"),
         _member("lstm15m", _aim("15m LSTM"))),
    Task("New-2", "24 h volatility regime: LSTM, LightGBM and HAR + calendar, terciles by edges of the training split",
         TRAIN.format("regime"), ("tests/training/test_recording.py", "tests/training/*regime*"), _aim("regime")),
    Task("Arch-3", "distilled student: a small LSTM of an out-of-fold teacher, T 2, α .5",
         TRAIN.format("distill"), ("tests/training/*distill*", "tests/training/*losses*"), _member("student")),
    Task("New-4", "losses as options of one loop: BCE, focal (recalibrated), AUC-margin with its PESG-type optimiser",
         f"{COMMAND.removeprefix('python -m ')} …", ("tests/training/*losses*", "tests/training/*optimi[sz]ers*"),
         _ablated("focal", "auc")),
    Task("Fix-4.1", "augmentation on the fly, after scaling, in training folds alone: noise, channels, smooth warp of time",
         f"{COMMAND.removeprefix('python -m ')} …", ("tests/training/*augment*",), _ablated("augment", "warp", "noise")),
    Task("Fix-3", "stacking on out-of-fold logits, not negative, against the plain average; one activation path everywhere",
         TRAIN.format("stacking"), ("tests/training/*stack*", "tests/models/*stack*", "tests/models/test_fitting.py"), _stacking),
    Task("features", "BTC for ETH and ETH for BTC, and funding, as options of the feature schema",
         "models evaluate … --funding FILE", ("tests/models/test_feature*.py",), _features),
    Task("honesty", "untouched test slice, every look at it logged; canary, leak audit, baselines; both questions",
         "training quality … ; models audit …",
         ("tests/training/quality", "tests/models/test_audit.py", "tests/models/test_evaluation.py"),
         _aim("stacked", "out of fold")),
    Task("regime rules", "leverage and stop by regime: Sharpe ratio +20 %",
         "backtest rules …", ("tests/backtest/*rules*",), _rules),
)  # fmt: skip
