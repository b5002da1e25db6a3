"""Which volatility regime is in force: the classifier's word counts once it has been said k candles in a row."""

from __future__ import annotations

NONE = -1


def settle(in_force: int, candidate: int, seen: int, observed: int, confirm: int) -> tuple[int, int, int]:
    """Rule: a regime comes into force after `confirm` candles in a row with that same regime; the first one too.

    Parameters
    ----------
    in_force, candidate, seen : int
        State before this candle: the regime in force (-1 none), one waiting, and how often in a row it was observed.
    observed : int
        What the classifier says of this candle, 0..2, or -1 for nothing: a candle without a word breaks the row.
    confirm : int
        Candles in a row that are needed.

    Returns
    -------
    tuple of int
        The state after this candle, in the same order.
    """
    if observed < 0 or observed == in_force:
        return in_force, NONE, 0
    seen = seen + 1 if observed == candidate else 1
    if seen >= confirm:
        return observed, NONE, 0
    return in_force, observed, seen
