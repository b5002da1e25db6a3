"""Steps as rows: what one turn of the loop took in and what it led to, in the journal's tables."""

from __future__ import annotations

from dataclasses import asdict, dataclass

import orjson
import sqlalchemy as sa
from sqlalchemy.dialects.sqlite import insert

from daemon.commands import (
    Alert,
    Approved,
    AskOrder,
    AskStop,
    Command,
    Predict,
    PriceCoin,
    Reconcile,
    RecordDecisions,
    RecordExposure,
    RecordTrade,
    Settled,
)
from daemon.events import (
    BalanceUpdated,
    Event,
    Filled,
    FundingPaid,
    GapClosed,
    GapFound,
    GapSeen,
    PredictionReady,
    Tick,
)
from daemon.journal import schema

HARMLESS = (Predict, AskOrder, AskStop, Reconcile, PriceCoin, Alert)
"""Commands that change nothing outside, so that their record may wait for the next write."""


@dataclass(frozen=True, slots=True)
class Step:
    """One turn of the loop; nothing in it changes afterwards, so that another thread may read it."""

    seq: int
    at: int
    event: Event
    commands: tuple[Command, ...]

    @property
    def idle(self) -> bool:
        """Whether nothing happened but time."""
        return isinstance(self.event, Tick) and not self.commands

    @property
    def weighty(self) -> bool:
        """Whether it touches the exchange or concludes something."""
        return isinstance(self.event, Filled) or any(not isinstance(c, HARMLESS) for c in self.commands)


@dataclass(frozen=True, slots=True)
class Ahead:
    """A protective command that went out before its step was durable, after so long a wait."""

    seq: int
    kind: str
    client_id: str
    waited_ms: int


def write_ahead(db: sa.Connection, ahead: Ahead) -> None:
    """The row of a command that did not wait."""
    row = {"event_seq": ahead.seq, "kind": ahead.kind, "client_id": ahead.client_id, "waited_ms": ahead.waited_ms}
    db.execute(schema.ahead.insert().values(row))


def write_state(db: sa.Connection, body: str) -> None:
    """The state behind the newest step."""
    row = insert(schema.state).values(id=1, body=body)
    db.execute(row.on_conflict_do_update(index_elements=["id"], set_={"body": body}))


@dataclass(frozen=True, slots=True)
class Context:
    """What was in force at a step: the model set, and the tick and step that each symbol's integers count."""

    model_set: str
    grids: dict[str, str]


def write_step(db: sa.Connection, step: Step, context: Context) -> None:
    """All rows of one step."""
    event, at = step.event, step.at
    db.execute(schema.events.insert().values(seq=step.seq, at_ms=at, kind=type(event).__name__, body=_json(event)))
    match event:
        case Filled():
            _write_fill(db, event, context.grids.get(event.symbol))
        case BalanceUpdated() if event.cause == schema.FUNDING:
            _write_funding(db, event.symbol, -event.change, event.time or at)
        case FundingPaid():
            _write_funding(db, event.symbol, event.amount, event.time or at)
        case GapSeen() | GapClosed() | GapFound():
            _write_gap(db, event, at)
    for command in step.commands:
        match command:
            case RecordDecisions():
                _write_decisions(db, command, event, at, context.model_set)
            case RecordTrade():
                grid = context.grids.get(command.trade.symbol)
                db.execute(schema.trades.insert().values(asdict(command.trade) | {"grid": grid}))
            case RecordExposure():
                db.execute(schema.exposures.insert().values(asdict(command)))
            case Settled():
                db.execute(insert(schema.settled).values(bar=command.bar, at_ms=at).on_conflict_do_nothing())
            case _:
                _write_intent(db, step.seq, command, context.model_set)


def _write_fill(db: sa.Connection, event: Filled, grid: str | None) -> None:
    told = asdict(event)
    row = {c.name: told[c.name] for c in schema.fills.c if c.name in told}
    db.execute(insert(schema.fills).values(row | {"grid": grid}).on_conflict_do_nothing())


def _write_funding(db: sa.Connection, symbol: str, amount: int, time: int) -> None:
    row = {"symbol": symbol, "hour": time // schema.HOUR_MS, "amount": amount, "time": time}
    db.execute(insert(schema.funding).values(row).on_conflict_do_nothing())


def _write_decisions(db: sa.Connection, command: RecordDecisions, event: Event, at: int, model_set: str) -> None:
    """Decisions, each with why inference refused its symbol, if it did."""
    told = event.opinions if isinstance(event, PredictionReady) else ()
    refusals = {opinion.symbol: opinion.refusal for opinion in told}
    for decision in command.decisions:
        row = asdict(decision) | {"bar": command.bar, "at_ms": at, "equity": command.equity, "model_set": model_set}
        db.execute(schema.decisions.insert().values(row | {"refusal": refusals.get(decision.symbol, "")}))


def _write_gap(db: sa.Connection, event: GapSeen | GapClosed | GapFound, at: int) -> None:
    """A gap's one row: opened when it is seen, closed when it was filled or given up."""
    how = None if isinstance(event, GapSeen) else event.how if isinstance(event, GapClosed) else schema.REFUSED
    told = {"end": event.end, "closed_ms": None if how is None else at, "how": how}
    row = {"symbol": event.symbol, "timeframe": event.timeframe, "start": event.start, "found_ms": at} | told
    keys = ["symbol", "timeframe", "start"]
    db.execute(insert(schema.gaps).values(row).on_conflict_do_update(index_elements=keys, set_=told))


def _write_intent(db: sa.Connection, seq: int, command: Command, model_set: str) -> None:
    approved = getattr(command, "approved", None)
    body = approved.order if isinstance(approved, Approved) else command
    client_id = getattr(body, "client_id", "")
    row = {"event_seq": seq, "kind": type(command).__name__, "client_id": client_id, "body": _json(body)}
    db.execute(schema.intents.insert().values(row | {"model_set": model_set}))


def _json(value: object) -> str:
    return orjson.dumps(value, default=str).decode()
