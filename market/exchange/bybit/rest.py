"""The REST surface: which path answers what, and whether the request must be signed."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from market.exchange.bybit import account, market_data, trade
from market.exchange.bybit.params import Params
from market.exchange.venue import Venue

Answer = Callable[[Venue, Params], dict[str, Any]]

PUBLIC: dict[tuple[str, str], Answer] = {
    ("GET", "/v5/market/time"): market_data.server_time,
    ("GET", "/v5/market/instruments-info"): market_data.instruments_info,
    ("GET", "/v5/market/risk-limit"): market_data.risk_limit,
    ("GET", "/v5/market/kline"): market_data.klines,
    ("GET", "/v5/market/tickers"): market_data.tickers,
    ("GET", "/v5/market/funding/history"): market_data.funding_history,
}

SIGNED: dict[tuple[str, str], Answer] = {
    ("POST", "/v5/order/create"): trade.create,
    ("POST", "/v5/order/cancel"): trade.cancel,
    ("POST", "/v5/order/cancel-all"): trade.cancel_all,
    ("GET", "/v5/order/realtime"): trade.realtime,
    ("GET", "/v5/order/history"): trade.history,
    ("GET", "/v5/execution/list"): trade.executions,
    ("POST", "/v5/position/trading-stop"): trade.trading_stop,
    ("GET", "/v5/position/list"): account.positions,
    ("POST", "/v5/position/set-leverage"): account.set_leverage,
    ("POST", "/v5/position/switch-isolated"): account.switch_isolated,
    ("POST", "/v5/position/switch-mode"): account.switch_mode,
    ("GET", "/v5/account/wallet-balance"): account.wallet_balance,
    ("GET", "/v5/account/info"): account.info,
    ("POST", "/v5/account/set-margin-mode"): account.set_margin_mode,
    ("GET", "/v5/account/fee-rate"): account.fee_rate,
    ("GET", "/v5/account/transaction-log"): account.transaction_log,
    ("GET", "/v5/user/query-api"): account.key_info,
}
