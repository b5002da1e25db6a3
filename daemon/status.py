"""Status: what a daemon is doing, in plain values, for `python -m daemon status` and whoever looks on."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol

from daemon.alerts import Alerts
from daemon.config import DaemonConfig
from daemon.control import ControlServer
from daemon.engine import Engine
from daemon.inbox import Inbox
from daemon.inlet import Inlet
from daemon.journal import Journal
from daemon.outbox import Outbox
from daemon.recorder import Recorder
from daemon.state import Drifted
from market.instruments import cash_text
from market.timeframes import utc_text
from models.inference import Predictor
from strategy.live_config import Rules
from strategy.plan import FULL_SIZE, UNTIL_RESUMED, AccountMemory

if TYPE_CHECKING:
    from daemon.lifecycle.wiring import Lifecycle


class Observed(Protocol):
    """What is looked at of a daemon."""

    engine: Engine | None
    outbox: Outbox | None
    config: DaemonConfig
    rules: Rules
    tightened: tuple[str, ...]
    predictor: Predictor
    journal: Journal
    recorder: Recorder
    alerts: Alerts
    control: ControlServer
    inbox: Inbox
    inlet: Inlet
    lifecycle: Lifecycle | None
    loop_off: str

    @property
    def stopping(self) -> bool:
        """Whether it was told to stop."""


def status(daemon: Observed) -> dict[str, Any]:
    """Everything at once, amounts in decimal text and times in UTC."""
    engine, config = daemon.engine, daemon.config
    if engine is None:
        return {"phase": "waiting for the exchange", "model_set": daemon.predictor.id}
    state = engine.state
    return {
        "phase": "stopping" if daemon.stopping else "trading" if state.reconciled else "starting",
        "mode": str(config.mode),
        **_trading(state.memory),
        "rules": daemon.rules.name,
        "caps": config.phase_in_force and str(config.phase_in_force),
        "tightened": list(daemon.tightened),
        "model_set": daemon.predictor.id,
        **loop(daemon, engine),
        "loop_off": daemon.loop_off or None,
        "equity": cash_text(engine.equity),
        "cash": cash_text(state.cash),
        "settled": utc_text(state.settled_bar) if state.settled_bar >= 0 else None,
        "positions": [_position(engine, symbol) for symbol, desk in engine.desks.items() if desk.book.lot],
        "counts": state.as_dict()["counts"],
        "queues": queues(daemon),
        "alerts": [text for _, text in list(daemon.alerts.recent)[-5:]],
    }


def loop(daemon: Observed, engine: Engine) -> dict[str, Any]:
    """What the daemon does about its own models: drift, the swap and the retraining under way."""
    under_way = daemon.lifecycle.status() if daemon.lifecycle else {"swap": None}
    return {"drift": _drift(engine.state.drift, daemon), **under_way}


def queues(daemon: Observed) -> dict[str, int]:
    """What waits in each bounded queue now, and what became of what found one full."""
    outbox = daemon.outbox
    return {
        "inbox": len(daemon.inbox),
        "inbox_refused": daemon.inbox.refused,
        **daemon.inlet.queue.counts(),
        "journal": daemon.journal.waiting,
        "journal_ms": round(daemon.journal.taking_s * 1000),
        "held_commands": outbox.held if outbox else 0,
        "went_ahead": outbox.went_ahead if outbox else 0,
        "given_up": outbox.given_up if outbox else 0,
        "candles_unrecorded": daemon.recorder.lost,
        "clients_cut_off": daemon.control.cut_off,
        "alerts_grouped": daemon.alerts.grouped,
        "alerts_dropped": daemon.alerts.dropped,
    }


def _trading(memory: AccountMemory) -> dict[str, Any]:
    """The trading state, why, since when, and until when; None where an operator's `resume` ends it."""
    return {
        "state": str(memory.state),
        "reason": memory.reason and str(memory.reason),
        "since": utc_text(memory.since) if memory.since >= 0 else None,
        "until": utc_text(memory.until) if memory.until != UNTIL_RESUMED else None,
    }


def _drift(drift: Drifted, daemon: Observed) -> dict[str, Any]:
    """What is done about drift, the share of their size that entries get, and why; or why nobody looks."""
    monitor = None if daemon.lifecycle is None else daemon.lifecycle.monitor
    unwatched = daemon.loop_off or (monitor.unjudged if monitor else "the configuration has no section drift")
    return {
        "unwatched": unwatched or None,
        "level": str(drift.level),
        "size": drift.size_bps / FULL_SIZE,
        "accepted": drift.accepted,
        "text": drift.text,
        "since": utc_text(drift.since) if drift.since >= 0 else None,
    }


def _position(engine: Engine, symbol: str) -> dict[str, Any]:
    desk = engine.desks[symbol]
    lot, instrument = desk.book.lot, desk.instrument
    assert lot is not None
    return {
        "symbol": symbol,
        "side": "long" if lot.side > 0 else "short",
        "quantity": instrument.quantity_text(lot.quantity),
        "leverage": lot.leverage,
        "stop": instrument.price_text(lot.stop),
        "protected": desk.protected(),
        "since": utc_text(lot.entry_time),
    }
