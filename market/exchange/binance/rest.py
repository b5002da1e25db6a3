"""The REST surface: which path answers what, and who may ask."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from enum import Enum
from typing import Any

from market.exchange.binance import account, market_data, trade
from market.exchange.binance.params import Params
from market.exchange.venue import Venue

Answer = Callable[[Venue, Params], Any]


class Access(Enum):
    """What a request must carry."""

    PUBLIC = "nothing"
    KEY = "an API key"
    SIGNED = "an API key and a signature"


def open_user_stream(venue: Venue, params: Params) -> dict[str, str]:
    """A listen key for the user stream; the same one while it lives."""
    return {"listenKey": venue.open_listen_key()}


def keep_user_stream(venue: Venue, params: Params) -> dict[str, str]:
    """Prolong the listen key."""
    return {"listenKey": venue.keep_listen_key()}


def close_user_stream(venue: Venue, params: Params) -> dict[str, str]:
    """Give the listen key up; its sockets are closed."""
    venue.listen_key = ""
    return {}


_V1, _V2, _V3 = "/fapi/v1", "/fapi/v2", "/fapi/v3"

ROUTES: dict[tuple[str, str], tuple[Access, Answer]] = {
    ("GET", f"{_V1}/ping"): (Access.PUBLIC, market_data.ping),
    ("GET", f"{_V1}/time"): (Access.PUBLIC, market_data.server_time),
    ("GET", f"{_V1}/exchangeInfo"): (Access.PUBLIC, market_data.exchange_info),
    ("GET", f"{_V1}/klines"): (Access.PUBLIC, market_data.klines),
    ("GET", f"{_V1}/premiumIndex"): (Access.PUBLIC, market_data.premium_index),
    ("GET", f"{_V1}/fundingRate"): (Access.PUBLIC, market_data.funding_rates),
    ("GET", f"{_V1}/fundingInfo"): (Access.PUBLIC, market_data.funding_info),
    ("GET", f"{_V1}/ticker/price"): (Access.PUBLIC, market_data.price_ticker),
    ("GET", f"{_V2}/ticker/price"): (Access.PUBLIC, market_data.price_ticker),
    ("GET", f"{_V1}/ticker/bookTicker"): (Access.PUBLIC, market_data.book_ticker),
    ("GET", f"{_V1}/ticker/24hr"): (Access.PUBLIC, market_data.day_ticker),
    ("GET", f"{_V2}/account"): (Access.SIGNED, account.account),
    ("GET", f"{_V3}/account"): (Access.SIGNED, account.account),
    ("GET", f"{_V2}/balance"): (Access.SIGNED, account.balance),
    ("GET", f"{_V3}/balance"): (Access.SIGNED, account.balance),
    ("GET", f"{_V2}/positionRisk"): (Access.SIGNED, account.positions),
    ("GET", f"{_V3}/positionRisk"): (Access.SIGNED, account.positions),
    ("GET", f"{_V1}/leverageBracket"): (Access.SIGNED, account.brackets),
    ("GET", f"{_V1}/symbolConfig"): (Access.SIGNED, account.symbol_config),
    ("POST", f"{_V1}/leverage"): (Access.SIGNED, account.set_leverage),
    ("POST", f"{_V1}/marginType"): (Access.SIGNED, account.set_margin_type),
    ("GET", f"{_V1}/positionSide/dual"): (Access.SIGNED, account.position_mode),
    ("POST", f"{_V1}/positionSide/dual"): (Access.SIGNED, account.set_position_mode),
    ("GET", f"{_V1}/multiAssetsMargin"): (Access.SIGNED, account.multi_assets_mode),
    ("POST", f"{_V1}/multiAssetsMargin"): (Access.SIGNED, account.set_multi_assets_mode),
    ("GET", "/sapi/v1/account/apiRestrictions"): (Access.SIGNED, account.api_restrictions),
    ("GET", f"{_V1}/commissionRate"): (Access.SIGNED, account.commission_rate),
    ("GET", f"{_V1}/income"): (Access.SIGNED, account.income),
    ("POST", f"{_V1}/order"): (Access.SIGNED, trade.place_order),
    ("GET", f"{_V1}/order"): (Access.SIGNED, trade.get_order),
    ("PUT", f"{_V1}/order"): (Access.SIGNED, trade.amend_order),
    ("DELETE", f"{_V1}/order"): (Access.SIGNED, trade.cancel_order),
    ("DELETE", f"{_V1}/allOpenOrders"): (Access.SIGNED, trade.cancel_all_orders),
    ("GET", f"{_V1}/openOrders"): (Access.SIGNED, trade.open_orders),
    ("GET", f"{_V1}/allOrders"): (Access.SIGNED, trade.all_orders),
    ("GET", f"{_V1}/userTrades"): (Access.SIGNED, trade.user_trades),
    ("POST", f"{_V1}/algoOrder"): (Access.SIGNED, trade.place_algo_order),
    ("GET", f"{_V1}/algoOrder"): (Access.SIGNED, trade.get_algo_order),
    ("DELETE", f"{_V1}/algoOrder"): (Access.SIGNED, trade.cancel_algo_order),
    ("DELETE", f"{_V1}/algoOpenOrders"): (Access.SIGNED, trade.cancel_all_algo_orders),
    ("GET", f"{_V1}/openAlgoOrders"): (Access.SIGNED, trade.open_algo_orders),
    ("GET", f"{_V1}/allAlgoOrders"): (Access.SIGNED, trade.all_algo_orders),
    ("POST", f"{_V1}/listenKey"): (Access.KEY, open_user_stream),
    ("PUT", f"{_V1}/listenKey"): (Access.KEY, keep_user_stream),
    ("DELETE", f"{_V1}/listenKey"): (Access.KEY, close_user_stream),
}

WEIGHTS: dict[tuple[str, str], int] = {
    ("GET", f"{_V2}/account"): 5,
    ("GET", f"{_V3}/account"): 5,
    ("GET", f"{_V2}/balance"): 5,
    ("GET", f"{_V3}/balance"): 5,
    ("GET", f"{_V2}/positionRisk"): 5,
    ("GET", f"{_V3}/positionRisk"): 5,
    ("GET", f"{_V1}/symbolConfig"): 5,
    ("GET", f"{_V1}/positionSide/dual"): 30,
    ("GET", f"{_V1}/multiAssetsMargin"): 30,
    ("GET", f"{_V1}/commissionRate"): 20,
    ("GET", f"{_V1}/income"): 30,
    ("GET", f"{_V1}/allOrders"): 5,
    ("GET", f"{_V1}/userTrades"): 5,
    ("POST", f"{_V1}/order"): 0,
    ("POST", f"{_V1}/algoOrder"): 0,
}
"""Request weights other than 1, as the exchange's documentation gives them."""

ORDERS = frozenset({("POST", f"{_V1}/order"), ("PUT", f"{_V1}/order"), ("POST", f"{_V1}/algoOrder")})
"""Requests that count as orders."""


def weight(method: str, path: str, params: Mapping[str, str]) -> int:
    """Weight of a request; what concerns all symbols weighs more than one."""
    if path == f"{_V1}/openOrders" or path == f"{_V1}/openAlgoOrders":
        return 1 if params.get("symbol") else 40
    if path == f"{_V1}/klines":
        limit = params.get("limit", "500")
        rows = int(limit) if limit.isdecimal() else 500
        return 1 if rows < 100 else 2 if rows < 500 else 5 if rows <= 1_000 else 10
    return WEIGHTS.get((method, path), 1)
