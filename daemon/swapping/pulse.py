"""The pulse: whether a set is alive, told from what it answers candle by candle.

A set is out if it fails or refuses too often where the candles are there, says the same again and again, or is slow.
"""

from __future__ import annotations

import statistics
from typing import Any

from daemon.events import Opinion
from daemon.inference import EXPIRED, FAILED, Answer
from daemon.swapping.config import Alive

THE_MARKETS = ("fewer than ", "a hole in ", "its last candle ", EXPIRED)
"""How a refusal begins that is not the set's fault."""


class Pulse:
    """What a set's answers showed so far; `kept` is all of it as plain values, to be written down and taken up again.

    Parameters
    ----------
    candles : int
        How many are looked at in all.
    """

    def __init__(self, limits: Alive, candles: int, kept: dict[str, Any] | None = None) -> None:
        self._limits = limits
        self._most = int(limits.unanswered * candles)
        # fewer candles than that are looked at: all of them being equal is as telling
        self._constant = max(2, min(limits.constant, candles))
        self.kept: dict[str, Any] = kept or {"symbols": {}, "taken_ms": []}

    def take(self, answer: Answer, beside: Answer | None = None) -> None:
        """Note one candle's answers; `beside` is what the set in service said of it, where another one is shadowed."""
        told = None if beside is None else {o.symbol: o for o in beside.said.opinions}
        for opinion in answer.said.opinions:
            # a hole that silences both says nothing of the shadow; one that only the shadow minds, everything
            excused = _excused(opinion) if told is None else told.get(opinion.symbol, opinion).outlook is None
            self._note(opinion, excused)
        self.kept["taken_ms"] = [*self.kept["taken_ms"], round(answer.taken_ms, 3)][-self._limits.constant :]

    def _note(self, opinion: Opinion, excused: bool) -> None:
        found = self.kept["symbols"].setdefault(
            opinion.symbol, {"answered": 0, "silent": 0, "in_a_row": 0, "why": "", "last": []}
        )
        if opinion.outlook is not None:
            said = [round(opinion.outlook.p_long, 6), round(opinion.outlook.p_short, 6)]
            found["answered"] += 1
            found["in_a_row"] = 0
            found["last"] = [*found["last"], said][-self._constant :]
        elif not excused or opinion.refusal.startswith(FAILED):
            found["silent"] += 1
            found["in_a_row"] += 1
            found["why"] = opinion.refusal

    def fault(self) -> str | None:
        """What is wrong with the set, in words; None if nothing is."""
        for symbol, found in self.kept["symbols"].items():
            if found["in_a_row"] >= self._limits.in_a_row or found["silent"] > self._most:
                return f"{symbol}: no answer to {found['silent']} candles, the last time: {found['why']}"
            last = found["last"]
            if len(last) >= self._constant and all(said == last[0] for said in last):
                return f"{symbol}: the same answer {len(last)} times: long {last[0][0]:g}, short {last[0][1]:g}"
        taken = self.kept["taken_ms"]
        if len(taken) >= self._constant and (median := statistics.median(taken)) > self._limits.slow_ms:
            return f"an answer takes {median:.0f} ms, and {self._limits.slow_ms:g} are allowed"
        return None

    @property
    def answered(self) -> bool:
        """Whether every symbol was answered at least once."""
        symbols = self.kept["symbols"].values()
        return bool(symbols) and all(found["answered"] for found in symbols)

    def told(self) -> str:
        """The figures, in words."""
        taken = self.kept["taken_ms"]
        counts = ", ".join(f"{s} {f['answered']} answered {f['silent']} not" for s, f in self.kept["symbols"].items())
        return f"{counts}; {statistics.median(taken):.1f} ms an answer" if taken else counts


def _excused(opinion: Opinion) -> bool:
    return opinion.outlook is None and opinion.refusal.startswith(THE_MARKETS)
