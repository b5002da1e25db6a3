"""Public replies: clock, rules, klines, funding, prices and risk limits."""

from __future__ import annotations

from typing import Any

from market.exchange import texts
from market.exchange.bybit.params import Params
from market.exchange.desk import MAX_QUANTITY
from market.exchange.feed import Kline
from market.exchange.orders import SymbolStatus
from market.exchange.refusals import Code, Refusal
from market.exchange.venue import Venue
from market.fills import BPS
from market.instruments import CASH, Instrument, cash_text

Result = dict[str, Any]

MAX_KLINES, MAX_FUNDING, MAX_INSTRUMENTS = 1_000, 200, 1_000
STATUS = {SymbolStatus.TRADING: "Trading", SymbolStatus.HALTED: "Trading", SymbolStatus.CLOSED: "Closed"}


def server_time(venue: Venue, params: Params) -> Result:
    """The wall clock: signatures are checked against it, the market runs on its own."""
    now = venue.wall_ms()
    return {"timeSecond": str(now // 1_000), "timeNano": str(now * 1_000_000)}


def instruments_info(venue: Venue, params: Params) -> Result:
    """Rules of every symbol; none is about to be listed."""
    params.linear()
    limit = params.limit(500, MAX_INSTRUMENTS)
    wanted = params.text("status", "")
    listed = [(venue.engine.instruments[symbol], STATUS[venue.engine.status[symbol]]) for symbol in params.symbols()]
    shown = [_info(instrument, status) for instrument, status in listed if wanted in ("", status)]
    return {"category": "linear", "list": shown[:limit], "nextPageCursor": ""}


def risk_limit(venue: Venue, params: Params) -> Result:
    """Margin tiers of one symbol, or of all."""
    params.linear()
    tiers = [
        {
            "id": number,
            "symbol": symbol,
            "riskLimitValue": str(tier.cap // CASH),
            "maintenanceMargin": texts.rate(tier.maintenance_bps, BPS),
            "initialMargin": str(round(1 / tier.max_leverage, 6)),
            "isLowestRisk": int(number == 1),
            "maxLeverage": f"{tier.max_leverage}.00",
            "mmDeduction": cash_text(tier.cum),
        }
        for symbol in params.symbols()
        for number, tier in enumerate(venue.engine.instruments[symbol].brackets, 1)
    ]
    return {"category": "linear", "list": tiers, "nextPageCursor": ""}


def klines(venue: Venue, params: Params) -> Result:
    """Rows of seven, the newest first, the forming one included; from `start` the earliest, else the latest."""
    params.linear()
    feed, timeframe = venue.replay.feeds[params.symbol()], params.timeframe()
    if timeframe not in feed.timeframes:
        raise Refusal(Code.BAD_INTERVAL)
    limit = params.limit(200, MAX_KLINES)
    found = feed.klines(timeframe, params.optional_whole("start"), params.optional_whole("end"), limit)
    shown = [_kline(feed.instrument, kline) for kline in found]
    return {"category": "linear", "symbol": feed.symbol, "list": shown[::-1]}


def funding_history(venue: Venue, params: Params) -> Result:
    """Funding rates that fell due up to now, the newest first; a start asks for an end as well."""
    params.linear()
    symbol, limit = params.symbol(), params.limit(MAX_FUNDING, MAX_FUNDING)
    start, end = params.optional_whole("startTime"), params.optional_whole("endTime")
    if start is not None and end is None:
        raise Refusal(Code.MISSING_PARAMETER, "params error: startTime without endTime")
    feed, until = venue.replay.feeds[symbol], min(venue.replay.time, venue.replay.time if end is None else end)
    due = [
        {"symbol": symbol, "fundingRate": texts.funding_rate(rate), "fundingRateTimestamp": str(time)}
        for time, rate in zip(feed.funding_times, feed.funding_rates, strict=True)
        if (start or 0) <= time <= until
    ]
    return {"category": "linear", "list": due[::-1][:limit]}


def tickers(venue: Venue, params: Params) -> Result:
    """Prices as they stand."""
    params.linear()
    return {"category": "linear", "list": [ticker(venue, symbol) for symbol in params.symbols()]}


def ticker(venue: Venue, symbol: str) -> dict[str, Any]:
    """Last, mark and best prices of a symbol, and its next funding; sizes are not limited, and written as 0."""
    engine, feed = venue.engine, venue.replay.feeds[symbol]
    instrument = engine.instruments[symbol]
    outlook = feed.outlook(venue.replay.time, instrument.funding_hours)
    mark = engine.mark_price(symbol)
    return {
        "symbol": symbol,
        "lastPrice": instrument.price_text(engine.prices[symbol]),
        "indexPrice": instrument.price_text(mark if outlook.index is None else outlook.index),
        "markPrice": instrument.price_text(mark),
        "fundingRate": texts.funding_rate(outlook.rate),
        "nextFundingTime": str(outlook.next_time),
        "fundingIntervalHour": str(instrument.funding_hours),
        "bid1Price": instrument.price_text(engine.market_price(symbol, -1)),
        "bid1Size": "0",
        "ask1Price": instrument.price_text(engine.market_price(symbol, 1)),
        "ask1Size": "0",
    }


def _info(instrument: Instrument, status: str) -> dict[str, Any]:
    return {
        "symbol": instrument.symbol,
        "contractType": "LinearPerpetual",
        "status": status,
        "baseCoin": instrument.base,
        "quoteCoin": instrument.quote,
        "settleCoin": instrument.quote,
        "launchTime": "1585526400000",
        "deliveryTime": "0",
        "deliveryFeeRate": "",
        "priceScale": str(-int(instrument.tick.as_tuple().exponent)),
        "leverageFilter": {"minLeverage": "1", "maxLeverage": f"{instrument.max_leverage}.00", "leverageStep": "0.01"},
        "priceFilter": {
            "minPrice": instrument.price_text(1),
            "maxPrice": "4529764",
            "tickSize": instrument.price_text(1),
        },
        "lotSizeFilter": {
            "maxOrderQty": instrument.quantity_text(MAX_QUANTITY),
            "maxMktOrderQty": instrument.quantity_text(MAX_QUANTITY),
            "minOrderQty": instrument.quantity_text(instrument.min_quantity),
            "qtyStep": instrument.quantity_text(1),
            "minNotionalValue": str(instrument.min_notional // CASH),
        },
        "unifiedMarginTrade": True,
        "fundingInterval": instrument.funding_hours * 60,
        "copyTrading": "none",
        "upperFundingRate": "0.00375",
        "lowerFundingRate": "-0.00375",
        "isPreListing": False,
    }


def _kline(instrument: Instrument, kline: Kline) -> list[str | None]:
    price = instrument.price_text
    return [
        str(kline.open_time),
        price(kline.open),
        price(kline.high),
        price(kline.low),
        price(kline.close),
        texts.amount(kline.volume),
        texts.amount(kline.quote_volume),
    ]
