"""Public replies: the exchange's rules, klines, funding and prices."""

from __future__ import annotations

from typing import Any

from market.exchange import texts
from market.exchange.binance.params import Params
from market.exchange.desk import MAX_QUANTITY
from market.exchange.feed import Kline
from market.exchange.limits import Window
from market.exchange.orders import STOPS, SymbolStatus
from market.exchange.refusals import Code, Refusal
from market.exchange.source import SymbolSource
from market.exchange.venue import Venue
from market.instruments import Instrument, cash_text

Payload = dict[str, Any]

MAX_KLINES = 1_500
MAX_FUNDING = 1_000
HOUR_MS = 3_600_000


def ping(venue: Venue, params: Params) -> Payload:
    """Nothing, to say that the exchange is there."""
    return {}


def server_time(venue: Venue, params: Params) -> Payload:
    """The wall clock: signatures are checked against it, the market runs on its own."""
    return {"serverTime": venue.wall_ms()}


def exchange_info(venue: Venue, params: Params) -> Payload:
    """Rules of every symbol: grid, limits, order types."""
    return {
        "timezone": "UTC",
        "serverTime": venue.wall_ms(),
        "futuresType": "U_MARGINED",
        "rateLimits": [_rate_limit(window) for window in venue.limits.windows],
        "exchangeFilters": [],
        "assets": [{"asset": "USDT", "marginAvailable": True, "autoAssetExchange": "0"}],
        "symbols": [
            _symbol_info(instrument, venue.engine.status[name]) for name, instrument in venue.engine.instruments.items()
        ],
    }


def klines(venue: Venue, params: Params) -> list[list[Any]]:
    """Rows of twelve, oldest first, the forming one included."""
    feed = _feed(venue, params)
    timeframe = params.timeframe()
    if timeframe not in feed.timeframes:
        raise Refusal(Code.BAD_INTERVAL)
    limit = params.whole("limit", 500)
    if not 1 <= limit <= MAX_KLINES:
        raise Refusal(Code.BAD_PARAMETER, f"Data sent for parameter 'limit' is not valid: {limit}.")
    start, end = params.optional_whole("startTime"), params.optional_whole("endTime")
    return [_kline_row(feed.instrument, kline) for kline in feed.klines(timeframe, start, end, limit)]


def premium_index(venue: Venue, params: Params) -> Payload | list[Payload]:
    """Mark price (the last price, unless the mark is told apart) and the next funding."""
    rows = [premium(venue, venue.replay.feeds[symbol]) for symbol in params.symbols()]
    return rows[0] if params.has("symbol") else rows


def premium(venue: Venue, feed: SymbolSource) -> Payload:
    """Mark price and funding of one symbol."""
    now = venue.replay.time
    instrument = venue.engine.instruments[feed.symbol]
    outlook = feed.outlook(now, instrument.funding_hours)
    mark = venue.engine.mark_price(feed.symbol)
    index = instrument.price_text(mark if outlook.index is None else outlook.index)
    return {
        "symbol": feed.symbol,
        "markPrice": instrument.price_text(mark),
        "indexPrice": index,
        "estimatedSettlePrice": index,
        "lastFundingRate": texts.funding_rate(outlook.rate),
        "interestRate": "0.00010000",
        "nextFundingTime": outlook.next_time,
        "time": now,
    }


def funding_info(venue: Venue, params: Params) -> list[Payload]:
    """Hours between funding instants of every symbol."""
    return [
        {
            "symbol": instrument.symbol,
            "adjustedFundingRateCap": "0.02000000",
            "adjustedFundingRateFloor": "-0.02000000",
            "fundingIntervalHours": instrument.funding_hours,
            "disclaimer": False,
        }
        for instrument in venue.engine.instruments.values()
    ]


def funding_rates(venue: Venue, params: Params) -> list[Payload]:
    """Funding rates that fell due up to now, oldest first."""
    limit = min(params.whole("limit", 100), MAX_FUNDING)
    start, end = params.optional_whole("startTime"), params.optional_whole("endTime")
    rows: list[Payload] = []
    for symbol in params.symbols():
        feed = venue.replay.feeds[symbol]
        for time, rate in zip(feed.funding_times, feed.funding_rates, strict=True):
            if time > venue.replay.time:
                break
            if (start is None or time >= start) and (end is None or time <= end):
                mark = feed.mark_at(time)
                rows.append(
                    {
                        "symbol": symbol,
                        "fundingTime": time,
                        "fundingRate": texts.funding_rate(rate),
                        "markPrice": "" if mark is None else feed.instrument.price_text(mark),
                    }
                )
    rows.sort(key=lambda row: int(row["fundingTime"]))
    return rows[:limit] if start is not None else rows[-limit:]


def price_ticker(venue: Venue, params: Params) -> Payload | list[Payload]:
    """The last price; that of the coin fees are paid in as well."""
    coin = venue.engine.fee_coin
    if coin is not None and params.text("symbol", "") == f"{coin.asset}USDT":
        return {"symbol": f"{coin.asset}USDT", "price": cash_text(coin.price), "time": venue.replay.time}
    rows = [{"symbol": symbol, "price": _last(venue, symbol), "time": venue.replay.time} for symbol in params.symbols()]
    return rows[0] if params.has("symbol") else rows


def book_ticker(venue: Venue, params: Params) -> Payload | list[Payload]:
    """Best bid and ask: where market orders would fill; the depth is not limited, and written as 0."""
    rows = [book(venue, symbol) for symbol in params.symbols()]
    return rows[0] if params.has("symbol") else rows


def book(venue: Venue, symbol: str) -> Payload:
    """Best bid and ask of one symbol."""
    instrument = venue.engine.instruments[symbol]
    return {
        "symbol": symbol,
        "bidPrice": instrument.price_text(venue.engine.market_price(symbol, -1)),
        "bidQty": "0",
        "askPrice": instrument.price_text(venue.engine.market_price(symbol, 1)),
        "askQty": "0",
        "time": venue.replay.time,
    }


def day_ticker(venue: Venue, params: Params) -> Payload | list[Payload]:
    """The last 24 hours of each symbol, from its base klines."""
    rows = [_day(venue.replay.feeds[symbol], venue.replay.time) for symbol in params.symbols()]
    return rows[0] if params.has("symbol") else rows


def _feed(venue: Venue, params: Params) -> SymbolSource:
    return venue.replay.feeds[params.symbol()]


def _last(venue: Venue, symbol: str) -> str:
    return venue.engine.instruments[symbol].price_text(venue.engine.prices[symbol])


def _rate_limit(window: Window) -> Payload:
    minutes, seconds = divmod(window.span_ms // 1000, 60)
    return {
        "rateLimitType": window.kind.value,
        "interval": "MINUTE" if minutes else "SECOND",
        "intervalNum": minutes or seconds,
        "limit": window.most,
    }


def _symbol_info(instrument: Instrument, status: SymbolStatus) -> Payload:
    largest = instrument.quantity_text(MAX_QUANTITY)
    smallest = instrument.quantity_text(instrument.min_quantity)
    step = instrument.quantity_text(1)
    notional = instrument.min_notional // 100_000_000
    return {
        "symbol": instrument.symbol,
        "pair": instrument.symbol,
        "contractType": "PERPETUAL",
        "deliveryDate": 4_133_404_800_000,
        "onboardDate": 1_569_398_400_000,
        "status": status.value,
        "maintMarginPercent": texts.rate(instrument.brackets[0].maintenance_bps, 100),
        "requiredMarginPercent": "5.0000",
        "baseAsset": instrument.base,
        "quoteAsset": instrument.quote,
        "marginAsset": instrument.quote,
        "pricePrecision": -int(instrument.tick.as_tuple().exponent),
        "quantityPrecision": -int(instrument.step.as_tuple().exponent),
        "baseAssetPrecision": 8,
        "quotePrecision": 8,
        "underlyingType": "COIN",
        "underlyingSubType": [],
        "triggerProtect": "0.0500",
        "liquidationFee": "0.000000",
        "marketTakeBound": "0.30",
        "filters": [
            {
                "filterType": "PRICE_FILTER",
                "minPrice": instrument.price_text(1),
                "maxPrice": "4529764",
                "tickSize": instrument.price_text(1),
            },
            {"filterType": "LOT_SIZE", "minQty": smallest, "maxQty": largest, "stepSize": step},
            {"filterType": "MARKET_LOT_SIZE", "minQty": smallest, "maxQty": largest, "stepSize": step},
            {"filterType": "MAX_NUM_ORDERS", "limit": 200},
            {"filterType": "MAX_NUM_ALGO_ORDERS", "limit": 10},
            {"filterType": "MIN_NOTIONAL", "notional": str(notional)},
        ],
        "orderTypes": ["LIMIT", "MARKET", *STOPS],
        "timeInForce": ["GTC", "IOC", "FOK", "GTX"],
    }


def _kline_row(instrument: Instrument, kline: Kline) -> list[Any]:
    price = instrument.price_text
    return [
        kline.open_time,
        price(kline.open),
        price(kline.high),
        price(kline.low),
        price(kline.close),
        texts.amount(kline.volume),
        kline.open_time + kline.timeframe.ms - 1,
        texts.amount(kline.quote_volume),
        texts.count(kline.trades),
        texts.amount(kline.taker_base),
        texts.amount(kline.taker_quote),
        "0",
    ]


def _day(feed: SymbolSource, now: int) -> Payload:
    base = list(feed.klines(feed.timeframes[0], now - 24 * HOUR_MS, None, MAX_KLINES))
    price = feed.instrument.price_text
    change = base[-1].close - base[0].open
    volume, quote_volume = sum(k.volume for k in base), sum(k.quote_volume for k in base)
    return {
        "symbol": feed.symbol,
        "priceChange": str(change * feed.instrument.tick),
        "priceChangePercent": f"{100 * change / base[0].open:.3f}",
        "weightedAvgPrice": texts.amount(quote_volume / volume) if volume > 0 else None,
        "lastPrice": price(base[-1].close),
        "lastQty": "0",
        "openPrice": price(base[0].open),
        "highPrice": price(max(k.high for k in base)),
        "lowPrice": price(min(k.low for k in base)),
        "volume": texts.amount(volume),
        "quoteVolume": texts.amount(quote_volume),
        "openTime": base[0].open_time,
        "closeTime": now,
        "firstId": 0,
        "lastId": 0,
        "count": texts.count(sum(k.trades for k in base)),
    }
