"""Account replies: wallet, positions, modes, key, movements of the wallet; and the requests that change settings."""

from __future__ import annotations

from typing import Any

from market.exchange import texts
from market.exchange.bybit import rows, words
from market.exchange.bybit.params import Params
from market.exchange.bybit.refusals import LEVERAGE_NOT_MODIFIED, PARAMS, UNIFIED_ONLY, Ret
from market.exchange.bybit.trade import WEEK_MS
from market.exchange.refusals import Code, Refusal
from market.exchange.venue import Venue
from market.fills import PPM
from market.instruments import cash_text

Result = dict[str, Any]

ISOLATED, CROSS, PORTFOLIO = "ISOLATED_MARGIN", "REGULAR_MARGIN", "PORTFOLIO_MARGIN"
ONE_WAY, HEDGE = 0, 3
MAX_MOVEMENTS = 50
MOVEMENTS = {
    "REALIZED_PNL": "TRADE",
    "COMMISSION": "TRADE",
    "FUNDING_FEE": "SETTLEMENT",
    "INSURANCE_CLEAR": "LIQUIDATION",
    "TRANSFER": "TRANSFER_IN",
}


def wallet_balance(venue: Venue, params: Params) -> Result:
    """The unified account's wallet."""
    params.one_of("accountType", ("UNIFIED",), Code.BAD_PARAMETER)
    ledger = venue.engine.ledger
    return {"list": [rows.wallet(venue.engine, ledger.cash, ledger.free)]}


def info(venue: Venue, params: Params) -> Result:
    """What kind of account it is: a unified one, and its margin mode."""
    return {
        "unifiedMarginStatus": 6,
        "marginMode": margin_mode(venue),
        "isMasterTrader": False,
        "spotHedgingStatus": "OFF",
        "dcpStatus": "OFF",
        "timeWindow": 10,
        "smpGroup": 0,
        "updatedTime": "0",
    }


def margin_mode(venue: Venue) -> str:
    """The margin mode, which is the whole account's here; mixed settings of another's making count as cross."""
    if venue.engine.multi_assets:
        return PORTFOLIO
    return ISOLATED if all(settings.isolated for settings in venue.engine.settings.values()) else CROSS


def set_margin_mode(venue: Venue, params: Params) -> Result:
    """Set the whole account to isolated or cross margin."""
    wanted = params.one_of("setMarginMode", (ISOLATED, CROSS, PORTFOLIO), Code.BAD_PARAMETER)
    if wanted == PORTFOLIO:
        raise Ret(PARAMS, "params error: portfolio margin is not simulated")
    for symbol, settings in venue.engine.settings.items():
        if settings.isolated != (wanted == ISOLATED):
            venue.desk.set_margin_mode(symbol, wanted == ISOLATED)
    return {"reasons": []}


def switch_isolated(venue: Venue, params: Params) -> Result:
    """A symbol's margin mode, which classic accounts alone have."""
    raise Ret(UNIFIED_ONLY, "The API cannot be accessed by unified account users.")


KEY_DAYS = 90
"""How long a key that is bound to no address lasts."""


def key_info(venue: Venue, params: Params) -> Result:
    """What the API key that asks may do."""
    may = venue.permissions
    wallet = ["AccountTransfer"] * may.internal_transfer + ["SubMemberTransfer"] * may.universal_transfer
    return {
        "id": "1",
        "note": "local",
        "apiKey": "",
        "readOnly": int(not may.futures),
        "secret": "",
        "permissions": {
            "ContractTrade": ["Order", "Position"] if may.futures else [],
            "Spot": [],
            "Wallet": wallet + ["Withdraw"] * may.withdrawals,
            "Options": [],
            "Derivatives": [],
            "Exchange": [],
        },
        "ips": ["127.0.0.1"] if may.ip_restricted else ["*"],
        **({} if may.ip_restricted else {"deadlineDay": KEY_DAYS}),
        "type": 1,
        "unified": 0,
        "uta": 1,
        "userID": 1,
        "isMaster": True,
    }


def positions(venue: Venue, params: Params) -> Result:
    """A symbol's position, open or not; or the open ones of a coin."""
    params.linear()
    if not params.has("symbol") and not params.has("settleCoin"):
        raise Refusal(Code.MISSING_PARAMETER, "params error: symbol or settleCoin is required")
    held = venue.engine.ledger.positions
    shown = params.symbols() if params.has("symbol") else list(held)
    listed = [rows.position(venue.engine, symbol, held.get(symbol)) for symbol in shown]
    if venue.engine.hedge_mode:
        listed = [row | {"positionIdx": side} for row in listed for side in (1, 2)]
    return {"category": "linear", "list": listed, "nextPageCursor": ""}


def set_leverage(venue: Venue, params: Params) -> Result:
    """Set a symbol's leverage, the same for both sides; as it is already is a refusal."""
    params.linear()
    symbol, leverage = params.symbol(), params.text("buyLeverage")
    if params.text("sellLeverage") != leverage:
        raise Ret(PARAMS, "params error: buy leverage must equal sell leverage")
    if not leverage.removesuffix(".00").removesuffix(".0").isdecimal():
        raise Ret(PARAMS, "params error: leverage of fractions is not simulated")
    whole = int(leverage.partition(".")[0])
    if whole == venue.engine.settings[symbol].leverage:
        raise Ret(LEVERAGE_NOT_MODIFIED, "leverage not modified")
    venue.desk.set_leverage(symbol, whole)
    return {}


def switch_mode(venue: Venue, params: Params) -> Result:
    """Switch between one-way and hedge mode."""
    params.linear()
    mode = params.whole("mode")
    if mode not in (ONE_WAY, HEDGE):
        raise Ret(PARAMS, "params error: mode invalid")
    venue.desk.set_hedge_mode(mode == HEDGE)
    return {}


def fee_rate(venue: Venue, params: Params) -> Result:
    """Fees of the notional."""
    costs = venue.engine.costs
    rates = {"takerFeeRate": texts.rate(costs.taker_ppm, PPM), "makerFeeRate": texts.rate(costs.maker_ppm, PPM)}
    return {"list": [{"symbol": symbol} | rates for symbol in params.symbols()]}


def transaction_log(venue: Venue, params: Params) -> Result:
    """Movements of the wallet, the newest first, a day of them unless a time is given."""
    start, end = params.optional_whole("startTime"), params.optional_whole("endTime")
    until = venue.replay.time if end is None else end
    since = until - WEEK_MS // 7 if start is None else start
    if until - since > WEEK_MS:
        raise Refusal(Code.BAD_PARAMETER, "params error: endTime must be within 7 days after startTime")
    kind, wanted = params.text("type", ""), set(params.symbols()) | (set() if params.has("symbol") else {""})
    found = []
    for income in venue.engine.incomes:
        word = "TRANSFER_OUT" if income.kind == "TRANSFER" and income.amount < 0 else MOVEMENTS.get(income.kind, "")
        if income.symbol in wanted and since <= income.time <= until and kind in ("", word):
            found.append(
                {
                    "id": words.id_text(income.id),
                    "symbol": income.symbol,
                    "category": "linear",
                    "type": word,
                    "currency": "USDT",
                    "funding": cash_text(income.amount) if income.kind == "FUNDING_FEE" else "",
                    "fee": cash_text(-income.amount) if income.kind == "COMMISSION" else "0",
                    "cashFlow": cash_text(0 if income.kind in ("FUNDING_FEE", "COMMISSION") else income.amount),
                    "change": cash_text(income.amount),
                    "tradeId": words.id_text(income.trade_id) if income.trade_id else "",
                    "transactionTime": str(income.time),
                }
            )
    limit, cursor = params.limit(20, MAX_MOVEMENTS), int(params.text("cursor", "0") or 0)
    following = str(cursor + limit) if cursor + limit < len(found) else ""
    return {"list": found[::-1][cursor : cursor + limit], "nextPageCursor": following}
