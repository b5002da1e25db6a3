"""The picture: each variant's equity over the days, as one SVG file that needs nothing else."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime

import numpy as np
from markupsafe import Markup

from backtest.page.svg import Plot, picture, tag, text, ticks
from backtest.rules_study.accounts import Account
from backtest.rules_study.variants import FIXED, LEVERAGE, MATCHED, REGIME, STOP
from backtest.statistics import DAY_MS

_COLOURS = {REGIME: "#0969da", FIXED: "#cf222e", LEVERAGE: "#8250df", STOP: "#bf8700", MATCHED: "#57606a"}
_STYLE = (
    "text{font:11px system-ui,sans-serif;fill:#777}.grid{stroke:#888;stroke-opacity:.25}.axis{stroke:#888}"
    ".line{fill:none;stroke-width:1.6}.rest{fill:#888;fill-opacity:.12}"
)
_WIDTH, _HEIGHT, _MOST = 760, 300, 400


def equity(accounts: Mapping[str, Account], title: str) -> str:
    """Equity of each variant, 1 at the start; days that are not judged are shaded."""
    first = next(iter(accounts.values()))
    days = first.days.tolist()
    kept = np.unique(np.linspace(0, len(days) - 1, min(len(days), _MOST)).astype(np.int64))
    curves = {name: (a.equity / a.start)[kept].tolist() for name, a in accounts.items()}
    low, high = min(map(min, curves.values())), max(map(max, curves.values()))
    plot = Plot(44, 14, _WIDTH - 130, _HEIGHT - 44, days[0], days[-1], min(low, 1.0), max(high, 1.0))
    parts = [tag("style", inside=Markup(_STYLE))]
    for begin, end in _rests(first):
        parts.append(
            tag("rect", "rest", x=plot.x(begin), y=plot.top, height=plot.height, width=plot.x(end) - plot.x(begin))
        )
    years = [d for d in days if _date(d).month == 1 and _date(d).day == 1]
    parts += plot.grid([], ticks(plot.y0, plot.y1, 5), "", ".2f")
    parts += [text(str(_date(d).year), plot.x(d), plot.top + plot.height + 16, "middle") for d in years]
    parts.append(tag("line", "axis", x1=plot.left, x2=plot.left + plot.width, y1=plot.y(1.0), y2=plot.y(1.0)))
    at = -100.0
    for name, curve in sorted(curves.items(), key=lambda pair: -pair[1][-1]):
        colour = _COLOURS[name]
        points = zip((days[k] for k in kept.tolist()), curve, strict=True)
        parts.append(tag("path", "line", d=plot.path(points), stroke=colour))
        at = max(plot.y(curve[-1]) + 4, at + 13)
        label = f"fill:{colour}"
        parts.append(tag("text", "", name, x=plot.left + plot.width + 6, y=at, style=label))
    made = str(picture(_WIDTH, _HEIGHT, title, parts))
    return made.replace("<svg ", '<svg xmlns="http://www.w3.org/2000/svg" ', 1) + "\n"


def _rests(account: Account) -> list[tuple[int, int]]:
    """Stretches of days that are not judged, as (first, last)."""
    idle = np.flatnonzero(~account.judged)
    if not len(idle):
        return []
    runs = np.split(idle, np.flatnonzero(np.diff(idle) > 1) + 1)
    return [(int(account.days[r[0]]), int(account.days[r[-1]])) for r in runs]


def _date(day: int) -> datetime:
    return datetime.fromtimestamp(day * DAY_MS // 1000, UTC)
