"""The watch: a set that is new in service, measured against its own record by what became of what it foretold.

Two measures: the Brier score of labels that have matured, by the function that made the set's own labels, and what the
trades it opened have made after costs. Neither waits for the end of the watch to end it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from math import isfinite
from typing import Any

import numpy as np

from daemon.inference import Answer
from daemon.swapping.config import Swapping
from daemon.swapping.pulse import Pulse
from market.candles import Candles, Floats
from market.instruments import cash_text
from market.timeframes import Timeframe
from market.trades import Trade
from models.labels import LONG, SHORT, profitable
from models.manifest import Manifest, head

COIN = 0.25
"""Brier score of always saying one half: what a head is measured against that kept no record."""


class Watch:
    """One watch; `kept` is all of it as plain values, to be written down and taken up again.

    Parameters
    ----------
    candles : callable
        Symbol -> the decision candles that are held of it.
    equity : int
        The account's when the set came into service, cash units.
    """

    def __init__(
        self,
        limits: Swapping,
        manifest: Manifest,
        candles: Callable[[str], Candles],
        equity: int,
        kept: dict[str, Any] | None = None,
    ) -> None:
        self._limits, self._manifest, self._candles = limits, manifest, candles
        self.kept: dict[str, Any] = kept or {
            "equity": equity, "since": None, "profit": 0, "trades": 0, "pulse": None,
            "pending": [], "squared": 0.0, "recorded": 0.0, "heads": 0, "matured": 0,
        }  # fmt: skip
        self._pulse = Pulse(limits.alive, limits.watch.candles, self.kept["pulse"])
        self.kept["pulse"] = self._pulse.kept
        self._step = Timeframe.parse(manifest.data.timeframe).ms
        self._record = {key: _brier(manifest, key) for key in _heads(manifest)}

    def take(self, answer: Answer) -> None:
        """Note what the set said of a candle, and settle what has matured by its close."""
        self._pulse.take(answer)
        said = answer.said
        if self.kept["since"] is None:  # what was opened before this candle's close was another set's wish
            self.kept["since"] = said.bar + self._step
        for opinion in said.opinions:
            for horizon, p_long, p_short in opinion.horizons:
                self.kept["pending"].append([said.bar, opinion.symbol, horizon, p_long, p_short])
        self._settle(said.bar)

    def traded(self, trades: Iterable[Trade]) -> None:
        """Note closed trades; those that another set opened are not this one's."""
        since = self.kept["since"]
        for trade in trades if since is not None else ():
            if trade.entry_time >= since:
                self.kept["profit"] += trade.profit
                self.kept["trades"] += 1

    def fault(self) -> str | None:
        """Why the set must go, in words; None if nothing speaks against it."""
        if (fault := self._pulse.fault()) is not None:
            return fault
        kept, watch = self.kept, self._limits.watch
        if kept["equity"] > 0 and -kept["profit"] > watch.loss * kept["equity"]:
            return (
                f"{kept['trades']} trades it opened lost {cash_text(-kept['profit'])} of {cash_text(kept['equity'])}, "
                f"more than {watch.loss:.1%}"
            )
        excess = self.excess
        if excess is not None and kept["matured"] >= watch.labels and excess > watch.brier:
            return f"{self._scored()}: worse than its record by {excess:.3f}, and {watch.brier:g} is allowed"
        return None

    @property
    def excess(self) -> float | None:
        """By how much the Brier score of the matured labels lies above the record's; None before the first."""
        heads = self.kept["heads"]
        return (self.kept["squared"] - self.kept["recorded"]) / heads if heads else None

    def told(self) -> str:
        """The figures, in words."""
        kept = self.kept
        return f"{self._pulse.told()}; {kept['trades']} trades, {cash_text(kept['profit'])}; {self._scored()}"

    def _scored(self) -> str:
        kept = self.kept
        if not kept["heads"]:
            return "no label has matured"
        found, record = kept["squared"] / kept["heads"], kept["recorded"] / kept["heads"]
        return f"Brier {found:.3f} over {kept['matured']} candles at which labels matured, its record says {record:.3f}"

    def _settle(self, bar: int) -> None:
        """Score every foretold label whose horizon has passed; one that lies in a hole is dropped."""
        due = [p for p in self.kept["pending"] if bar - p[0] >= p[2] * self._step]
        self.kept["pending"] = [p for p in self.kept["pending"] if bar - p[0] < p[2] * self._step]
        windows = {symbol: self._candles(symbol) for symbol in {p[1] for p in due}}
        known: dict[tuple[str, int, int], Floats] = {}
        before = self.kept["heads"]
        for then, symbol, horizon, *said in due:
            window = windows[symbol]
            at = int(np.searchsorted(window.open_time, then))
            if at >= len(window) or window.open_time[at] != then:
                continue
            for side, p in zip((LONG, SHORT), said, strict=True):
                record = self._record.get(head(horizon, side))
                if record is None:
                    continue
                if (symbol, horizon, side) not in known:
                    cost = self._manifest.data.labels.cost
                    known[symbol, horizon, side] = profitable(window, horizon, side, cost)
                outcome = float(known[symbol, horizon, side][at])
                if isfinite(outcome):
                    self.kept["squared"] += (p - outcome) ** 2
                    self.kept["recorded"] += record
                    self.kept["heads"] += 1
        self.kept["matured"] += self.kept["heads"] > before


def _heads(manifest: Manifest) -> list[str]:
    """Heads that are traded on: those whose horizon has a weight."""
    weighed = [int(h) for h, weight in manifest.ensemble.weights.items() if weight > 0]
    return [head(h, side) for h in weighed for side in (LONG, SHORT)]


def _brier(manifest: Manifest, key: str) -> float:
    """What a head scored on the slice that its set had not seen; a coin's where no record was kept."""
    heads = manifest.evidence.get("heads")
    told = heads.get(key) if isinstance(heads, dict) else None
    score = told.get("brier") if isinstance(told, dict) else None
    value = score.get("value") if isinstance(score, dict) else score
    return float(value) if isinstance(value, int | float) else COIN
