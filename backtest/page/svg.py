"""Small still charts as inline SVG. Colours are classes of `page.css`, so that they follow light, dark and print."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from markupsafe import Markup, escape

from backtest.page.outcomes import Bin, Passed
from backtest.page.tables import Worst
from backtest.page.words import count, number, percent
from market.candles import Floats

Points = Iterable[tuple[float, float]]


@dataclass(frozen=True)
class Plot:
    """A rectangle of the picture that values of x in [x0, x1] and y in [y0, y1] are drawn in."""

    left: float
    top: float
    width: float
    height: float
    x0: float
    x1: float
    y0: float
    y1: float

    def x(self, value: float) -> float:
        """Where a value of x is, in the picture's units."""
        return self.left + self.width * (value - self.x0) / ((self.x1 - self.x0) or 1)

    def y(self, value: float) -> float:
        """Where a value of y is; up is more."""
        return self.top + self.height * (1 - (value - self.y0) / ((self.y1 - self.y0) or 1))

    def path(self, points: Points) -> str:
        """The path's commands through points."""
        return "M" + "L".join(f"{self.x(x):.1f} {self.y(y):.1f}" for x, y in points)

    def grid(self, xs: Sequence[float], ys: Sequence[float], of_x: str = "", of_y: str = "") -> list[Markup]:
        """Hairlines at `ys` and labels at both; `of_x`, `of_y` are format specifications."""
        made = []
        for value in ys:
            at = self.y(value)
            made.append(tag("line", cls="grid", x1=self.left, x2=self.left + self.width, y1=at, y2=at))
            made.append(text(_label(value, of_y), self.left - 5, at + 3.5, "end"))
        made += [text(_label(value, of_x), self.x(value), self.top + self.height + 13, "middle") for value in xs]
        return made


def tag(name: str, cls: str = "", inside: object = "", **attributes: float | str) -> Markup:
    """An element; attribute names with a dash are written with an underscore, numbers to a tenth."""
    written = "".join(
        f' {key.replace("_", "-")}="{f"{v:.1f}".removesuffix(".0") if isinstance(v, float) else escape(v)}"'
        for key, v in attributes.items()
    )
    classes = Markup(' class="{}"').format(cls) if cls else ""
    return Markup("<{0}{1}{2}>{3}</{0}>").format(name, classes, Markup(written), inside)


def text(words: str, x: float, y: float, anchor: str = "start", cls: str = "") -> Markup:
    """A label."""
    return tag("text", cls, words, x=float(x), y=float(y), text_anchor=anchor)


def picture(width: int, height: int, title: str, parts: Iterable[Markup], cls: str = "") -> Markup:
    """The whole, with what it shows in words for those who do not see it."""
    return tag(
        "svg", f"still {cls}".strip(), tag("title", inside=title) + Markup("").join(parts),
        viewBox=f"0 0 {width} {height}", width=width, height=height, role="img",
    )  # fmt: skip


def ticks(low: float, high: float, most: int = 5) -> list[float]:
    """Round numbers between two values, at most about `most`."""
    if not high > low:
        return [low]
    raw = (high - low) / most
    power = 10.0 ** math.floor(math.log10(raw))
    step = next(power * m for m in (1, 2, 2.5, 5, 10) if power * m >= raw * 0.999)
    return [step * k for k in range(math.ceil(low / step - 1e-9), math.floor(high / step + 1e-9) + 1)]


def interval(value: float | None, low: float, high: float, zero: bool) -> Markup:
    """A gate's interval as a bar with its value; with the line of no difference where `zero`."""
    ends = [low, high, *((value,) if value is not None else ()), *((0.0,) if zero else ())]
    room = (max(ends) - min(ends)) * 0.06 or 1.0
    plot = Plot(4, 4, 132, 14, min(ends) - room, max(ends) + room, 0, 1)
    parts = [tag("line", "axis", x1=4.0, x2=136.0, y1=11.0, y2=11.0)]
    if zero:
        parts.append(tag("line", "zero", x1=plot.x(0), x2=plot.x(0), y1=1.0, y2=21.0))
    side = "" if not zero else " above" if low > 0 else " below" if high < 0 else ""
    parts.append(
        tag(
            "rect",
            f"interval{side}",
            x=plot.x(low),
            width=max(plot.x(high) - plot.x(low), 1.5),
            y=7.0,
            height=8.0,
            rx=4,
        )
    )
    if value is not None:
        parts.append(tag("circle", "point", cx=plot.x(value), cy=11.0, r=3.5))
    return picture(140, 22, f"from {number(low, 4)} to {number(high, 4)}", parts, "small")


def bar(share: float, cls: str = "") -> Markup:
    """A share of 0..1 as a bar in a table's cell."""
    width = max(0.0, min(share, 1.0)) * 120
    return tag(
        "svg", "bar", tag("rect", cls, x=0, y=1, width=max(width, 0.5), height=8, rx=2),
        viewBox="0 0 120 10", width=120, height=10, aria_hidden="true",
    )  # fmt: skip


def reliability(bins: Sequence[Bin], title: str, base_rate: float, cls: str) -> Markup:
    """How often each tenth of the predictions came true, against what was said; the diagonal is honesty."""
    ends = [v for b in bins for v in (b.said, b.low, b.high)]
    low, high = max(min(ends) - 0.02, 0), min(max(ends) + 0.02, 1)
    plot = Plot(36, 8, 196, 172, low, high, low, high)
    marks = ticks(low, high, 5)
    parts = plot.grid(marks, marks, ".2f", ".2f")
    parts.append(tag("line", "honest", x1=plot.x(low), y1=plot.y(low), x2=plot.x(high), y2=plot.y(high)))
    parts.append(tag("line", "base", x1=36.0, x2=232.0, y1=plot.y(base_rate), y2=plot.y(base_rate)))
    for b in bins:
        at = plot.x(b.said)
        parts.append(tag("line", f"whisker {cls}", x1=at, x2=at, y1=plot.y(b.low), y2=plot.y(b.high)))
        told = f"said {number(b.said, 3)}, came {number(b.came, 3)} ({count(b.count)} candles)"
        parts.append(tag("circle", f"dot {cls}", tag("title", inside=told), cx=at, cy=plot.y(b.came), r=4))
    parts.append(text(f"{count(round(sum(b.count for b in bins) / len(bins)))} candles a point", 230, 176, "end"))
    return picture(240, 200, title, parts)


def histogram(said: Floats, entry: float | None, leave: float | None, title: str, cls: str) -> Markup:
    """How predictions are spread, with the thresholds of entry and exit where these predictions are traded."""
    marks = [v for v in (entry, leave) if v is not None]
    low = math.floor(min([float(said.min()), *marks]) * 50) / 50
    high = math.ceil((max([float(said.max()), *marks]) + 1e-9) * 50) / 50
    counts, edges = np.histogram(said, bins=40, range=(low, high))
    plot = Plot(8, 14, 224, 84, low, high, 0, float(counts.max()))
    parts = plot.grid(ticks(low, high, 4), [], ".2f")
    width = plot.width / len(counts)
    for size, edge in zip(counts.tolist(), edges.tolist(), strict=False):
        if size:
            passes = entry is None or edge + (high - low) / 80 >= entry
            at, height = plot.y(size), plot.y(0) - plot.y(size)
            look = cls if passes else f"{cls} faint"
            parts.append(tag("rect", look, x=plot.x(edge) + 0.4, width=width - 0.8, y=at, height=max(height, 0.7)))
    parts.append(tag("line", "axis", x1=8.0, x2=232.0, y1=plot.y(0), y2=plot.y(0)))
    for value, name in ((leave, "exit"), (entry, "entry")):
        if value is not None:
            at = plot.x(value)
            parts.append(tag("line", "mark", x1=at, x2=at, y1=12.0, y2=plot.y(0)))
            parts.append(text(name, at, 9, "start" if at < 180 else "end", "strong"))
    return picture(240, 116, title, parts)


def threshold_chart(passed: Sequence[Passed], base_rate: float, entry: float | None, title: str, cls: str) -> Markup:
    """Above: of candles, how many would have passed each threshold, and of those, how many paid. Below: net profit."""
    xs = [p.threshold for p in passed]
    plot = Plot(52, 10, 498, 150, xs[0] - 0.01, xs[-1] + 0.01, 0, 1)
    parts = plot.grid([], [0, 0.25, 0.5, 0.75, 1], "", ".0%")
    shares = [(p.threshold, p.share) for p in passed]
    area = plot.path(shares) + f"L{plot.x(xs[-1]):.1f} {plot.y(0):.1f}L{plot.x(xs[0]):.1f} {plot.y(0):.1f}Z"
    parts.append(tag("path", "area", d=area))
    parts.append(tag("line", "base", x1=52.0, x2=550.0, y1=plot.y(base_rate), y2=plot.y(base_rate)))
    paid = [(p.threshold, p.paid) for p in passed if p.paid is not None and p.count >= 20]
    if paid:
        parts.append(tag("path", f"line {cls}", d=plot.path(paid)))
    profits = [p.profit for p in passed]
    low, high = min(0.0, *profits), max(0.0, *profits)
    below = Plot(52, 178, 498, 90, xs[0] - 0.01, xs[-1] + 0.01, low, high if high > low else low + 0.01)
    parts += below.grid(ticks(xs[0], xs[-1], 6), ticks(below.y0, below.y1, 4), ".2f", ".0%")
    parts.append(tag("line", "axis", x1=52.0, x2=550.0, y1=below.y(0), y2=below.y(0)))
    width = min(below.width / max(len(xs), 1) * 0.7, 14)
    for p in passed:
        top, foot = below.y(max(p.profit, 0)), below.y(min(p.profit, 0))
        told = f"{number(p.threshold)}: {count(p.entries)} trades, {percent(p.profit, 1, True)}"
        parts.append(
            tag("rect", "gain" if p.profit > 0 else "loss", tag("title", inside=told),
                x=below.x(p.threshold) - width / 2, width=width, y=top, height=max(foot - top, 0.6))
        )  # fmt: skip
    if entry is not None and xs[0] <= entry <= xs[-1]:
        at = plot.x(entry)
        parts.append(tag("line", "mark", x1=at, x2=at, y1=8.0, y2=268.0))
    return picture(560, 286, title, parts, "wide")


def spark(worst: Worst) -> Markup:
    """The price around a trade: its candles' closes, the holding shaded, entry and exit marked."""
    trade, frame = worst.closed.trade, worst.frame
    length = frame.base.timeframe.ms
    room = max((trade.exit_time - trade.entry_time) // 2, 12 * length)
    candles = frame.base.between(trade.entry_time - room - length, trade.exit_time + room)
    if not len(candles):
        return Markup("")
    kept = slice(None, None, -(-len(candles) // 120))
    times = (candles.open_time + length)[kept].tolist()
    closes = candles.close[kept].tolist()
    tick = float(frame.instrument.tick)
    entry, leave = trade.entry_price * tick, trade.exit_price * tick
    low, high = min(*closes, entry, leave), max(*closes, entry, leave)
    plot = Plot(4, 5, 172, 42, times[0], max(times[-1], trade.exit_time), low, high)
    start, end = max(plot.x(trade.entry_time), 4), plot.x(trade.exit_time)
    side = "long" if trade.side > 0 else "short"
    title = f"price around the {side}, {percent(trade.side * (leave / entry - 1), 2, True)}"
    return picture(180, 52, title, [
        tag("rect", "held", x=start, width=max(end - start, 1.5), y=0, height=52),
        tag("line", "base", x1=start, x2=end, y1=plot.y(entry), y2=plot.y(entry)),
        tag("path", "line ink", d=plot.path(zip(times, closes, strict=True))),
        tag("circle", f"dot {side}", cx=start, cy=plot.y(entry), r=3.5),
        tag("circle", "dot lost", cx=end, cy=plot.y(leave), r=3.5),
    ], "small")  # fmt: skip


def still_equity(equity: Floats, hold: Floats, title: str) -> Markup:
    """Equity and buy-and-hold, both starting at 1, for those who allow no script."""
    kept = slice(None, None, max(1, len(equity) // 600))
    ours, theirs = equity[kept].tolist(), hold[kept].tolist()
    low, high = min(*ours, *theirs, 1), max(*ours, *theirs, 1)
    plot = Plot(50, 10, 940, 220, 0, len(ours) - 1, low, high if high > low else low + 1)
    return picture(1000, 240, title, [
        *plot.grid([], ticks(low, high), "", ".2f"),
        tag("path", "line hold", d=plot.path(enumerate(theirs))),
        tag("path", "line ours", d=plot.path(enumerate(ours))),
    ], "wide")  # fmt: skip


def _label(value: float, form: str) -> str:
    if form == ".0%":
        return f"{100 * value:.0f} %".replace("-", "−")
    return f"{value:{form}}".replace("-", "−")
