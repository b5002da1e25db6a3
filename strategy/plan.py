"""The words in which the strategy is asked and answers: what is known at a candle's close, and what shall be done.

`decide.plan` turns a `Situation` into a `Plan`. Money is in integers (see `market.instruments`); probabilities are
float64 rounded to 1e-9 before they reach a threshold.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from market import trades
from market.instruments import Instrument

LOW, MID, HIGH = 0, 1, 2
"""Volatility regimes, as the regime classifier numbers them."""


class Reason(StrEnum):
    """Why a decision came out as it did; every closed candle leaves exactly one a symbol (two when it reverses)."""

    LONG_SIGNAL = "long signal"
    SHORT_SIGNAL = "short signal"
    HOLD = "position kept"
    NO_SIGNAL = "neither side passes its threshold"
    NO_EDGE = "one side passes but does not lead the other by the minimum edge"
    OPPOSITE_SIGNAL = "opposite signal"
    SIGNAL_GONE = "signal gone"
    TIME = "held for the longest time"
    TIGHTENED = "stop tightened by the regime"
    NO_PREDICTION = "no prediction"
    NO_REGIME = "regime not settled yet"
    SAME_CANDLE = "stopped in this candle"
    COOLDOWN = "cooling down after a stop"
    LOST_LIQUIDATION = "cooling down after a liquidation"
    TOO_SMALL = "below the smallest order"
    POSITION_CAP = "position cap reached"
    RESERVE = "reserve would be touched"
    RISK_CAP = "risk over all symbols would pass its cap"
    STOP_TOO_FAR = "stop not within half the way to liquidation"
    LATE = "too late for an entry"
    FOREIGN = "a position of somebody else is open"
    REMOVED = "the symbol was removed from the configuration"
    SUSPENDED = "the exchange does not trade the symbol"
    ACCOUNT_MODE = "the account is in a mode that is not traded"
    DEAF = "the account's stream is down"
    STALE = "market data is stale"
    # what a trading state is in force for
    PAUSED = "entries paused by the operator"
    FLATTENED = trades.FLATTENED
    DAILY_LOSS = "daily loss limit"
    WEEKLY_LOSS = "weekly loss limit"
    DRAWDOWN = "drawdown limit"
    LOSING_STREAK = "too many losing trades in a row"
    OTHER_DEPLOYMENT = "another deployment trades on this account"
    DRIFT = "drift beyond its limits"


class TradingState(StrEnum):
    """What the account may do; a state only ever gives way to a stricter one, to its own end, or to an operator."""

    ACTIVE = "active"
    REDUCING = "reducing"
    """No entries; positions are looked after, and leave by rule."""
    HALTED = "halted"
    """No entries, and every position is closed at market, until an operator's `resume`."""


STRICTNESS = {TradingState.ACTIVE: 0, TradingState.REDUCING: 1, TradingState.HALTED: 2}
FULL_SIZE = 10_000
"""Share of their usual size that entries get as long as nothing shrinks them, 1e-4."""
UNTIL_RESUMED = 0
"""End of a trading state that only an operator ends."""


@dataclass(frozen=True, slots=True)
class Outlook:
    """What the models say of one symbol: calibrated P(long profitable), P(short profitable), and the regime 0..2.

    Neither probability is one minus the other.
    """

    p_long: float
    p_short: float
    regime: int


@dataclass(frozen=True, slots=True)
class Memory:
    """What the strategy remembers of a symbol between candles; journaled, and empty at a backtest's start.

    Attributes
    ----------
    regime : int
        The regime in force, -1 before the first settles.
    candidate, seen : int
        A regime that was observed `seen` times in a row and is not in force yet.
    stopped_bar : int
        Open time (ms) of the decision candle in which the last stop or liquidation happened, -1 for never.
    liquidated : bool
        Whether that was a liquidation.
    """

    regime: int = -1
    candidate: int = -1
    seen: int = 0
    stopped_bar: int = -1
    liquidated: bool = False


@dataclass(frozen=True, slots=True)
class AccountMemory:
    """What the strategy remembers of the whole account between candles; journaled, and empty at a backtest's start.

    Amounts are in cash units and follow deposits and withdrawals (`halting.after_transfer`), so that those are neither
    profit nor loss.

    Attributes
    ----------
    state : TradingState
        The state in force.
    reason : Reason or None
        What it is in force for; None while active.
    since, until : int
        When it began (ms, -1 for never), and when it ends by itself; `UNTIL_RESUMED` where an operator must.
    day, week : int
        Start of the UTC day and of the ISO week that `day_start` and `week_start` belong to, ms; -1 before the first.
    day_start, week_start : int
        Equity as the day and the week began.
    peak : int
        Highest equity at a decision.
    equity : int
        Equity at the last decision.
    losses : int
        Trades in a row that lost money, the last ones.
    """

    state: TradingState = TradingState.ACTIVE
    reason: Reason | None = None
    since: int = -1
    until: int = UNTIL_RESUMED
    day: int = -1
    week: int = -1
    day_start: int = 0
    week_start: int = 0
    peak: int = 0
    equity: int = 0
    losses: int = 0

    def __post_init__(self) -> None:
        if (self.state is TradingState.ACTIVE) != (self.reason is None):
            raise ValueError(f"trading state {self.state} with reason {self.reason}")


@dataclass(frozen=True, slots=True)
class Holding:
    """An open position as the strategy sees it.

    Attributes
    ----------
    side : int
        +1 long, -1 short.
    quantity : int
        Steps, positive.
    cost : int
        Sum of fill price times quantity, cash units.
    margin : int
        Isolated margin set aside, cash units.
    entry_bar : int
        Open time (ms) of the decision candle in which the entry filled.
    stop : int
        Price of the resting stop, ticks.
    stop_bps : int
        Distance the stop was placed at, in 1e-4 of the average fill.
    max_hold_bars : int
        Longest holding of the model set that it was opened by, in candles; 0 where that is the present one's.
    """

    side: int
    quantity: int
    cost: int
    margin: int
    entry_bar: int
    stop: int
    stop_bps: int
    max_hold_bars: int = 0


@dataclass(frozen=True, slots=True)
class SymbolState:
    """One symbol at a candle's close; `close` in ticks; `outlook` None when there is no prediction.

    `barred` says why this symbol may not be entered, None if it may.
    """

    instrument: Instrument
    close: int
    outlook: Outlook | None
    holding: Holding | None
    memory: Memory
    barred: Reason | None = None


@dataclass(frozen=True, slots=True)
class Situation:
    """Everything known when the candle that opened at `bar` (ms) has closed; symbols in configuration order.

    `cash` is the wallet (cash units); `barred` says why no entry is allowed at this close, None if one is, the trading
    state in `account` apart. `size_bps` is the share (1e-4) of their usual size that entries get.
    """

    bar: int
    bar_ms: int
    cash: int
    symbols: tuple[SymbolState, ...]
    barred: Reason | None = None
    account: AccountMemory = AccountMemory()
    size_bps: int = FULL_SIZE


@dataclass(frozen=True, slots=True)
class Exit:
    """Close the whole position at market, reduce-only."""

    symbol: str
    side: int
    quantity: int
    reason: Reason


@dataclass(frozen=True, slots=True)
class Tighten:
    """Move the stop to `stop` (ticks), nearer than it is."""

    symbol: str
    stop: int
    stop_bps: int


@dataclass(frozen=True, slots=True)
class Enter:
    """Open a position at market; the stop goes in at `stop_bps` from the average fill.

    `max_hold_bars` is the longest holding of the model set that wants it, which the position keeps.
    """

    symbol: str
    side: int
    quantity: int
    leverage: int
    stop_bps: int
    reason: Reason
    max_hold_bars: int = 0


Action = Exit | Tighten | Enter


@dataclass(frozen=True, slots=True)
class Decision:
    """What was decided for a symbol and why; `detail` holds the numbers in words. Journaled for every candle."""

    symbol: str
    action: str
    reason: Reason
    detail: str


@dataclass(frozen=True, slots=True)
class Plan:
    """The answer: actions in the order to be done (exits, tightenings, entries), decisions, and the new memories.

    `memories` are the symbols', `account` the whole account's.
    """

    equity: int
    actions: tuple[Action, ...]
    decisions: tuple[Decision, ...]
    memories: tuple[Memory, ...]
    account: AccountMemory
