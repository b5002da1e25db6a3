"""The life of an order: one literal table of legal transitions.

`ORDER` is for market orders, `STOP` for conditional ones. A pair that is not in the table is not believed: the order
becomes UNRESOLVED and the exchange is asked.
"""

from __future__ import annotations

from enum import StrEnum

from daemon.events import OrderStatus as Says


class State(StrEnum):
    """Where an order stands, as far as we know."""

    SENT = "sent"
    UNRESOLVED = "unresolved"
    RESTING = "resting"
    CONFIRMED = "confirmed"
    """A stop that was read back from the exchange."""
    TRIGGERED = "triggered"
    CANCELING = "canceling"
    FILLED = "filled"
    CANCELED = "canceled"
    REJECTED = "rejected"
    EXPIRED = "expired"
    ABSENT = "absent"


OVER = frozenset({State.FILLED, State.CANCELED, State.REJECTED, State.EXPIRED, State.ABSENT})
"""States in which an order can do nothing any more."""

_S = State

ORDER: dict[tuple[State, Says], State] = {
    (_S.SENT, Says.ACCEPTED): _S.RESTING,
    (_S.SENT, Says.PARTIAL): _S.RESTING,
    (_S.SENT, Says.FILLED): _S.FILLED,
    (_S.SENT, Says.REJECTED): _S.REJECTED,
    (_S.SENT, Says.EXPIRED): _S.EXPIRED,  # a market order that found no liquidity
    (_S.SENT, Says.CANCELED): _S.CANCELED,
    (_S.SENT, Says.ABSENT): _S.UNRESOLVED,  # asked for before it arrived
    (_S.RESTING, Says.ACCEPTED): _S.RESTING,  # the acknowledgement after the stream, or twice
    (_S.RESTING, Says.PARTIAL): _S.RESTING,
    (_S.RESTING, Says.FILLED): _S.FILLED,
    (_S.RESTING, Says.CANCELED): _S.CANCELED,
    (_S.RESTING, Says.EXPIRED): _S.EXPIRED,
    (_S.UNRESOLVED, Says.ACCEPTED): _S.RESTING,
    (_S.UNRESOLVED, Says.PARTIAL): _S.RESTING,
    (_S.UNRESOLVED, Says.FILLED): _S.FILLED,
    (_S.UNRESOLVED, Says.CANCELED): _S.CANCELED,
    (_S.UNRESOLVED, Says.REJECTED): _S.REJECTED,
    (_S.UNRESOLVED, Says.EXPIRED): _S.EXPIRED,
    (_S.UNRESOLVED, Says.ABSENT): _S.UNRESOLVED,  # no proof until the receive window has passed: see `absence_proven`
    (_S.FILLED, Says.ACCEPTED): _S.FILLED,  # the stream was faster than the acknowledgement
    (_S.FILLED, Says.PARTIAL): _S.FILLED,
    (_S.FILLED, Says.FILLED): _S.FILLED,
    (_S.CANCELED, Says.FILLED): _S.FILLED,  # cancel raced the fill, and the fill won
    (_S.EXPIRED, Says.FILLED): _S.FILLED,
}

STOP: dict[tuple[State, Says], State] = {
    (_S.SENT, Says.ACCEPTED): _S.RESTING,
    (_S.SENT, Says.TRIGGERING): _S.TRIGGERED,
    (_S.SENT, Says.TRIGGERED): _S.TRIGGERED,
    (_S.SENT, Says.FILLED): _S.FILLED,
    (_S.SENT, Says.CANCELED): _S.CANCELED,
    (_S.SENT, Says.EXPIRED): _S.EXPIRED,
    (_S.SENT, Says.REJECTED): _S.REJECTED,
    (_S.SENT, Says.ABSENT): _S.ABSENT,  # it may still arrive; another one beside it does no harm
    (_S.RESTING, Says.ACCEPTED): _S.RESTING,
    (_S.RESTING, Says.TRIGGERING): _S.TRIGGERED,
    (_S.RESTING, Says.TRIGGERED): _S.TRIGGERED,
    (_S.RESTING, Says.FILLED): _S.FILLED,
    (_S.RESTING, Says.CANCELED): _S.CANCELED,
    (_S.RESTING, Says.EXPIRED): _S.EXPIRED,
    (_S.RESTING, Says.REJECTED): _S.REJECTED,
    (_S.RESTING, Says.ABSENT): _S.ABSENT,
    (_S.CONFIRMED, Says.ACCEPTED): _S.CONFIRMED,
    (_S.CONFIRMED, Says.TRIGGERING): _S.TRIGGERED,
    (_S.CONFIRMED, Says.TRIGGERED): _S.TRIGGERED,
    (_S.CONFIRMED, Says.FILLED): _S.FILLED,
    (_S.CONFIRMED, Says.CANCELED): _S.CANCELED,  # by hand, or by the exchange when it liquidates
    (_S.CONFIRMED, Says.EXPIRED): _S.EXPIRED,
    (_S.CONFIRMED, Says.REJECTED): _S.REJECTED,  # triggered, then refused, and only the end was heard of
    (_S.CONFIRMED, Says.ABSENT): _S.ABSENT,
    (_S.UNRESOLVED, Says.ACCEPTED): _S.RESTING,
    (_S.UNRESOLVED, Says.TRIGGERING): _S.TRIGGERED,
    (_S.UNRESOLVED, Says.TRIGGERED): _S.TRIGGERED,
    (_S.UNRESOLVED, Says.FILLED): _S.FILLED,
    (_S.UNRESOLVED, Says.CANCELED): _S.CANCELED,
    (_S.UNRESOLVED, Says.EXPIRED): _S.EXPIRED,
    (_S.UNRESOLVED, Says.REJECTED): _S.REJECTED,
    (_S.UNRESOLVED, Says.ABSENT): _S.ABSENT,  # a second reduce-only stop does no harm, so no proof is waited for
    (_S.CANCELING, Says.ACCEPTED): _S.CANCELING,
    (_S.CANCELING, Says.CANCELED): _S.CANCELED,
    (_S.CANCELING, Says.ABSENT): _S.ABSENT,
    (_S.CANCELING, Says.TRIGGERING): _S.TRIGGERED,  # cancel races the trigger
    (_S.CANCELING, Says.TRIGGERED): _S.TRIGGERED,
    (_S.CANCELING, Says.FILLED): _S.FILLED,
    (_S.CANCELING, Says.EXPIRED): _S.EXPIRED,
    (_S.CANCELING, Says.REJECTED): _S.REJECTED,
    (_S.TRIGGERED, Says.TRIGGERING): _S.TRIGGERED,
    (_S.TRIGGERED, Says.TRIGGERED): _S.TRIGGERED,
    (_S.TRIGGERED, Says.FILLED): _S.FILLED,
    (_S.TRIGGERED, Says.REJECTED): _S.REJECTED,  # triggered, then refused: no margin
    (_S.TRIGGERED, Says.EXPIRED): _S.EXPIRED,
    (_S.TRIGGERED, Says.CANCELED): _S.CANCELED,
    (_S.TRIGGERED, Says.ACCEPTED): _S.TRIGGERED,  # an older acknowledgement
    (_S.FILLED, Says.TRIGGERING): _S.FILLED,
    (_S.FILLED, Says.TRIGGERED): _S.FILLED,
    (_S.FILLED, Says.FILLED): _S.FILLED,
    (_S.CANCELED, Says.CANCELED): _S.CANCELED,
    (_S.CANCELED, Says.ABSENT): _S.CANCELED,
    (_S.CANCELED, Says.FILLED): _S.FILLED,
    (_S.ABSENT, Says.ACCEPTED): _S.RESTING,  # it arrived after all: it rests, and must be cancelled or counted
    (_S.ABSENT, Says.TRIGGERING): _S.TRIGGERED,
    (_S.ABSENT, Says.TRIGGERED): _S.TRIGGERED,
    (_S.ABSENT, Says.FILLED): _S.FILLED,
}

RECEIVE_WINDOW_MS = 5_000
ABSENCE_MARGIN_MS = 3_000
"""How long an order may wait on this side before it leaves, and a little more."""


def absence_proven(sent_at_ms: int, asked_at_ms: int) -> bool:
    """Whether "no such order" is proof: only after the receive window, in which the request could still arrive."""
    return asked_at_ms - sent_at_ms > RECEIVE_WINDOW_MS + ABSENCE_MARGIN_MS


def after(table: dict[tuple[State, Says], State], state: State, says: Says) -> State:
    """The state after the exchange said something; UNRESOLVED if that cannot follow."""
    if (state, says) in table:
        return table[state, says]
    return state if state in OVER else State.UNRESOLVED
