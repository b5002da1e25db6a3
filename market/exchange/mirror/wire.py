"""What a Binance USDT-M exchange says, read strictly: frames and rows become ticks, or are refused.

Payloads as in the exchange's documentation: Kline, Mark Price and Book Ticker Streams, Exchange Information.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from decimal import ROUND_HALF_EVEN, Decimal, InvalidOperation
from typing import Any, TypeVar

from market.exchange.feed import Kline
from market.fills import RATE
from market.instruments import CASH, Instrument, InstrumentError
from market.tiers import Brackets
from market.timeframes import Timeframe, TimeframeError

T = TypeVar("T")
Payload = Mapping[str, Any]
Instruments = Mapping[str, Instrument]


class Unreadable(Exception):
    """A payload that is not what the exchange documents; the message says what is wrong."""


@dataclass(frozen=True, slots=True)
class Mark:
    """Mark and index of a symbol in ticks, the funding rate (1e-8) and when it falls due."""

    symbol: str
    price: int
    index: int
    rate: int
    next_time: int
    time: int


@dataclass(frozen=True, slots=True)
class Quote:
    """Best bid and ask of a symbol, in ticks."""

    symbol: str
    bid: int
    ask: int
    time: int


@dataclass(frozen=True, slots=True)
class Funded:
    """A funding instant that has passed: its rate (1e-8), and the mark (ticks) where the exchange told it."""

    symbol: str
    time: int
    rate: int
    mark: int | None


@dataclass(frozen=True, slots=True)
class Heard:
    """A kline, when the exchange told of it (ms), and whether it came as it happened rather than afterwards."""

    kline: Kline
    time: int
    live: bool


def frame(message: Any, instruments: Instruments) -> Heard | Mark | Quote | None:
    """One frame of a public stream; None if it is of another kind, or of a symbol that is not ours.

    Raises
    ------
    Unreadable
        If it is of our kinds and lacks a field, or holds what is no price.
    """
    payload = message.get("data", message) if isinstance(message, Mapping) else None
    if not isinstance(payload, Mapping):
        return None
    instrument = instruments.get(str(payload.get("s")))
    if instrument is None:
        return None
    try:
        match payload.get("e"):
            case "kline":
                return _kline(instrument, payload)
            case "markPriceUpdate":
                return _mark(instrument, payload, "E", "p", "i", "r", "T")
            case "bookTicker":
                return _quote(instrument, payload, "T" if "T" in payload else "E", "b", "a")
    except (KeyError, TypeError, ValueError, ArithmeticError) as error:
        raise Unreadable(f"{payload.get('e')} of {instrument.symbol}: {error!r}") from error
    return None


def kline_row(instrument: Instrument, timeframe: Timeframe, row: Sequence[Any]) -> Kline:
    """A row of the klines endpoint; it does not say whether the kline is closed, so it is taken as forming."""
    try:
        prices = [_ticks(instrument, row[i]) for i in (1, 2, 3, 4)]
        volumes = [_amount(row[i]) for i in (5, 7, 8, 9, 10)]
        start = int(row[0])
    except (IndexError, TypeError, ValueError, ArithmeticError) as error:
        raise Unreadable(f"kline row of {instrument.symbol}: {error!r}") from error
    return Kline(instrument.symbol, timeframe, False, start, *prices, *volumes)


def premium(instrument: Instrument, row: Payload) -> Mark:
    """A reply of the premium index."""
    return _read(instrument, lambda: _mark(instrument, row, "time", "markPrice", "indexPrice", *_NEXT))


def book(instrument: Instrument, row: Payload) -> Quote:
    """A reply of the book ticker."""
    return _read(instrument, lambda: _quote(instrument, row, "time", "bidPrice", "askPrice"))


def funding_row(instrument: Instrument, row: Payload) -> Funded:
    """A row of the funding rate history; its instant is taken to the minute, as exchanges stamp it late."""

    def read() -> Funded:
        time, mark = int(row["fundingTime"]), row.get("markPrice")
        known = _ticks(instrument, mark) if mark not in (None, "") else None
        return Funded(instrument.symbol, time - time % 60_000, _rate(row["fundingRate"]), known)

    return _read(instrument, read)


def listed(row: Payload, brackets: Brackets, hours: int) -> Instrument:
    """The instrument of a row of exchangeInfo, with brackets and funding hours from elsewhere.

    Raises
    ------
    Unreadable
        If a filter is missing, or the grid is one this program cannot count exactly.
    """
    try:
        filters = {f["filterType"]: f for f in row["filters"]}
        lots = [filters[name] for name in ("LOT_SIZE", "MARKET_LOT_SIZE") if name in filters]
        step = max(_grid(lot["stepSize"]) for lot in lots)
        smallest = max(Decimal(lot["minQty"]) for lot in lots)
        least = Decimal(filters["MIN_NOTIONAL"]["notional"]) if "MIN_NOTIONAL" in filters else Decimal(0)
        return Instrument(
            symbol=row["symbol"],
            base=row["baseAsset"],
            quote=row["quoteAsset"],
            tick=_grid(filters["PRICE_FILTER"]["tickSize"]),
            step=step,
            min_quantity=int(-(-smallest // step)),
            min_notional=int(least * CASH),
            brackets=brackets,
            funding_hours=hours,
        )
    except (KeyError, TypeError, ValueError, InstrumentError, InvalidOperation) as error:
        raise Unreadable(f"exchangeInfo of {row.get('symbol')}: {error!r}") from error


_NEXT = ("lastFundingRate", "nextFundingTime")


def _read(instrument: Instrument, read: Callable[[], T]) -> T:
    try:
        return read()
    except (KeyError, TypeError, ValueError, ArithmeticError, AttributeError) as error:
        raise Unreadable(f"reply about {instrument.symbol}: {error!r}") from error


def _kline(instrument: Instrument, payload: Payload) -> Heard:
    k = payload["k"]
    try:
        timeframe = Timeframe.parse(str(k["i"]))
    except TimeframeError as error:
        raise ValueError(str(error)) from error
    prices = [_ticks(instrument, k[name]) for name in "ohlc"]
    volumes = [_amount(k[name]) for name in "vqnVQ"]
    kline = Kline(instrument.symbol, timeframe, k["x"] is True, int(k["t"]), *prices, *volumes)
    return Heard(kline, int(payload["E"]), live=True)


def _mark(instrument: Instrument, row: Payload, time: str, mark: str, index: str, rate: str, due: str) -> Mark:
    return Mark(
        instrument.symbol,
        _ticks(instrument, row[mark]),
        _ticks(instrument, row[index]),
        _rate(row[rate]),
        int(row[due]),
        int(row[time]),
    )


def _quote(instrument: Instrument, row: Payload, time: str, bid: str, ask: str) -> Quote:
    best = Quote(instrument.symbol, _ticks(instrument, row[bid]), _ticks(instrument, row[ask]), int(row[time]))
    if best.bid > best.ask:
        raise ValueError(f"bid {row[bid]} above ask {row[ask]}")
    return best


def _ticks(instrument: Instrument, text: Any) -> int:
    """A price in ticks, the nearest where it is finer (marks are); anything but a positive number is refused."""
    price = float(text)
    if not (math.isfinite(price) and price > 0):
        raise ValueError(f"price {text!r}")
    return max(1, instrument.nearest_ticks(price))


def _amount(value: Any) -> float:
    amount = math.nan if value in (None, "") else float(value)
    if amount < 0 or math.isinf(amount):
        raise ValueError(f"volume {value!r}")
    return amount


def _rate(text: Any) -> int:
    exact = Decimal(str(text or 0)) * RATE
    if not abs(exact) < RATE:
        raise ValueError(f"funding rate {text!r}")
    return int(exact.to_integral_value(ROUND_HALF_EVEN))


def _grid(text: str) -> Decimal:
    """A grid size without trailing zeros and without an exponent."""
    size = Decimal(text).normalize()
    return size if int(size.as_tuple().exponent) <= 0 else size.quantize(Decimal(1))
