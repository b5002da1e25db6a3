"""Plots: the report's figures as SVG, one style, readable on light and on dark, the same bytes for the same figures.

Text stays text (``svg.fonttype: none``), so that it can be searched, and every series has an id.
"""

from __future__ import annotations

import io
from collections.abc import Callable
from typing import Any

import matplotlib
import numpy as np
from matplotlib.figure import Figure

from models.evaluation.rivals import RIVALS
from models.evaluation.sample import AVERAGE, STACK
from models.manifest import REGIMES
from models.metrics import Interval
from training.quality.figures import LONG, SHORT, Figures
from training.quality.wording import SECTIONS, name

INK, FAINT = "#7f7f7f", "#8888884d"
"""Of text and of grids: neither black nor white, for the page may be either."""
OURS, THEIRS, OTHER = "#3a8fd9", "#d9822b", "#8f8f8f"
STYLE: dict[str, Any] = {
    "svg.hashsalt": "regimen",
    "svg.fonttype": "none",
    "font.family": "sans-serif",
    "font.sans-serif": ["DejaVu Sans"],
    "font.size": 9.0,
    "axes.titlesize": 9.5,
    "axes.titlelocation": "left",
    "axes.edgecolor": INK,
    "axes.labelcolor": INK,
    "axes.titlecolor": INK,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.axisbelow": True,
    "text.color": INK,
    "xtick.color": INK,
    "ytick.color": INK,
    "axes.grid": True,
    "grid.color": FAINT,
    "grid.linewidth": 0.6,
    "legend.frameon": False,
    "legend.fontsize": 8.5,
    "savefig.transparent": True,
    "figure.constrained_layout.use": True,
}
METADATA: dict[str, Any] = {"Date": None, "Creator": None}


def draw(figures: Figures) -> dict[str, str]:
    """Name of each plot that there is something to draw for -> its SVG."""
    makers: dict[str, Callable[[Figures], Figure | None]] = {
        "auc": _members,
        "quarters": _quarters,
        "calibration": _calibration,
        "regime": _regime,
        "ablation": _ablation,
    }
    found = {}
    with matplotlib.rc_context({**matplotlib.rcParamsDefault, **STYLE}):
        for key, make in makers.items():
            picture = make(figures)
            if picture is not None:
                found[key] = _svg(picture, key)
    return found


def _svg(picture: Figure, key: str) -> str:
    buffer = io.BytesIO()
    picture.savefig(buffer, format="svg", metadata=METADATA | {"Title": key})
    return "\n".join(line.rstrip() for line in buffer.getvalue().decode().splitlines()) + "\n"


def _plain(text: str) -> str:
    return text.replace("*", "")


def _members(figures: Figures) -> Figure:
    """A forest plot: AUC with its interval, a panel a question."""
    names = [
        each
        for each in (STACK, AVERAGE, *figures.families, *RIVALS[:-1])
        if any(figures.auc(section, figures.horizons[0], each) for section in SECTIONS)
    ]
    picture = Figure(figsize=(8.6, 0.9 + 0.27 * len(names)))
    panels = picture.subplots(1, len(SECTIONS), sharey=True, sharex=True)
    for panel, (section, title) in zip(panels, SECTIONS.items(), strict=True):
        panel.set_title(f"{title}, {figures.spell(figures.horizons[0])}")
        panel.axvline(0.5, color=INK, linewidth=0.8)
        for row, each in enumerate(names):
            colour = OURS if each == STACK else THEIRS if each in RIVALS else OTHER
            _dot(panel, figures.auc(section, figures.horizons[0], each), row, colour, f"auc {section} {each}")
        panel.set_xlabel("AUC")
    panels[0].set_yticks(range(len(names)), [_plain(name(each)) for each in names])
    panels[0].set_ylim(len(names) - 0.4, -0.6)
    return picture


def _dot(panel: Any, found: Interval | None, row: float, colour: str, gid: str) -> None:
    if found is None:
        return
    panel.plot([found.low, found.high], [row, row], color=colour, linewidth=1.6, solid_capstyle="butt")
    panel.plot([found.value], [row], "o", color=colour, markersize=4.5, gid=gid)


def _quarters(figures: Figures) -> Figure | None:
    """AUC by quarter with bands; the test slice's quarters are shaded."""
    drawn = [section for section in SECTIONS if figures.quarters[section]]
    if not drawn:
        return None
    picture = Figure(figsize=(8.6, 1.9 * len(drawn)))
    panels = np.atleast_1d(picture.subplots(len(drawn), 1, sharey=True))
    for panel, section in zip(panels, drawn, strict=True):
        quarters = figures.quarters[section]
        at = np.arange(len(quarters))
        panel.set_title(f"{SECTIONS[section]}, {figures.spell(figures.horizons[0])}")
        panel.axhline(0.5, color=INK, linewidth=0.8)
        rival = _plain(name(figures.rivals[section]))
        for label, colour, key in (("stack", OURS, "stack"), (rival, THEIRS, "rival")):
            found = [getattr(q, key) for q in quarters]
            for part in (False, True):  # a line across the bars that nobody judged would say something of them
                mine = np.array([q.test == part for q in quarters])
                if not mine.any():
                    continue
                chosen = [f for f, m in zip(found, mine, strict=True) if m]
                where = at[mine] + (0.06 if key == "rival" else 0.0)  # side by side, so that both can be read
                low, high = [f.low for f in chosen], [f.high for f in chosen]
                panel.fill_between(where, low, high, color=colour, alpha=0.2, linewidth=0)
                # a band of one quarter has no width, so each has its bar too
                panel.vlines(where, low, high, color=colour, linewidth=0.9)
                panel.plot(
                    where, [f.value for f in chosen], "o-", color=colour, markersize=3.5, linewidth=1.4,
                    label=None if part and any(not q.test for q in quarters) else label,
                    gid=f"quarters {section} {key} {'test' if part else 'folds'}",
                )  # fmt: skip
        test = [i for i, q in enumerate(quarters) if q.test]
        if test:
            panel.axvspan(min(test) - 0.5, max(test) + 0.5, color=FAINT[:7], alpha=0.13, linewidth=0)
            panel.text(
                max(test) + 0.45, 0.96, "test slice", ha="right", va="top", fontsize=8,
                transform=panel.get_xaxis_transform(),
            )  # fmt: skip
        panel.set_xticks(at, [_short(q.name, at[-1] > 14) for q in quarters])
        panel.set_xlim(-0.6, len(quarters) - 0.4)
        panel.set_ylabel("AUC")
        panel.legend(loc="lower right", bbox_to_anchor=(1, 0.97), ncols=2, borderpad=0)
    return picture


def _short(quarter: str, crowded: bool) -> str:
    """``2024 Q1``, or with little room ``24`` above the first quarter alone."""
    year, part = quarter.split()
    return (f"{year}" if part == "Q1" else "") if crowded else f"{part}\n{year}"


def _calibration(figures: Figures) -> Figure:
    """Reliability curves: a panel a horizon, a line a side."""
    picture = Figure(figsize=(8.6, 3.2))
    panels = np.atleast_1d(picture.subplots(1, len(figures.horizons), sharex=True, sharey=True))
    for panel, h in zip(panels, figures.horizons, strict=True):
        panel.set_title(figures.spell(h))
        for section, colour in ((LONG, OURS), (SHORT, THEIRS)):
            bins = figures.told[section][str(h)][STACK]["calibration"]["bins"]
            said, came = [b["said"] for b in bins], [b["came"] for b in bins]
            panel.plot(said, came, "o-", color=colour, markersize=3.5, linewidth=1.3, label=SECTIONS[section],
                       gid=f"calibration {section} {h}")  # fmt: skip
        panel.set_xlabel("said")
    panels[0].set_ylabel("came")
    panels[0].legend(loc="upper left")
    low = min(*panels[0].get_xlim(), *panels[0].get_ylim())
    high = max(*panels[0].get_xlim(), *panels[0].get_ylim())
    for panel in panels:
        panel.plot([low, high], [low, high], color=INK, linewidth=0.8, linestyle=(0, (4, 3)))
        panel.set_aspect("equal")
        panel.set(xlim=(low, high), ylim=(low, high))
    return picture


def _regime(figures: Figures) -> Figure:
    """Confusion of the set and of HAR + calendar: each row sums to 1."""
    picture = Figure(figsize=(6.6, 3.0))
    panels = picture.subplots(1, len(figures.confusion), sharey=True)
    for panel, (who, counts) in zip(panels, figures.confusion.items(), strict=True):
        table = np.array(counts, dtype=np.float64)
        shares = table / np.maximum(table.sum(axis=1, keepdims=True), 1)
        panel.set_title("the set" if who == "set" else name(who))
        panel.grid(False)
        for row in range(len(REGIMES)):
            for column in range(len(REGIMES)):
                corner = (column - 0.5, row - 0.5)
                square = matplotlib.patches.Rectangle(
                    corner, 1, 1, facecolor=OURS, alpha=0.5 * float(shares[row, column]), linewidth=0
                )
                square.set_gid(f"regime {who} {REGIMES[row]} {REGIMES[column]}")
                panel.add_patch(square)
                told = f"{shares[row, column]:.0%}\n{counts[row][column]:,}"
                panel.text(column, row, told, ha="center", va="center", fontsize=8.5)
        panel.set(xlim=(-0.5, 2.5), ylim=(2.5, -0.5), xlabel="said", aspect="equal")
        panel.set_xticks(range(3), REGIMES)
        panel.set_yticks(range(3), REGIMES)
        panel.tick_params(length=0)
        for spine in panel.spines.values():
            spine.set_visible(False)
    panels[0].set_ylabel("came")
    return picture


def _ablation(figures: Figures) -> Figure | None:
    """Dot and interval of each variant's paired difference."""
    rows = [
        (row.name, row.difference.interval)
        for each in figures.asked.ablations
        for row in each.rows
        if row.difference is not None
    ]
    if not rows:
        return None
    picture = Figure(figsize=(7.2, 0.9 + 0.27 * len(rows)))
    panel = picture.subplots()
    panel.axvline(0, color=INK, linewidth=0.8)
    for at, (label, found) in enumerate(rows):
        clear = found.low > 0 or found.high < 0
        _dot(panel, found, at, OURS if clear else OTHER, f"ablation {label}")
    panel.set_yticks(range(len(rows)), [label for label, _ in rows])
    panel.set_ylim(len(rows) - 0.4, -0.6)
    panel.set_xlabel("AUC less the unchanged one's, paired")
    return picture
