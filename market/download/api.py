"""The exchange's own endpoints, through ccxt: klines as the raw endpoint gives them, and funding.

ccxt's `fetch_ohlcv` drops quote volume, trades and taker flow, so the endpoint is called by name; ccxt keeps the rate.
"""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Iterator
from decimal import ROUND_HALF_EVEN, Decimal, InvalidOperation
from typing import Any

import numpy as np

from market.backoff import Backoff
from market.candles import Candle, Candles
from market.download.spans import Span
from market.fills import RATE
from market.funding import Funding
from market.history import HistoryError
from market.timeframes import Timeframe

PAGE = 1_000
"""Rows a request asks for: the most that cost 5 of the 2400 weights a minute."""
TRIES = 7
LONGEST_BAN_S = 180
_BANNED_UNTIL = re.compile(r"until (\d{13})")


class Unreachable(HistoryError):
    """A source did not answer, however often it was asked."""

    exit_code = 1


class Api:
    """Public market data of a Binance USDT-M exchange.

    Parameters
    ----------
    base : str, optional
        Base address of another exchange that speaks the same, e.g. ``http://127.0.0.1:18080``; the real one without.
    """

    def __init__(self, base: str | None = None) -> None:
        import ccxt  # two seconds and 100 MB, which the other commands need not pay

        settings: dict[str, Any] = {"rateLimiterAlgorithm": "rollingWindow", "timeout": 20_000}
        if base is not None:
            settings["urls"] = {"api": {"fapiPublic": f"{base.rstrip('/')}/fapi/v1"}}
        self._client = ccxt.binanceusdm(settings)
        self._failures = (ccxt.OperationFailed, ccxt.BaseError)
        self.name = base or "the exchange"

    def newest(self, symbol: str, timeframe: Timeframe) -> int:
        """Open time (ms) of the forming candle: every earlier one is final.

        Raises
        ------
        HistoryError
            If the exchange refuses the symbol or the timeframe, or has no candle of them.
        """
        return self._only(symbol, timeframe, limit=1)

    def first(self, symbol: str, timeframe: Timeframe) -> int:
        """Open time (ms) of the first candle there is."""
        return self._only(symbol, timeframe, startTime=0, limit=1)

    def klines(self, symbol: str, timeframe: Timeframe, span: Span) -> Iterator[Candles]:
        """The candles that open in `span`, a page at a time; the span ends before the forming one.

        Raises
        ------
        Unreachable
            If the exchange does not answer.
        HistoryError
            If it refuses, or answers what is no candle.
        """
        start = span.start
        while start < span.end:
            rows = self._rows(symbol, timeframe, startTime=start, endTime=span.end - 1, limit=PAGE)
            rows = [row for row in rows if start <= row.open_time < span.end]
            if rows:
                yield Candles.of(timeframe, rows)
            if len(rows) < PAGE:
                return
            start = rows[-1].open_time + timeframe.ms

    def funding(self, symbol: str, span: Span) -> Iterator[Funding]:
        """The funding instants in `span` that have passed, a page at a time."""
        start = span.start
        while start < span.end:
            asked = {"symbol": symbol, "startTime": start, "endTime": span.end - 1, "limit": PAGE}
            rows = self._ask("fapiPublicGetFundingRate", asked)
            try:
                times = [int(row["fundingTime"]) for row in rows]
                rates = [rate_units(row["fundingRate"]) for row in rows]
            except (TypeError, KeyError, ValueError, InvalidOperation) as error:
                raise HistoryError(f"{self.name}: funding of {symbol} that cannot be read: {error!r}") from error
            if times:
                yield Funding(np.array(times, dtype=np.int64), np.array(rates, dtype=np.int64))
            if len(times) < PAGE:
                return
            start = times[-1] + 1

    def _only(self, symbol: str, timeframe: Timeframe, **bounds: int) -> int:
        rows = self._rows(symbol, timeframe, **bounds)
        if not rows:
            raise HistoryError(f"{self.name}: no {timeframe} candles of {symbol}; check --symbol and --timeframe")
        return rows[-1].open_time

    def _rows(self, symbol: str, timeframe: Timeframe, **bounds: int) -> list[Candle]:
        rows = self._ask("fapiPublicGetKlines", {"symbol": symbol, "interval": str(timeframe), **bounds})
        try:
            return [kline_row(row) for row in rows]
        except (TypeError, IndexError, ValueError) as error:
            raise HistoryError(f"{self.name}: a {timeframe} kline of {symbol} that cannot be read: {error}") from error

    def _ask(self, endpoint: str, parameters: dict[str, Any]) -> Any:
        passing, any_error = self._failures
        call: Callable[[dict[str, Any]], Any] = getattr(self._client, endpoint)
        backoff = Backoff(0.5)
        for left in range(TRIES - 1, -1, -1):
            try:
                return call(parameters)
            except passing as error:
                pause = max(backoff.next(), _ban_s(str(error)))
                if not left or pause > LONGEST_BAN_S:
                    raise Unreachable(
                        f"{self.name}: no answer to {endpoint}: {error}; what was fetched is kept, run it again later"
                    ) from error
                time.sleep(pause)
            except any_error as error:
                raise HistoryError(f"{self.name} refuses {endpoint} of {parameters['symbol']}: {error}") from error
        raise AssertionError("unreachable")


def kline_row(row: list[Any]) -> Candle:
    """A row of the klines endpoint: open time, OHLC, volume, close time, quote volume, trades, taker volumes."""
    return Candle(int(row[0]), *(_number(row[i]) for i in (1, 2, 3, 4, 5, 7, 8, 9, 10)))


def rate_units(text: str) -> int:
    """A funding rate's decimal text in 1e-8 of the notional; finer digits are rounded."""
    return int((Decimal(text) * RATE).to_integral_value(ROUND_HALF_EVEN))


def _number(value: Any) -> float:
    return float("nan") if value in (None, "") else float(value)


def _ban_s(message: str) -> float:
    """Seconds that an exchange asks us to be silent for; 0 if it does not."""
    until = _BANNED_UNTIL.search(message)
    return max(0.0, int(until.group(1)) / 1000 - time.time() + 1) if until else 0.0
