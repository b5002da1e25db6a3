"""The proof: a set is made, judged, swapped, watched and kept; a bad one is refused; one that decays goes back.

Everything is real: exchange, daemon, sshd or Ray, training, gate. The proof only waits, and types two commands.
"""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from daemon.lifecycle.schema import FILE
from models import promotion
from tests.lifecycle import figures, market, timeline
from tests.lifecycle.figures import Candles
from tests.lifecycle.onlooker import Onlooker
from tests.lifecycle.places import PLACES
from tests.lifecycle.planted import Planted, plant
from tests.lifecycle.stage import Stage, Unproven, once_in
from tests.lifecycle.timeline import Moment

HOURS = 2_000
"""Served at most; the proof is over long before."""
AHEAD_S = 12.0
"""The schedule fires at the first full minute so far ahead: the daemon trades by then."""
RUN_S, JUDGED_S, SERVICE_S, WATCHED_S = 240.0, 120.0, 90.0, 180.0
"""How long a run, a judgement, the way from there into service, and the watch are waited for at most."""
WAY_S = 130.0
"""From the start until the decaying set can be in service, training apart: the volume turns about then. If it is later,
the volume has turned some days before, which the gate's thirty judged days bear."""
TRAININGS = 1.5
"""What the job's training takes, in trainings of the preparation, which had a core each."""

Tell = Callable[[str], None]
"""Says what is being waited for."""


@dataclass(frozen=True)
class Asked:
    """What is to be proven, and how fast.

    Attributes
    ----------
    over : str
        `ssh` or `ray`.
    whole : bool
        With the schedule, the bad set and the one that decays; otherwise one run that is asked for by command.
    candles_a_second : float
        The market's pace.
    """

    over: str = "ssh"
    whole: bool = True
    candles_a_second: float = 2.0


@dataclass(frozen=True)
class Proof:
    """What happened.

    Attributes
    ----------
    lacks : tuple of str
        What it fails to prove; empty if all is proven.
    """

    over: str
    planted: Planted
    promoted: tuple[str, ...]
    kept: tuple[str, ...]
    refused: tuple[str, ...]
    rolled_back: tuple[str, ...]
    candles: Candles
    moments: tuple[Moment, ...]
    seconds: float
    summary: dict[str, Any] = field(default_factory=dict)
    lacks: tuple[str, ...] = ()

    def as_dict(self) -> dict[str, Any]:
        """As JSON says it."""
        return {
            "over": self.over,
            "candles": self.candles.decided,
            "candles_missed": self.candles.missed,
            "decision_delay_ms_max": self.candles.longest_ms,
            "decision_delay_ms_p50": self.candles.delay_ms(0.5),
            "decision_delay_ms_p99": self.candles.delay_ms(0.99),
            "first_champion": self.planted.first,
            "promoted": list(self.promoted),
            "kept": list(self.kept),
            "refused": list(self.refused),
            "rolled_back": list(self.rolled_back),
            "lacks": list(self.lacks),
            "seconds": round(self.seconds, 1),
            "daemon": self.summary,
            "timeline": [moment.as_dict() for moment in self.moments],
        }


def prove(asked: Asked, folder: Path, tell: Tell) -> Proof:
    """Run the whole of it in an empty folder.

    Raises
    ------
    Unproven
        If something does not happen in time; the message holds the end of the daemon's log.
    NotMade
        If the sets that have to lie ready cannot be made.
    """
    folder.mkdir(parents=True, exist_ok=True)
    began, now_ms = time.monotonic(), time.time_ns() // 1_000_000
    tell("making the market, its first champion and the planted sets")
    served = market.write(folder, now_ms, HOURS, HOURS // 2)
    trained = time.monotonic()
    planted = plant(served, folder / "models", folder / "specs", asked.whole)
    trained = time.monotonic() - trained
    turns = round(asked.candles_a_second * (TRAININGS * trained + WAY_S))
    served = market.write(folder, now_ms, HOURS, turns)
    (folder / "history").mkdir()
    with PLACES[asked.over](folder / "there") as place:
        schedule = {"schedule": once_in(AHEAD_S)} if asked.whole else {}
        with (
            Stage(folder, served, asked.candles_a_second, _retraining(served) | schedule | place, _swapping()) as stage,
            Onlooker(stage.exchange.ready["ws_url"]) as onlooker,
        ):
            stage.start()
            _follow(asked, stage, planted, served.turns_ms, onlooker, tell)
            stage.end()
    moments = timeline.read(stage.state, onlooker.closed)
    stages = _stages(stage)
    promoted = [p.model_set for p in promotion.history(planted.root / "sets").promotions if p.by == "verdict"]
    counted = figures.candles(stage.state, onlooker.closed, stage.told_to_end_ms)
    return Proof(
        asked.over, planted, tuple(p for p in promoted if p != planted.first),
        _at("kept", stages), _at("refused", stages), _at("rolled back", stages),
        counted, tuple(moments), time.monotonic() - began, stage.summary,
        tuple(_lacking(asked, planted, promoted, stages, counted)),
    )  # fmt: skip


def _follow(asked: Asked, stage: Stage, planted: Planted, turns_ms: int, onlooker: Onlooker, tell: Tell) -> None:
    """See the sets through, one after another."""
    if not asked.whole:
        stage.ask("retrain")
    tell(f"a run {'by schedule' if asked.whole else 'by command'}, over {asked.over}")
    stage.until(lambda: _run(stage) is not None, "a run asked for", 90.0)
    stage.until(lambda: (_run(stage) or ("",))[0] in ("done", "failed", "canceled"), "the end of the run", RUN_S)
    state, made, error = _run(stage) or ("", None, None)
    if state != "done" or made is None:
        raise Unproven(f"the run {state}: {error}; the daemon's log ends:\n{stage.tail()}")
    tell(f"{made} came back; gate, shadow, swap, watch")
    _await(stage, made, ("watched", "kept"), JUDGED_S + SERVICE_S)
    _await(stage, made, ("kept",), WATCHED_S)
    if not asked.whole or planted.bad is None or planted.decaying is None:
        return
    tell(f"{planted.bad} is bad; the gate must say so")
    judged = time.monotonic()
    stage.ask("swap", planted.bad)
    _await(stage, planted.bad, ("refused",), JUDGED_S)
    judged = time.monotonic() - judged
    # so early that it comes into service as the volume turns
    ahead = round(asked.candles_a_second * judged) + 20
    at = turns_ms - ahead * market.HOUR.ms
    tell(f"{planted.decaying} will decay; it is asked for {ahead} candles before")
    stage.until(lambda: max(onlooker.closed, default=0) >= at, "the candle to ask at", HOURS / asked.candles_a_second)
    stage.ask("swap", planted.decaying)
    _await(stage, planted.decaying, ("watched", "rolled back"), JUDGED_S + SERVICE_S)
    tell("it is in service, and the volume lies from now on; the watcher must roll it back")
    _await(stage, planted.decaying, ("rolled back",), WATCHED_S)


def _await(stage: Stage, set_id: str, stages: tuple[str, ...], seconds: float) -> None:
    """Wait until a set is at one of the stages.

    Raises
    ------
    Unproven
        If its way ends elsewhere, or time is over.
    """
    over = {"kept", "refused", "rolled back", "superseded", "left"}

    def there() -> bool:
        now = _stages(stage).get(set_id, ("", ""))
        if now[0] in over and now[0] not in stages:
            raise Unproven(f"{set_id} was to be {stages[-1]}, and is {now[0]}: {now[1]}\n{stage.tail()}")
        return now[0] in stages

    stage.until(there, f"{set_id} {stages[-1]}", seconds)


def _stages(stage: Stage) -> dict[str, tuple[str, str]]:
    """Set -> how far it is, and why."""
    return {row[0]: (row[1], row[2]) for row in _rows(stage, "SELECT set_id, stage, reason FROM swaps ORDER BY id")}


def _run(stage: Stage) -> tuple[str, str | None, str | None] | None:
    """State, set and error of the newest run."""
    rows = _rows(stage, "SELECT state, set_id, error FROM runs ORDER BY asked_ms DESC LIMIT 1")
    return rows[0] if rows else None


def _rows(stage: Stage, query: str) -> list[tuple[Any, ...]]:
    with closing(sqlite3.connect(f"file:{stage.state / FILE}?mode=ro", uri=True, timeout=10)) as book:
        return book.execute(query).fetchall()


def _at(wanted: str, stages: dict[str, tuple[str, str]]) -> tuple[str, ...]:
    return tuple(set_id for set_id, (at, _) in stages.items() if at == wanted)


def _lacking(
    asked: Asked, planted: Planted, promoted: list[str], stages: dict[str, tuple[str, str]], candles: Candles
) -> list[str]:
    """What was to be seen and was not."""
    trained = [s for s in stages if s not in (planted.bad, planted.decaying)]
    wrong = []
    if not [s for s in trained if s in promoted and stages[s][0] == "kept"]:
        wrong.append("no set that was trained here was promoted by a verdict and kept")
    if asked.whole:
        refusal = stages.get(planted.bad or "", ("", ""))
        if refusal[0] != "refused" or "calibration/" not in refusal[1]:
            wrong.append(f"the bad set was not refused for its calibration, but {refusal[0]}: {refusal[1]}")
        if planted.decaying not in promoted or stages.get(planted.decaying or "", ("",))[0] != "rolled back":
            wrong.append("the set that decays was not promoted by a verdict and rolled back")
    if candles.missed:
        wrong.append(f"{candles.missed} candles were missed")
    return wrong


def _retraining(served: market.Served) -> dict[str, Any]:
    since = time.strftime("%Y-%m-%d", time.gmtime((served.start_ms - market.HISTORY * market.HOUR.ms) / 1_000))
    return {
        "spec": "retrain.yaml",
        "expiry_days": None,
        "on_drift": False,
        "history": {"folder": "history", "since": since, "source": "api"},
        "device": "cpu",
        "workers": 2,
        "timeout_s": 600,
        "attempts": 1,
    }


def _swapping() -> dict[str, Any]:
    """The defaults: twelve candles of shadow, 72 of watch, with the limits an operator has."""
    return {"gate": "gate.yaml"}
