"""What the daemon remembers: plain values that a snapshot writes and a restart reads back.

Everything the engine knows lives here and nowhere else. Money in integers: ticks, steps, 1e-8 cash; times in ms.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from pydantic import TypeAdapter
from pydantic_core import from_json

from daemon.commands import Purpose
from daemon.events import DriftLevel, Filled, FundingPaid, Opinion
from daemon.orders import OVER, State
from strategy.plan import FULL_SIZE, AccountMemory, Action, Memory, Reason, TradingState


@dataclass(slots=True)
class Lot:
    """An open position, counted from its own executions.

    `quantity` and `cost` are what is open, `closed` and `exit_notional` what was closed already, `notional` and
    `opened` what was ever opened. `stop` is the trigger (ticks) wanted now, `stop_bps` its distance. `fees` and
    `funding` are what it has cost so far, `coin_fees` what fees paid in another coin were worth, `margin` what the
    exchange holds for it. `payments` tells funding that is told twice: the hour (since 1970) and the amount of each.
    `stop_tries` counts the stops placed since one was last confirmed. `max_hold_bars` is the longest holding of the
    model set that wanted it, whatever set answers now; 0 where no set did.
    """

    side: int
    quantity: int
    cost: int
    opened: int
    notional: int
    entry_time: int
    entry_bar: int
    leverage: int
    stop_bps: int
    stop: int = 0
    fees: int = 0
    coin_fees: int = 0
    funding: int = 0
    margin: int = 0
    realized: int = 0
    closed: int = 0
    exit_notional: int = 0
    stop_tries: int = 0
    payments: list[tuple[int, int]] = field(default_factory=list)
    max_hold_bars: int = 0


@dataclass(slots=True)
class Stop:
    """A conditional order of ours; `since` is when its state last changed, or the exchange was last asked about it.

    `placed` is when it was sent or first found, `asked` how often it was asked for in this state, `seen` when the
    exchange last said that it rests, `missing` whether it has denied that since.
    """

    client_id: str
    side: int
    trigger: int
    quantity: int
    state: State
    since: int
    placed: int = 0
    asked: int = 0
    seen: int = 0
    missing: bool = False

    @property
    def over(self) -> bool:
        return self.state in OVER


@dataclass(slots=True)
class Working:
    """The one market order of a symbol that is under way.

    `filled` is what the exchange says was filled, `executed` what arrived as executions; it is done when they agree.
    The exchange may fill less than `quantity` of a reduce-only order and call it filled.
    """

    client_id: str
    purpose: Purpose
    side: int
    quantity: int
    reason: str
    state: State
    sent_at: int
    asked_at: int
    leverage: int = 0
    stop_bps: int = 0
    filled: int = 0
    executed: int = 0
    asked: int = 0
    max_hold_bars: int = 0

    @property
    def done(self) -> bool:
        return self.state in OVER and self.executed >= max(self.filled, self.state is State.FILLED)


@dataclass(slots=True)
class Book:
    """One symbol: what the strategy remembers, the position, its order and stops, and what is being done about it.

    `goal` is the action under way, decided at the candle `goal_bar`; `urgent` is the reason to close at once whatever
    the strategy says, empty for none. `naked_since` is when the position last became unprotected, 0 while it is not,
    and `tended_since` since when that could be mended: the same, or the first truth of this life.
    `doubted` is a position (signed steps) that the exchange stated once, at `doubted_at`, and that no execution
    explains. `attempts`
    counts stops and closing orders, over all positions: two of them may begin in the same candle. `stated` and
    `executed` are the exchange's times of the last statement of the wallet that an execution caused and of the last
    execution, each with how many there were at that instant; `adopted` says that the position was taken over as stated:
    an execution that comes afterwards may be part of it already. `foreign` is somebody else's position (signed steps)
    that is left alone. `price` is the last one known when leverage was read, in ticks. `retry_at` and `stop_retry_at`
    are before when no further closing order and no further stop is sent after one was refused. `trades_seen` are the
    ids of executions that were counted, the last `trades_told` of them since the last truth.
    """

    memory: Memory = field(default_factory=Memory)
    lot: Lot | None = None
    order: Working | None = None
    stops: dict[str, Stop] = field(default_factory=dict)
    goal: Action | None = None
    goal_bar: int = -1
    leverage: int = 0
    isolated: bool = False
    price: int | None = None
    leverage_asked_at: int = 0
    margin: int = 0
    retry_at: int = 0
    stop_retry_at: int = 0
    naked_since: int = 0
    tended_since: int = 0
    urgent: str = ""
    doubted: int | None = None
    doubted_at: int = 0
    attempts: int = 0
    stated: tuple[int, int] = (0, 0)
    executed: tuple[int, int] = (0, 0)
    adopted: bool = False
    foreign: int = 0
    strangers: list[str] = field(default_factory=list)
    trades_seen: list[int] = field(default_factory=list)
    trades_told: int = 0


@dataclass(slots=True)
class Counts:
    """Totals since the state directory was made."""

    candles: int = 0
    decisions: int = 0
    missed_candles: int = 0
    orders: int = 0
    trades: int = 0
    naked_max_ms: int = 0


@dataclass(slots=True)
class Sent:
    """When (ms) the newest entries and the newest orders of all kinds were sent, as many as the rules ask about."""

    entries: list[int] = field(default_factory=list)
    orders: list[int] = field(default_factory=list)


@dataclass(slots=True)
class Arrivals:
    """The (symbol, timeframe) pairs whose candle ended at one instant, when that is decided without the missing ones,
    each symbol's closing price in ticks, and whether all came by the stream (`live`), not by backfill."""

    deadline: int
    live: bool = True
    pairs: set[tuple[str, str]] = field(default_factory=set)
    closes: dict[str, int] = field(default_factory=dict)


@dataclass(slots=True)
class Drifted:
    """What is done about drift, why, of which set, since when (ms, -1 for never).

    `accepted` says that an operator resumed while entries were stopped for it: they stay allowed at this level.
    """

    level: DriftLevel = DriftLevel.NONE
    size_bps: int = FULL_SIZE
    text: str = ""
    model_set: str = ""
    since: int = -1
    accepted: bool = False

    @property
    def stops(self) -> bool:
        """Whether no entry is allowed."""
        return self.level.stops and not self.accepted


@dataclass(slots=True)
class DaemonState:
    """The whole state of an engine.

    `cash` is the wallet as last stated, `unstated` what executions and funding found by asking have moved it by since.
    `held` are executions and funding that arrived before the first truth of this life: older ones may follow.
    `truth_at` is when the exchange's whole truth was last taken or asked for, `heard_at` the exchange's newest time
    that is known of the wallet, `known_until` what that was at the last truth. `transfers` are the last deposits and
    withdrawals with their times, `coins` prices (cash units) of coins that fees are paid in, and `unpriced` fees
    (symbol, coin, 1e-8 of it) of positions still open that wait for one.
    `suspended` are symbols that the exchange does not trade now, `elsewhere` those that are not ours and in which the
    account holds a position, `trouble` says which of the account's modes is none that can be traded. `memory` is what
    the strategy remembers of the whole account, the trading state in it.
    `deaf` is whether the private stream is down, `blind` whether market data is stale; `sent` is what was sent lately,
    `grids` are the tick and step that each symbol's integers count, and `drift` is what is done about that.
    `deciding` is the decision candle (open time) under way or -1, since `began_at`; `actions` what is left to do of its
    plan and `pursuing` the symbol whose action is under way. `waiting` maps a close time to what arrived for it.
    `model_set` is the set that the last decision asked, `serving` the one that the next will, and `max_hold_bars` the
    longest holding of that.
    `closes` holds each symbol's last decision candle (open time) and its close in ticks, `opinions` what inference last
    said.
    """

    cash: int = 0
    unstated: int = 0
    held: list[Filled | FundingPaid] = field(default_factory=list)
    reconciled: bool = False
    truth_at: int = 0
    heard_at: int = 0
    known_until: int = 0
    transfers: list[tuple[int, int]] = field(default_factory=list)
    coins: dict[str, int] = field(default_factory=dict)
    unpriced: list[tuple[str, str, int]] = field(default_factory=list)
    suspended: set[str] = field(default_factory=set)
    elsewhere: tuple[str, ...] = ()
    trouble: str = ""
    memory: AccountMemory = field(default_factory=AccountMemory)
    deaf: bool = False
    blind: bool = False
    sent: Sent = field(default_factory=Sent)
    grids: dict[str, str] = field(default_factory=dict)
    drift: Drifted = field(default_factory=Drifted)
    model_set: str = ""
    serving: str = ""
    max_hold_bars: int = 0
    books: dict[str, Book] = field(default_factory=dict)
    deciding: int = -1
    began_at: int = 0
    predicting: bool = False
    actions: list[Action] = field(default_factory=list)
    pursuing: str = ""
    settled_bar: int = -1
    waiting: dict[int, Arrivals] = field(default_factory=dict)
    closes: dict[str, tuple[int, int]] = field(default_factory=dict)
    opinions: dict[str, Opinion] = field(default_factory=dict)
    counts: Counts = field(default_factory=Counts)

    @property
    def attended(self) -> set[str]:
        """Symbols in which something is open or under way."""
        return {s for s, b in self.books.items() if b.lot or b.order or any(not stop.over for stop in b.stops.values())}

    def decided_until(self, decision_ms: int) -> int:
        """When the last candle closed that a former life has decided (ms), -1 for none.

        To be asked before an engine takes the state up, which forgets a candle that was not decided yet.
        """
        under_way = self.deciding - decision_ms * self.predicting if self.deciding >= 0 else -1
        last = max(self.settled_bar, under_way)
        return last + decision_ms if last >= 0 else -1

    def dump(self) -> bytes:
        """The state as JSON."""
        return _ADAPTER.dump_json(self)

    @classmethod
    def load(cls, text: bytes | str) -> DaemonState:
        """The state from JSON, of an earlier version too; raises pydantic.ValidationError if it is not one."""
        state = _ADAPTER.validate_json(text)
        if from_json(text).get("paused"):  # before there were trading states
            state.memory = AccountMemory(state=TradingState.REDUCING, reason=Reason.PAUSED)
        return state

    def as_dict(self) -> dict[str, Any]:
        """The state as plain values, for showing."""
        values = _ADAPTER.dump_python(self, mode="json")
        assert isinstance(values, dict)
        return values


_ADAPTER: TypeAdapter[DaemonState] = TypeAdapter(DaemonState)
