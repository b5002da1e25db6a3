"""A journal told again: its events, to a fresh engine, must lead to the same rows, byte for byte."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from dataclasses import fields
from functools import cache
from pathlib import Path
from typing import Any

import sqlalchemy as sa
from pydantic import TypeAdapter

from daemon import events
from daemon.boot import settings
from daemon.config import load_config
from daemon.engine import Engine
from daemon.journal import FILE, Journal, schema
from daemon.journal.steps import Context, Step, write_step
from daemon.settings import Settings
from daemon.state import DaemonState
from market import catalogue
from market.candles import Candle
from models.inference import Predictor
from models.modelset import resolve
from strategy.live_config import load_rules

COMPARED = {
    "intents": "event_seq, kind, client_id, body",
    "decisions": "bar, at_ms, symbol, action, reason, detail, equity, model_set, refusal",
    "trades": "*",
    "settled": "bar, at_ms",
    "exposures": "symbol, since, until",
}
"""What commands leave in a journal."""
VALUES = [f.name for f in fields(Candle) if f.name != "open_time"]


def differences(config_file: Path) -> Iterator[str]:
    """Where a replay of a stopped daemon's journal, of one life, departs from what the journal holds; in words."""
    config = load_config(config_file)
    file = config.state_dir / FILE
    with sa.create_engine("sqlite://").connect() as again:
        schema.metadata.create_all(again)
        engine = Engine(_settings(config_file), DaemonState())
        with closing(sqlite3.connect(f"file:{file}?mode=ro", uri=True)) as db:
            for seq, at, kind, body in db.execute("SELECT seq, at_ms, kind, body FROM events ORDER BY seq"):
                event = event_of(kind, body)
                commands = engine.step(event, at)
                if not commands:
                    continue
                context = Context(engine.state.model_set, dict(engine.state.grids))
                write_step(again, Step(seq, at, event, tuple(commands)), context)
            for table, columns in COMPARED.items():
                query = f"SELECT {columns} FROM {table} ORDER BY rowid"
                then, now = db.execute(query).fetchall(), [tuple(r) for r in again.execute(sa.text(query))]
                wrong = next((pair for pair in zip(then, now, strict=False) if pair[0] != pair[1]), None)
                if wrong or len(then) != len(now):
                    yield f"{table}: {len(then)} rows and {len(now)}; the first that differ: {wrong}"
            (state,) = db.execute("SELECT body FROM state").fetchone()
    if json.loads(state) != json.loads(engine.state.dump()):
        yield f"the state: {state} and {engine.state.dump().decode()}"


def event_of(kind: str, body: str) -> events.Event:
    """An event as it was told."""
    values: dict[str, Any] = json.loads(body)
    if kind == "CandleClosed":  # NaN is written as null
        values["candle"] |= {name: float("nan") for name in VALUES if values["candle"][name] is None}
    told: events.Event = _reads(kind).validate_python(values)
    return told


@cache
def _reads(kind: str) -> TypeAdapter[Any]:
    return TypeAdapter(getattr(events, kind))


def _settings(config_file: Path) -> Settings:
    """The terms the daemon made its engine with."""
    config = load_config(config_file)
    predictor = Predictor.load(resolve(config.model_set, config.model_sets))
    journal = Journal(config.state_dir)
    journal.close()
    instruments = tuple(catalogue.instrument(symbol) for symbol in config.symbols)
    return settings(config, load_rules(config.rules), journal.deployment, instruments, predictor.max_hold_bars, set())
