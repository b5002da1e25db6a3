"""The verdict: whether daemon and exchange agree after a scenario, and what it has cost."""

from __future__ import annotations

import json
import time
from collections import Counter
from dataclasses import dataclass, field
from typing import Any

from daemon.identity import PROGRAM
from market.instruments import cash
from tests.faults.scenario import Scenario
from tests.faults.stage import SYMBOL, Host, NotSurvived, Stage, until
from tests.local_exchange import PATIENCE
from tests.models.small_sets import HOUR

MOST_NAKED_S = 1.0
REST_S = 20.0
OHLCV = ("open", "high", "low", "close", "volume")


@dataclass
class Outcome:
    """What became of one scenario.

    `naked_s` counts while process and exchange answer, `naked_all_s` in all, `naked_own_s` is the daemon's own figure,
    `down_s` how long the daemon was away.
    """

    scenario: Scenario
    problems: list[str] = field(default_factory=list)
    naked_s: float = 0.0
    naked_all_s: float = 0.0
    naked_own_s: float = 0.0
    down_s: float = 0.0
    duplicates: int = 0
    missed: int = 0
    took_s: float = 0.0

    @property
    def survived(self) -> bool:
        return not self.problems


def play(stage: Stage, scenario: Scenario) -> Outcome:
    """Do a scenario's acts and judge what is left."""
    outcome, began = Outcome(scenario), time.monotonic()
    try:
        for act in scenario.acts:
            act(stage)
        _all_struck(stage)
        stage.exchange.disarm()
        if not scenario.ends:
            until(lambda: not _disagreements(stage), lambda: "daemon and exchange agreeing", REST_S)
    except NotSurvived as error:
        outcome.problems.append(str(error))
    stage.exchange.disarm()
    outcome.problems += _disagreements(stage) if not scenario.ends else _left_behind(stage)
    _measure(stage, outcome)
    outcome.took_s = time.monotonic() - began
    return outcome


def _all_struck(stage: Stage) -> None:
    idle = [t["name"] for t in stage.exchange.faults()["faults"] if not t["hits"] and "need not" not in t["name"]]
    if idle:
        raise NotSurvived(f"these faults never struck, so nothing was proven: {', '.join(idle)}")


def _disagreements(stage: Stage) -> list[str]:
    """What the daemon and the exchange see differently."""
    host, state = stage.host, stage.exchange.state()
    if host.over():
        return [f"the daemon has ended; its log ends:\n{host.tail()}"]
    said = host.status()
    found = _left_behind(stage)
    ours = {p["symbol"]: (p["quantity"] if p["side"] == "long" else f"-{p['quantity']}") for p in said["positions"]}
    theirs = {symbol: position["quantity"] for symbol, position in state["positions"].items()}
    if ours != theirs:
        found.append(f"positions: the daemon says {ours}, the exchange {theirs}")
    if cash(said["cash"]) != cash(state["cash"]):
        found.append(f"cash: the daemon says {said['cash']}, the exchange {state['cash']}")
    if cash(said["equity"]) != (equity := _equity(stage, state)):
        found.append(f"equity: the daemon says {said['equity']}, the exchange's books give {equity / 1e8}")
    if host.settled() < stage.last_closed():
        found.append(f"the candle of {stage.last_closed()} is not settled; the log ends:\n{host.tail()}")
    if "ended in an error" in host.log():
        found.append("an exception was not dealt with: " + _line_with("ended in an error", host))
    return found


def _left_behind(stage: Stage) -> list[str]:
    """What is wrong at the exchange by its own books: exactly one right stop a position, and none without."""
    state, found = stage.exchange.state(), []
    held = {symbol: position["quantity"] for symbol, position in state["positions"].items()}
    for symbol in held.keys() | {stop["symbol"] for stop in state["stops"]}:
        stops = [stop for stop in state["stops"] if stop["symbol"] == symbol]
        quantity = held.get(symbol, "")
        right = [("SELL" if quantity[0] != "-" else "BUY", quantity.lstrip("-"))] if quantity else []
        if [(stop["side"], stop["quantity"]) for stop in stops] != right:
            found.append(f"{symbol}: position {quantity or 'none'}, stops {stops}")
    if cash(state["imbalance"]):
        found.append(f"the exchange's books do not balance: {state['imbalance']}")
    return found


def _equity(stage: Stage, state: dict[str, Any]) -> int:
    """Cash and open profit at the last closing prices, by the exchange's books."""
    total = cash(state["cash"])
    for symbol, position in state["positions"].items():
        (last,) = [row for row in _klines(stage, symbol) if row[0] == stage.last_closed()]
        units = cash(position["quantity"]) * cash(last[4]) // 10**8
        total += units - cash(position["cost"]) * (1 if units > 0 else -1)
    return total


def _klines(stage: Stage, symbol: str) -> list[list[Any]]:
    rows: list[list[Any]] = stage.exchange.ask("GET", "/fapi/v1/klines", symbol=symbol, interval="1h", limit=200)
    return rows


def _measure(stage: Stage, outcome: Outcome) -> None:
    host = stage.host
    outcome.naked_all_s, outcome.naked_s = _naked(stage)
    outcome.naked_own_s = max((row[0] for row in host.rows("SELECT until - since FROM exposures")), default=0) / 1000
    outcome.down_s = max((up - down for down, up in host.downs), default=0.0)
    outcome.duplicates = _duplicates(stage)
    outcome.missed = _missed(stage)
    if not outcome.scenario.apart and outcome.naked_s > MOST_NAKED_S * PATIENCE:
        outcome.problems.append(f"{outcome.naked_s:.2f} s naked while process and exchange answered")
    if outcome.duplicates:
        outcome.problems.append(f"{outcome.duplicates} entries doubled")
    if outcome.missed != outcome.scenario.forced:
        outcome.problems.append(f"{outcome.missed} candles missed, {outcome.scenario.forced} were lost to everybody")
    if not outcome.scenario.told_wrong and (wrong := _misread(stage)):
        outcome.problems.append(f"decided on candles that were not the exchange's final ones: {wrong}")


def _naked(stage: Stage) -> tuple[float, float]:
    """The longest time without the right stop, by the exchange's books: in all, and less what the daemon was away."""
    exposure, now = stage.exchange.state()["exposure"], time.monotonic()
    spans = [(since, until_) for _, since, until_ in exposure["spans"]]
    spans += [(since, now) for since in exposure["naked_now"].values()]
    downs = [down for host in stage.hosts.values() for down in host.downs]
    lengths = [(end - begin, end - begin - _overlap((begin, end), downs)) for begin, end in spans]
    return max((a for a, _ in lengths), default=0.0), max((b for _, b in lengths), default=0.0)


def _overlap(span: tuple[float, float], others: list[tuple[float, float]]) -> float:
    return sum(max(0.0, min(span[1], end) - max(span[0], begin)) for begin, end in others)


def _duplicates(stage: Stage) -> int:
    """Entries of ours beyond the first of a symbol between two candles, by the exchange's books."""
    orders = stage.exchange.ask("GET", "/fapi/v1/allOrders", symbol=SYMBOL, limit=500)
    entries = Counter(
        row["time"]
        for row in orders
        if row["clientOrderId"].startswith(PROGRAM) and not row["reduceOnly"] and float(row["executedQty"]) > 0
    )
    return sum(count - 1 for count in entries.values())


def _missed(stage: Stage) -> int:
    """Candles between the first decided and the last that nobody decided on or refused, and holes on record."""
    host = stage.host
    bars = {row[0] for row in host.rows("SELECT DISTINCT bar FROM decisions")}
    if not bars:
        return 0
    last = max(bars) if stage.host.over() else stage.last_closed()
    absent = set(range(min(bars), last + 1, HOUR.ms)) - bars
    holes = host.rows("SELECT json_extract(body, '$.end') - json_extract(body, '$.start') FROM events"
                      " WHERE kind = 'GapFound'")  # fmt: skip
    return len(absent) + sum(row[0] // HOUR.ms for row in holes)


def _misread(stage: Stage) -> list[int]:
    """Candles that were decided on with other values than REST gives for them now."""
    final = {row[0]: [float(value) for value in row[1:6]] for row in _klines(stage, SYMBOL)}
    told = stage.host.rows("SELECT json_extract(body, '$.candle') FROM events WHERE kind = 'CandleClosed'")
    candles = [json.loads(row[0]) for row in told]
    return [c["open_time"] for c in candles if [c[name] for name in OHLCV] != final.get(c["open_time"])]


def _line_with(text: str, host: Host) -> str:
    return next(line for line in host.log().splitlines() if text in line)[:600]
