"""What reading payloads has in common: decimal texts become integers, and what is unclear is refused."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from decimal import ROUND_HALF_EVEN, Decimal
from typing import Any, TypedDict

from daemon.events import OrderStatus
from market.candles import Candle
from market.fills import RATE
from market.instruments import CASH, INT64_MAX, MOST, Instrument, InstrumentError
from market.timeframes import Timeframe

Payload = Mapping[str, Any]
Instruments = Mapping[str, Instrument]


class UnreadablePayload(Exception):
    """The exchange sent something this program does not know how to read; the message names the field."""


UNREADABLE = (
    UnreadablePayload,
    InstrumentError,
    LookupError,
    TypeError,
    ValueError,
    ArithmeticError,
    AttributeError,
    RecursionError,
)
"""What reading a frame or a reply raises where a field is missing, of another kind, or no number."""


@dataclass(frozen=True, slots=True)
class KlineFrame:
    """One kline push: the candle as it stands, and whether the exchange says it is closed."""

    symbol: str
    timeframe: str
    closed: bool
    candle: Candle


def row(reply: object) -> Payload:
    """One object; an empty list or a text in its place says nothing."""
    if not isinstance(reply, Mapping):
        raise UnreadablePayload(f"an object was expected, not {reply!r:.80}")
    return reply


def rows(reply: object) -> list[Payload]:
    """A list of objects; an object in its place is no empty list."""
    return [row(each) for each in listed(reply)]


def listed(reply: object) -> list[Any]:
    """A list of anything."""
    if not isinstance(reply, list):
        raise UnreadablePayload(f"a list was expected, not {reply!r:.80}")
    return reply


def about(reply: object, field: str, name: str) -> Payload:
    """One object that carries the name it was asked by; an answer about something else is none."""
    found = row(reply)
    if found.get(field) != name:
        raise UnreadablePayload(f"asked about {name}, answered about {found.get(field)!r:.80}")
    return found


def word(value: object) -> str:
    """A text as it stands."""
    if not isinstance(value, str):
        raise UnreadablePayload(f"a text was expected, not {value!r:.80}")
    return value


def whole(value: object) -> int:
    """A whole number, as a number or a text, that fits 64 bits: an id or an instant."""
    if isinstance(value, bool) or not isinstance(value, int | str) or not str(value).isascii():
        raise UnreadablePayload(f"a whole number was expected, not {value!r:.80}")
    return bounded(int(value))


def bounded(value: int) -> int:
    """The number, if it fits 64 bits; none that matters is larger."""
    if abs(value) > INT64_MAX:
        raise UnreadablePayload(f"{str(value)[:40]} is beyond all bounds")
    return value


def yes(value: object) -> bool:
    """A truth value, as such or as text; anything else is neither yes nor no."""
    if value not in (True, False, "true", "false"):
        raise UnreadablePayload(f"yes or no was expected, not {value!r:.80}")
    return value in (True, "true")


def units(text: object) -> int:
    """An amount of quote currency in cash units; what is finer than 1e-8 is rounded."""
    return bounded(int((_decimal(text) * CASH).to_integral_value(ROUND_HALF_EVEN)))


def _decimal(text: object) -> Decimal:
    """An exact number of sane size, so that no arithmetic on it takes for ever."""
    exact = Decimal(str(text))
    if not str(text).isascii() or not exact.is_finite() or exact.adjusted() > _MOST_DIGITS:
        raise UnreadablePayload(f"{text!r:.80} is no amount")
    return exact


_MOST_DIGITS = 30


class Fee(TypedDict):
    """A fee as `Filled` tells it."""

    fee: int
    fee_asset: str
    coin_fee: int


def fee(instrument: Instrument, amount: object, asset: object) -> Fee:
    """A fee in the quote currency, or in another coin."""
    if asset in (None, "", instrument.quote):
        return Fee(fee=units(amount), fee_asset="", coin_fee=0)
    return Fee(fee=0, fee_asset=str(asset), coin_fee=units(amount))


def funding_rate(text: str) -> int:
    """A funding rate in 1e-8 of the notional; finer digits are rounded."""
    return bounded(int((_decimal(text) * RATE).to_integral_value(ROUND_HALF_EVEN)))


def signed_steps(instrument: Instrument, text: str) -> int:
    """A position amount, negative when short, in steps."""
    steps = instrument.steps(text.removeprefix("-"))
    return -steps if text.startswith("-") else steps


def cost(instrument: Instrument, price: str, quantity: int) -> int:
    """Cash units that `quantity` steps cost at an average price, which the exchange has rounded."""
    exact = _decimal(price) * abs(quantity) * instrument.step * CASH
    if quantity and exact <= 0:
        raise UnreadablePayload(f"{instrument.symbol}: a position that was entered at {price!r:.40}")
    return bounded(int(exact.to_integral_value(ROUND_HALF_EVEN)))


def countable(instrument: Instrument, price: object, quantity: int) -> None:
    """Refuse an amount (steps) that is worth more at this price than anybody holds, or than we could count."""
    if abs(quantity) and not 0 < units(price) * abs(quantity) * instrument.step <= MOST:
        raise UnreadablePayload(f"{instrument.symbol}: {quantity} steps at {price!r:.40} is beyond all bounds")


def span(start: object, end: object, timeframe: str) -> int:
    """The open time (ms) of a candle whose last millisecond is stated with it; both must belong to the timeframe."""
    ms, opened = Timeframe.parse(timeframe).ms, whole(start)
    if opened % ms or whole(end) != opened + ms - 1:
        raise UnreadablePayload(f"a candle of {timeframe} from {start!r} to {end!r}")
    return opened


def number(value: object) -> float:
    """A float; NaN for what the exchange does not know."""
    return float("nan") if value in (None, "") else float(str(value))


def grid(text: str) -> Decimal:
    """A grid size without trailing zeros and without an exponent."""
    size = Decimal(text).normalize()
    return size if size.as_tuple().exponent <= 0 else size.quantize(Decimal(1))  # type: ignore[operator]


def bps_up(ratio: object) -> int:
    """A maintenance rate in 1e-4, rounded up: liquidation is never thought farther than it is."""
    return bounded(int(-(-_decimal(ratio) * 10_000 // 1)))


def side(word: str, words: Mapping[str, int]) -> int:
    """+1 for buying, -1 for selling."""
    if word not in words:
        raise UnreadablePayload(f"side {word!r}")
    return words[word]


def known(table: Mapping[str, OrderStatus], word: str) -> OrderStatus:
    """The status a word stands for; one that is not known is not guessed."""
    if word not in table:
        raise UnreadablePayload(f"order status {word!r}")
    return table[word]
