"""The summary: what one run of the daemon did, and how fast, as the JSON object that `--json` prints."""

from __future__ import annotations

import resource
from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

from daemon.state import Counts
from market.instruments import cash_text

KEPT_FRAMES = 64


class Stopwatch:
    """Measures from a closing kline frame's arrival to the first market order it led to leaving, by monotonic ns."""

    def __init__(self) -> None:
        self._frames: dict[int, int] = {}
        self.orders_ns: list[int] = []
        self.decisions_ns: list[int] = []
        self.exposures_ms: list[int] = []
        """How long positions stood without a stop that was read back, one number an occasion."""
        self._ordered: set[int] = set()

    def frame(self, closed_at: int, now_ns: int) -> None:
        """A frame that closed a candle at `closed_at` (ms) arrived; the last of a batch counts."""
        self._frames[closed_at] = now_ns
        while len(self._frames) > KEPT_FRAMES:
            del self._frames[next(iter(self._frames))]

    def decided(self, closed_at: int, now_ns: int) -> None:
        """The candle that closed then was decided."""
        if (began := self._frames.get(closed_at)) is not None:
            self.decisions_ns.append(now_ns - began)

    def ordered(self, closed_at: int, now_ns: int) -> None:
        """A market order left while that candle was worked off; only a candle's first one counts."""
        began = self._frames.get(closed_at)
        if began is not None and closed_at not in self._ordered:
            self._ordered = {t for t in self._ordered if t in self._frames} | {closed_at}
            self.orders_ns.append(now_ns - began)


def percentile_ms(samples_ns: Sequence[int], share: float) -> float | None:
    """The sample that `share` of all do not exceed, in ms; None without samples."""
    if not samples_ns:
        return None
    ranked = sorted(samples_ns)
    return round(ranked[min(len(ranked) - 1, int(share * len(ranked)))] / 1e6, 3)


def summary(
    settled: int, before: Counts, now: Counts, equity: int, cash: int, model_set: str, watch: Stopwatch
) -> dict[str, Any]:
    """What happened since `before`: candles decided, decisions, orders, trades, the latencies, and the peak memory."""
    counts = {name: value - asdict(before)[name] for name, value in asdict(now).items()}
    return {
        "candles": settled,
        "decisions": counts["decisions"],
        "missed_candles": counts["missed_candles"],
        "orders": counts["orders"],
        "trades": counts["trades"],
        "seconds_naked_max": round(now.naked_max_ms / 1000, 3),
        "seconds_naked": _exposures(watch.exposures_ms),
        "equity": cash_text(equity),
        "cash": cash_text(cash),
        "model_set": model_set,
        "latency_ms": _latencies(watch.orders_ns),
        "decision_latency_ms": _latencies(watch.decisions_ns),
        "memory_mb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024,
    }


def _exposures(samples: Sequence[int]) -> dict[str, float | int | None]:
    ranked = sorted(samples)
    median, worst = (ranked[len(ranked) // 2] / 1000, ranked[-1] / 1000) if ranked else (None, None)
    return {"median": median, "worst": worst, "samples": len(ranked)}


def _latencies(samples: Sequence[int]) -> dict[str, float | int | None]:
    return {"p50": percentile_ms(samples, 0.50), "p99": percentile_ms(samples, 0.99), "samples": len(samples)}
