"""What the probabilities ask for: a side to enter, or a reason to leave. Pure scalars, ready to be compiled.

Probabilities are integers of 1e-9 (`probability`), so a threshold is met exactly or not at all. Sides: +1 long, -1
short, 0 neither.
"""

from __future__ import annotations

PPB = 1_000_000_000


def probability(value: float) -> int:
    """The probability in 1e-9, or -1 if it is none: NaN or outside 0..1 is missing, never 0."""
    if not 0.0 <= value <= 1.0:
        return -1
    return round(value * PPB)


def side_wanted(p_long: int, p_short: int, long_entry: int, short_entry: int, edge: int) -> int:
    """Rule: a side is wanted when its own probability passes its threshold and leads the other's by the minimum edge.

    Both may pass; the leader wins. A tie is no lead, whatever the edge.
    """
    lead = p_long - p_short
    if p_long >= long_entry and lead >= edge and lead > 0:
        return 1
    if p_short >= short_entry and -lead >= edge and lead < 0:
        return -1
    return 0


def lacks_edge(p_long: int, p_short: int, long_entry: int, short_entry: int, edge: int) -> bool:
    """Whether a side passes its threshold and only the lead over the other is wanting."""
    passes = p_long >= long_entry or p_short >= short_entry
    return passes and side_wanted(p_long, p_short, long_entry, short_entry, edge) == 0


def signal_gone(side: int, p_long: int, p_short: int, long_exit: int, short_exit: int) -> bool:
    """Rule: the signal is gone when the held side's own probability falls below its exit threshold."""
    return p_long < long_exit if side > 0 else p_short < short_exit


def time_up(bar: int, bar_ms: int, entry_bar: int, max_hold_bars: int) -> bool:
    """Rule: a position is closed at the close of its `max_hold_bars`-th candle, the entry's candle being the first."""
    return bar + bar_ms - entry_bar >= max_hold_bars * bar_ms


STAY, BY_HALT, BY_TIME, BY_OPPOSITE, BY_SIGNAL_GONE = 0, 1, 2, 3, 4


def leaving(
    halted: bool, overdue: bool, side: int, p_long: int, p_short: int, wanted: int, long_exit: int, short_exit: int
) -> int:
    """Rule: a halt comes first, then time; both need no prediction; then the opposite signal; then the signal's end.

    `p_long` is -1 where there is no prediction; `wanted` is the side that `side_wanted` gives.
    """
    if halted:
        return BY_HALT
    if overdue:
        return BY_TIME
    if p_long < 0:
        return STAY
    if wanted == -side:
        return BY_OPPOSITE
    return BY_SIGNAL_GONE if signal_gone(side, p_long, p_short, long_exit, short_exit) else STAY
