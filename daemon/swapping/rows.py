"""Swaps as rows: each a set's way, durable before a stage's work begins, with a line of the audit beside each step.

The methods block for a disk flush; the swapper calls them in a thread.
"""

from __future__ import annotations

import json
import time
from dataclasses import dataclass, field
from typing import Any

import sqlalchemy as sa

from daemon.lifecycle.book import Book
from daemon.lifecycle.schema import audit, swaps
from daemon.swapping.stages import OVER, Stage, step


@dataclass(slots=True)
class Swap:
    """One set's way.

    Attributes
    ----------
    previous : str
        Id of the set in service when it was swapped in; empty before.
    candles : int
        Shadowed or watched so far.
    body : dict
        What shadow and watch have measured, and who asked for what; plain values.
    """

    id: int
    set_id: str
    who: str
    run_id: str | None = None
    stage: Stage = Stage.INCOMING
    previous: str = ""
    candles: int = 0
    asked_ms: int = 0
    ended_ms: int | None = None
    verdict: str | None = None
    reason: str = ""
    body: dict[str, Any] = field(default_factory=dict)

    @property
    def over(self) -> bool:
        return self.stage in OVER

    @property
    def forced(self) -> bool:
        """Whether it does without a verdict of the gate."""
        return bool(self.body.get("force"))

    def as_dict(self) -> dict[str, Any]:
        """Its plain values, for who asks, without what is only measured."""
        names = ("id", "set_id", "who", "run_id", "previous", "candles", "asked_ms", "ended_ms", "verdict", "reason")
        return {name: getattr(self, name) for name in names} | {"stage": str(self.stage)}


class Swaps:
    """The table `swaps` of one book."""

    def __init__(self, book: Book) -> None:
        self._book = book

    def add(self, swap: Swap, text: str) -> Swap:
        """Write a new row; gives the swap with its number."""
        swap.asked_ms = _now_ms()
        swap.ended_ms = swap.asked_ms if swap.over else None
        swap.id = self._book.insert_noted(swaps, _values(swap), _line(swap, text))
        return swap

    def enter(self, swap: Swap, stage: Stage, reason: str) -> None:
        """Take the swap to another stage, and say why."""
        swap.stage, swap.reason = step(swap.stage, stage), reason
        swap.ended_ms = _now_ms() if swap.over else None
        row = sa.update(swaps).where(swaps.c.id == swap.id).values(**_values(swap))
        self._book.together(row, sa.insert(audit).values(**_line(swap, reason)))

    def stay(self, swap: Swap, reason: str) -> None:
        """Leave the swap at its stage, and say why."""
        swap.reason = reason
        row = sa.update(swaps).where(swaps.c.id == swap.id).values(**_values(swap))
        self._book.together(row, sa.insert(audit).values(**_line(swap, reason)))

    def keep(self, swap: Swap) -> None:
        """Write down what has been measured."""
        self._book.update(swaps, swap.id, **_values(swap))

    def open(self) -> list[Swap]:
        """Those under way or waiting, the oldest first."""
        return self._found(sa.select(swaps).where(swaps.c.ended_ms.is_(None)).order_by(swaps.c.id))

    def newest(self, count: int = 20) -> list[Swap]:
        """The last ones, newest first."""
        return self._found(sa.select(swaps).order_by(swaps.c.id.desc()).limit(count))

    def brought(self, set_id: str) -> Swap | None:
        """The swap that last brought a set into service and was not taken back; None if none did."""
        stages = [str(Stage.WATCHED), str(Stage.KEPT), str(Stage.RETURNING)]
        query = sa.select(swaps).where(swaps.c.set_id == set_id, swaps.c.stage.in_(stages))
        return next(iter(self._found(query.order_by(swaps.c.id.desc()).limit(1))), None)

    def of_run(self, run_id: str) -> Swap | None:
        """The swap that a run asked for, however it ended; None if it asked for none yet."""
        return next(iter(self._found(sa.select(swaps).where(swaps.c.run_id == run_id).order_by(swaps.c.id))), None)

    def _found(self, query: sa.Select[Any]) -> list[Swap]:
        return [
            Swap(**row | {"stage": Stage(row["stage"]), "body": json.loads(row["body"] or "{}")})
            for row in self._book.rows(query)
        ]


def _line(swap: Swap, text: str) -> dict[str, Any]:
    """The line of the audit that goes with a step."""
    about = {"set_id": swap.set_id, "run_id": swap.run_id, "verdict": swap.verdict}
    return {"at_ms": _now_ms(), "who": swap.who, "step": f"swap {swap.stage}", "text": text} | about


def _values(swap: Swap) -> dict[str, Any]:
    values = swap.as_dict() | {"body": json.dumps(swap.body)}
    del values["id"]
    return values


def _now_ms() -> int:
    return time.time_ns() // 1_000_000
