"""Commands: everything the engine can ask of the shell.

The engine only says what shall be done; the shell journals the intent durably, does it, and reports back by events.
An order that risk has not approved cannot be expressed: only `Approved[...]` is accepted, and only `approve` makes one.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Generic, TypeVar

from market.trades import Trade
from strategy.plan import AccountMemory, Decision

T = TypeVar("T")


class Purpose(StrEnum):
    """Why an order exists; part of its client id."""

    ENTRY = "entry"
    EXIT = "exit"
    STOP = "stop"
    RESCUE = "rescue"
    """Closing a position that could not be protected."""


@dataclass(frozen=True, slots=True)
class MarketOrder:
    """A market order: `side` +1 buys, -1 sells; `quantity` in steps; a reduce-only one can only close."""

    symbol: str
    client_id: str
    purpose: Purpose
    side: int
    quantity: int
    reduce_only: bool


@dataclass(frozen=True, slots=True)
class StopOrder:
    """Reduce-only STOP_MARKET: sells (`side` -1) or buys (+1) `quantity` steps once the trigger (ticks) is touched."""

    symbol: str
    client_id: str
    side: int
    quantity: int
    trigger: int


_SEAL = object()


class Approved(Generic[T]):
    """An order that passed the pre-trade checks; only `daemon.approval` holds the seal that makes one."""

    __slots__ = ("order",)

    def __init__(self, order: T, seal: object) -> None:
        if seal is not _SEAL:
            raise TypeError("only daemon.approval approves orders")
        self.order = order

    def __repr__(self) -> str:
        return f"Approved({self.order!r})"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Approved) and self.order == other.order

    def __hash__(self) -> int:
        return hash(self.order)


@dataclass(frozen=True, slots=True)
class Predict:
    """Ask the models about the candles of `bar` (open time, ms) for these symbols; answered by `PredictionReady`."""

    bar: int
    symbols: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class SetLeverage:
    """Set isolated margin and leverage while flat, then read both back: `LeverageRead`, or `Failed`."""

    symbol: str
    leverage: int


@dataclass(frozen=True, slots=True)
class Submit:
    """Send a market order: `OrderUpdated`, `Failed` or `Unresolved`; executions come as `Filled`."""

    approved: Approved[MarketOrder]


@dataclass(frozen=True, slots=True)
class PlaceStop:
    """Send a stop and read it back: `StopUpdated` with `read_back`, `Failed`, or `Unresolved`."""

    approved: Approved[StopOrder]


@dataclass(frozen=True, slots=True)
class CancelStop:
    """Cancel a resting stop: `StopUpdated` CANCELED, or ABSENT when the exchange no longer knows it."""

    symbol: str
    client_id: str


@dataclass(frozen=True, slots=True)
class AskOrder:
    """Ask what became of an order by client id: any missing `Filled`, then `OrderUpdated` (ABSENT if unknown)."""

    symbol: str
    client_id: str


@dataclass(frozen=True, slots=True)
class AskStop:
    """Ask what became of a stop by client id: any missing `Filled`, then `StopUpdated` with `read_back`."""

    symbol: str
    client_id: str


@dataclass(frozen=True, slots=True)
class Reconcile:
    """Ask the exchange for its whole truth: missing `Filled`s, then `Reconciled`."""

    reason: str


@dataclass(frozen=True, slots=True)
class PriceCoin:
    """Ask what a coin costs that fees were paid in: `CoinPriced`."""

    coin: str


@dataclass(frozen=True, slots=True)
class RecordDecisions:
    """Journal what was decided at the close of `bar`, and why; `equity` in cash units, `closes` (ticks) by symbol."""

    bar: int
    equity: int
    decisions: tuple[Decision, ...]
    closes: tuple[tuple[str, int], ...] = ()


@dataclass(frozen=True, slots=True)
class RecordTrade:
    """Journal a closed trade."""

    trade: Trade


@dataclass(frozen=True, slots=True)
class RecordExposure:
    """Journal that a position stood without a stop that was read back, from `since` to `until` (ms)."""

    symbol: str
    since: int
    until: int


@dataclass(frozen=True, slots=True)
class RecordState:
    """Journal the trading state that came into force, with what the account is remembered by."""

    account: AccountMemory


@dataclass(frozen=True, slots=True)
class Settled:
    """The candle of `bar` is settled: decided, every command acknowledged, every stop read back."""

    bar: int


@dataclass(frozen=True, slots=True)
class Alert:
    """Tell a person; `level` is info, warning or critical."""

    level: str
    text: str


Command = (
    Predict
    | SetLeverage
    | Submit
    | PlaceStop
    | CancelStop
    | AskOrder
    | AskStop
    | Reconcile
    | PriceCoin
    | RecordDecisions
    | RecordTrade
    | RecordExposure
    | RecordState
    | Settled
    | Alert
)
