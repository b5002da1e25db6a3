"""The page: docs/results/model-quality.md, section by section."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from training.quality import making, tables
from training.quality.aims import Aim, Verdict, aims
from training.quality.figures import Figures
from training.quality.listed import listed
from training.quality.wording import NOTHING, table

PAGE = "model-quality.md"
PLOTS = {
    "auc": "AUC on the test slice at the shortest horizon, members beside baselines",
    "quarters": "AUC by quarter, stack beside its strongest baseline",
    "calibration": "What was said, and how often it came",
    "regime": "Regimes that came, by the regime said",
    "ablation": "What each variant adds to the AUC",
}
"""Name of a plot -> what it shows; its file is ``model-quality-<name>.svg``."""
Section = tuple[str, Callable[[Figures], str], str | None]


def write(figures: Figures, command: str, plots: tuple[str, ...]) -> str:
    """The page's Markdown.

    Parameters
    ----------
    command : str
        That makes the page again.
    plots : tuple of str
        Names of those that were drawn.
    """
    sections: tuple[Section, ...] = (
        ("What was judged", making.judged, None),
        ("The aims", _aims, None),
        ("The list's numbers", _listed, None),
        ("AUC on the test slice", tables.aucs, "auc"),
        ("The stack's leads", tables.leads, None),
        ("Out of fold against test", tables.gaps, None),
        ("By quarter", tables.quarters, "quarters"),
        ("Calibration", tables.calibration, "calibration"),
        ("Volatility regime", tables.regime, "regime"),
        ("Outputs", tables.outputs, None),
        ("The stack", making.stack, None),
        ("Ablation", making.ablation, "ablation"),
        ("Integrity", making.integrity, None),
        ("Full size", making.full_size, None),
    )
    parts = [_head(figures, command)]
    for title, body, plot in sections:
        parts.append(f"## {title}\n")
        if plot in plots:
            parts.append(f"![{PLOTS[str(plot)]}](model-quality-{plot}.svg)\n")
        parts.append(body(figures))
    return "\n".join(parts)


def _head(figures: Figures, command: str) -> str:
    told, manifest = figures.told, figures.manifest
    found = aims(figures)
    counts = {v: sum(a.verdict == v for a in found) for v in Verdict}
    summary = ", ".join(f"{count} {verdict}" for verdict, count in counts.items() if count)
    share = f"{told['interval']['confidence']:.0%}".replace("%", " %")
    return f"""<!-- written by `python -m training quality`; changes here are lost -->

# Model quality

Set `{manifest.id}`, of the spec `{manifest.identity.name}`, on its own test slice: {told["data"]["from"]} to
{told["data"]["to"]}, {told["data"]["rows"]:,} bars. Of {len(found)} aims: **{summary}**.

```sh
{command}
```

Brackets are intervals of {share} from {told["interval"]["draws"]} samples of whole weeks. *Met*: the whole interval
lies on the aim's side. *Not met*: none of it does. *Inconclusive*: it holds the bar, so these weeks do not tell. Leads
are paired: both scores in the same samples. What each question means is in [evaluation.md](../evaluation.md); what
became of each task is in [tasks.md](../tasks.md).
"""


def _aims(figures: Figures) -> str:
    return table(("aim", "measured", "verdict", "why"), (_row(aim.asks, aim) for aim in aims(figures)))


def _listed(figures: Figures) -> str:
    note = (
        "What the scripts that this replaces claimed of other data (ETHUSDT), and what the same recipe gives here: "
        f"AUC where a long pays over {figures.spell(figures.horizons[0])}, unless said.\n\n"
    )
    rows = (_row(title, aim) for title, aim in listed(figures).items())
    return note + table(("number", "measured here", "verdict", "why"), rows).replace("(results/", "(")


def _row(title: str, aim: Aim) -> tuple[str, str, str, str]:
    verdict = f"*{aim.verdict}*" if aim.verdict == Verdict.NOT_RUN else f"**{aim.verdict}**"
    return title, aim.measured or NOTHING, verdict, aim.reason


def regenerate(name: str, figures: Figures, ablations: tuple[Path, ...]) -> str:
    """The command that makes this page again, files by name alone."""
    asked: Any = figures.asked
    parts = ["python -m training quality", f"--model-set {name}"]
    parts.append("--data " + ",".join(Path(file.strip()).name for file in asked.data.split(",")))
    for option in ("funding", "companion"):
        if getattr(asked, option) is not None:
            parts.append(f"--{option} {getattr(asked, option).name}")
    parts += [f"--ablation {file.name}" for file in ablations]
    defaults = {"draws": 500, "seed": 0}
    parts += [f"--{o} {getattr(asked, o)}" for o, usual in defaults.items() if getattr(asked, o) != usual]
    lines, line = [], ""
    for part in parts:
        if line and len(line) + len(part) > 110:
            lines.append(f"{line} \\")
            line = f"  {part}"
        else:
            line = f"{line} {part}" if line else part
    return "\n".join([*lines, line])
