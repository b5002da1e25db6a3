"""Events: everything that can happen to the daemon, as frozen values.

The shell turns frames, replies and operator requests into these; `Engine.step` consumes them one by one. Each is
journaled with the instant it arrived, so a journal replays. Money in integers: ticks, steps, 1e-8 cash.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from market.candles import Candle
from market.instruments import Instrument
from strategy.live_config import Rules
from strategy.plan import Outlook


class OrderStatus(StrEnum):
    """What the exchange says of an order or a conditional order, in one vocabulary."""

    ACCEPTED = "accepted"
    PARTIAL = "partially filled"
    FILLED = "filled"
    CANCELED = "canceled"
    REJECTED = "rejected"
    EXPIRED = "expired"
    TRIGGERING = "triggering"
    TRIGGERED = "triggered"
    ABSENT = "absent"
    """The exchange answered that it knows no such order."""


class Meaning(StrEnum):
    """What an exchange's refusal means to us, whatever its code."""

    OTHER = "other"
    DUPLICATE_ID = "an order with this client id exists already"
    NO_SUCH_ORDER = "no such order, or it is over"
    WOULD_TRIGGER = "the stop would trigger at once"
    NOTHING_TO_REDUCE = "there is no position to reduce"
    NO_MARGIN = "the margin is insufficient"
    ALREADY_SO = "the setting is as asked for already"
    CLOCK_SKEW = "the request's date is outside of the receive window"
    BAD_KEY = "the API key is not known, or may not do this"
    TOO_MANY_REQUESTS = "too many requests"


@dataclass(frozen=True, slots=True)
class CandleClosed:
    """A final candle of a subscribed timeframe, in order and without a hole before it where one could be filled.

    `live` is False where the stream brought no closing frame: the candle was fetched, nobody knows how long after.
    """

    symbol: str
    timeframe: str
    candle: Candle
    live: bool = True


@dataclass(frozen=True, slots=True)
class Opinion:
    """What inference said of one symbol: an outlook, or why there is none; `horizons` maps h to (p_long, p_short)."""

    symbol: str
    outlook: Outlook | None
    refusal: str = ""
    horizons: tuple[tuple[int, float, float], ...] = ()
    regime_probabilities: tuple[float, float, float] | None = None


@dataclass(frozen=True, slots=True)
class PredictionReady:
    """The answer to a `Predict` command, for every symbol asked about; `model_set` is the id that answered."""

    bar: int
    opinions: tuple[Opinion, ...]
    model_set: str


@dataclass(frozen=True, slots=True)
class Filled:
    """One execution on our account, ours or not; `trade_id` tells duplicates.

    `client_id` is the order's; a stop's market order carries the stop's own. `price` in ticks, `quantity` in steps,
    `fee` in cash units (positive: paid), `time` in the exchange's milliseconds. A fee paid in another coin leaves the
    wallet alone: it is `coin_fee`, in 1e-8 of `fee_asset`, which is empty for the quote currency. `asked` says that it
    was found by asking: the stream, which states the wallet before each execution, may not have told of it yet.
    """

    symbol: str
    client_id: str
    trade_id: int
    side: int
    price: int
    quantity: int
    fee: int
    time: int
    asked: bool = False
    fee_asset: str = ""
    coin_fee: int = 0


@dataclass(frozen=True, slots=True)
class OrderUpdated:
    """The state of a plain order; `filled` is cumulative, in steps. Its executions come as `Filled`."""

    symbol: str
    client_id: str
    status: OrderStatus
    filled: int = 0
    code: int = 0
    message: str = ""


@dataclass(frozen=True, slots=True)
class StopUpdated:
    """The state of a conditional order.

    `read_back` is True when it comes from asking the exchange rather than from its acknowledgement or stream.
    """

    symbol: str
    client_id: str
    status: OrderStatus
    side: int = 0
    trigger: int = 0
    quantity: int = 0
    read_back: bool = False
    code: int = 0
    message: str = ""


@dataclass(frozen=True, slots=True)
class PositionUpdated:
    """A position as the exchange states it: signed steps, the isolated margin in cash units."""

    symbol: str
    quantity: int
    margin: int
    cause: str


@dataclass(frozen=True, slots=True)
class BalanceUpdated:
    """The wallet as the exchange states it, in cash units, and by how much it moved and why.

    `cause` is the exchange's word (ORDER, FUNDING_FEE, DEPOSIT, WITHDRAW, …); `symbol` where it names one; `time` in
    the exchange's milliseconds, 0 if it is not known.
    """

    cash: int
    change: int
    cause: str
    symbol: str = ""
    time: int = 0


@dataclass(frozen=True, slots=True)
class FundingPaid:
    """A funding payment found by asking: `amount` in cash units (negative: received), `time` the exchange's, ms.

    Those since the open position's entry come before `Reconciled`, in the order of time with the missing `Filled`s;
    one that the stream told of already counts once.
    """

    symbol: str
    amount: int
    time: int


@dataclass(frozen=True, slots=True)
class Transferred:
    """A deposit (positive) or withdrawal in cash units, at the exchange's `time` (ms); told twice it counts once."""

    amount: int
    time: int


@dataclass(frozen=True, slots=True)
class CoinPriced:
    """What one unit of a coin that fees are paid in costs, in cash units."""

    coin: str
    price: int


@dataclass(frozen=True, slots=True)
class LeverageRead:
    """Leverage and margin mode of a symbol, read back from the exchange after setting them.

    `price` is the last one that a frame brought by then; None where none did yet.
    """

    symbol: str
    leverage: int
    isolated: bool
    price: float | None = None


@dataclass(frozen=True, slots=True)
class Unresolved:
    """An order command whose outcome is unknown: time-out, 5xx or a cut connection after it was sent."""

    symbol: str
    client_id: str
    message: str


@dataclass(frozen=True, slots=True)
class Failed:
    """A command that the exchange refused or that could not be sent; nothing happened at the exchange.

    `client_id` is empty for commands that are no orders, such as setting leverage; `code` is the exchange's own.
    """

    symbol: str
    command: str
    client_id: str
    code: int
    message: str
    meaning: Meaning = Meaning.OTHER


@dataclass(frozen=True, slots=True)
class RestingStop:
    """A conditional order found at the exchange: `trigger` in ticks, `quantity` in steps."""

    client_id: str
    side: int
    trigger: int
    quantity: int


@dataclass(frozen=True, slots=True)
class SymbolTruth:
    """A symbol as the exchange has it: position (signed steps; cost, margin in cash units) and what rests there.

    `orders` are the client ids of open plain orders, ours and others'.
    """

    symbol: str
    quantity: int
    cost: int
    margin: int
    leverage: int
    isolated: bool
    stops: tuple[RestingStop, ...]
    orders: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Reconciled:
    """The exchange's whole truth about the account, asked at start, after every private reconnect, and now and then.

    It is preceded by `Filled` events for every execution since the last one the journal knows, and by `FundingPaid`.
    `elsewhere` names symbols we do not trade in which the account holds a position. `asked_at` is when the asking began
    (ms, our clock), None where that is not known. `trouble` is a mode of the account that we do not trade, in words.
    """

    cash: int
    symbols: tuple[SymbolTruth, ...]
    elsewhere: tuple[str, ...] = ()
    asked_at: int | None = None
    trouble: str = ""


@dataclass(frozen=True, slots=True)
class InstrumentRead:
    """An instrument's terms as the exchange states them now, and whether it trades."""

    instrument: Instrument
    trading: bool = True


@dataclass(frozen=True, slots=True)
class StreamStale:
    """A stream gave nothing for longer than its deadline, or fell; `stream` is market, private or a symbol's."""

    stream: str
    reason: str


@dataclass(frozen=True, slots=True)
class StreamLive:
    """A stream delivers again."""

    stream: str


@dataclass(frozen=True, slots=True)
class GapSeen:
    """Candles that the stream did not bring, from `start` to `end` (ms, end exclusive); they are being asked for."""

    symbol: str
    timeframe: str
    start: int
    end: int


@dataclass(frozen=True, slots=True)
class GapClosed:
    """A gap is closed, and `how`: filled, or refused for good. One that was filled at once was not told as seen."""

    symbol: str
    timeframe: str
    start: int
    end: int
    how: str


@dataclass(frozen=True, slots=True)
class GapFound:
    """Candles that neither the stream nor backfill could give, from `start` to `end` (ms, end exclusive)."""

    symbol: str
    timeframe: str
    start: int
    end: int


class DriftLevel(StrEnum):
    """What is done about drift, each with all before it."""

    NONE = "none"
    SHRINK = "shrink"
    """Entries get a share of their size."""
    STOP = "stop"
    """No entries."""
    RETRAIN = "retrain"
    """Nor that, and a new set has been asked for."""

    @property
    def rank(self) -> int:
        """How grave it is, from 0."""
        return list(DriftLevel).index(self)

    @property
    def stops(self) -> bool:
        """Whether it allows no entry."""
        return self in (DriftLevel.STOP, DriftLevel.RETRAIN)


@dataclass(frozen=True, slots=True)
class DriftJudged:
    """What is done about drift from now on, and why; `size_bps` is the share (1e-4) of their size that entries get."""

    level: DriftLevel
    size_bps: int
    text: str
    model_set: str = ""


@dataclass(frozen=True, slots=True)
class ModelSetSwapped:
    """Another model set answers from the next candle on; it is told of before the next `PredictionReady`.

    `max_hold_bars` is its longest holding, for positions opened from now on; open ones keep the one they came with.
    `previous` is the set before, `cause` why it was swapped, in words.
    """

    model_set: str
    max_hold_bars: int
    previous: str
    cause: str


class Order(StrEnum):
    """What an operator can ask for."""

    PAUSE = "pause"
    """Reduce: no entries, positions are looked after."""
    RESUME = "resume"
    """Trade again, whatever restricted it."""
    FLATTEN = "flatten"
    """Halt: the kill switch."""
    LEAVE = "leave"
    """Close everything, and leave the trading state as it is: the daemon's own stop."""


@dataclass(frozen=True, slots=True)
class OperatorCommand:
    """A request by a person, or by the daemon as it stops."""

    order: Order
    who: str


@dataclass(frozen=True, slots=True)
class RulesChanged:
    """The configuration was read again: what holds from the next decision on, as in `Settings`; times in ms."""

    rules: Rules
    batch_ms: int
    answer_ms: int
    protect_ms: int
    reconcile_ms: int
    foreign: str
    who: str


@dataclass(frozen=True, slots=True)
class Tick:
    """Time passes; the shell sends one a few times a second so that deadlines run."""


Event = (
    CandleClosed
    | PredictionReady
    | Filled
    | OrderUpdated
    | StopUpdated
    | PositionUpdated
    | BalanceUpdated
    | FundingPaid
    | Transferred
    | CoinPriced
    | LeverageRead
    | Unresolved
    | Failed
    | Reconciled
    | InstrumentRead
    | StreamStale
    | StreamLive
    | GapSeen
    | GapClosed
    | GapFound
    | DriftJudged
    | ModelSetSwapped
    | OperatorCommand
    | RulesChanged
    | Tick
)
