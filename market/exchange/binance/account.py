"""Account replies: balance, positions, settings, income; and the requests that change settings."""

from __future__ import annotations

from typing import Any

from market import tiers
from market.exchange import texts
from market.exchange.binance.params import Params
from market.exchange.refusals import Code, Refusal
from market.exchange.venue import Venue
from market.fills import BPS, PPM, initial_margin
from market.instruments import CASH, cash_text

Payload = dict[str, Any]

MAX_ROWS = 1_000
MARGIN_TYPES = {"ISOLATED": 1, "CROSSED": 0}


def account(venue: Venue, params: Params) -> Payload:
    """Wallet, margins and open positions."""
    asset = _asset(venue)
    return {
        "feeTier": 0,
        "canTrade": venue.engine.can_trade,
        "canDeposit": True,
        "canWithdraw": True,
        "updateTime": 0,
        "multiAssetsMargin": venue.engine.multi_assets,
        "tradeGroupId": -1,
        "totalInitialMargin": asset["initialMargin"],
        "totalMaintMargin": asset["maintMargin"],
        "totalWalletBalance": asset["walletBalance"],
        "totalUnrealizedProfit": asset["unrealizedProfit"],
        "totalMarginBalance": asset["marginBalance"],
        "totalPositionInitialMargin": asset["positionInitialMargin"],
        "totalOpenOrderInitialMargin": "0.00000000",
        "totalCrossWalletBalance": asset["crossWalletBalance"],
        "totalCrossUnPnl": "0.00000000",
        "availableBalance": asset["availableBalance"],
        "maxWithdrawAmount": asset["maxWithdrawAmount"],
        "assets": [asset, *_coins(venue)],
        "positions": [_account_position(venue, symbol) for symbol in venue.engine.ledger.positions],
    }


def balance(venue: Venue, params: Params) -> list[Payload]:
    """The wallet alone."""
    return [
        {
            "accountAlias": "local",
            "asset": asset["asset"],
            "balance": asset["walletBalance"],
            "crossWalletBalance": asset["crossWalletBalance"],
            "crossUnPnl": "0.00000000",
            "availableBalance": asset["availableBalance"],
            "maxWithdrawAmount": asset["maxWithdrawAmount"],
            "marginAvailable": True,
            "updateTime": venue.replay.time,
        }
        for asset in (_asset(venue), *_coins(venue))
    ]


def positions(venue: Venue, params: Params) -> list[Payload]:
    """Open positions, or one symbol's."""
    return [_position_risk(venue, s) for s in params.symbols() if s in venue.engine.ledger.positions]


def brackets(venue: Venue, params: Params) -> list[Payload]:
    """Leverage tiers of each symbol."""
    return [
        {
            "symbol": symbol,
            "brackets": [
                {
                    "bracket": number,
                    "initialLeverage": tier.max_leverage,
                    "notionalCap": tier.cap // CASH,
                    "notionalFloor": tier.floor // CASH,
                    "maintMarginRatio": float(texts.rate(tier.maintenance_bps, BPS)),
                    "cum": tier.cum / CASH,
                }
                for number, tier in enumerate(venue.engine.instruments[symbol].brackets, 1)
            ],
        }
        for symbol in params.symbols()
    ]


def symbol_config(venue: Venue, params: Params) -> list[Payload]:
    """Leverage and margin mode as set."""
    return [
        {
            "symbol": symbol,
            "marginType": "ISOLATED" if venue.engine.settings[symbol].isolated else "CROSSED",
            "isAutoAddMargin": False,
            "leverage": venue.engine.settings[symbol].leverage,
            "maxNotionalValue": _max_notional(venue, symbol, venue.engine.settings[symbol].leverage),
        }
        for symbol in params.symbols()
    ]


def set_leverage(venue: Venue, params: Params) -> Payload:
    """Set a symbol's leverage."""
    symbol = params.symbol()
    leverage = venue.desk.set_leverage(symbol, params.whole("leverage"))
    return {"leverage": leverage, "maxNotionalValue": _max_notional(venue, symbol, leverage), "symbol": symbol}


def set_margin_type(venue: Venue, params: Params) -> Payload:
    """Set a symbol's margin mode."""
    symbol = params.symbol()
    venue.desk.set_margin_mode(symbol, bool(params.choice("marginType", MARGIN_TYPES, Code.BAD_PARAMETER)))
    return {"code": 200, "msg": "success"}


def position_mode(venue: Venue, params: Params) -> Payload:
    """Whether the account is in hedge mode."""
    return {"dualSidePosition": venue.engine.hedge_mode}


def set_position_mode(venue: Venue, params: Params) -> Payload:
    """Switch between one-way and hedge mode."""
    params.text("dualSidePosition")
    venue.desk.set_hedge_mode(params.flag("dualSidePosition"))
    return {"code": 200, "msg": "success"}


def multi_assets_mode(venue: Venue, params: Params) -> Payload:
    """Whether margin may be in other coins than USDT."""
    return {"multiAssetsMargin": venue.engine.multi_assets}


def set_multi_assets_mode(venue: Venue, params: Params) -> Payload:
    """Switch between single-asset and multi-assets mode."""
    params.text("multiAssetsMargin")
    venue.desk.set_multi_assets(params.flag("multiAssetsMargin"))
    return {"code": 200, "msg": "success"}


def api_restrictions(venue: Venue, params: Params) -> Payload:
    """What the API key that asks may do."""
    may = venue.permissions
    return {
        "ipRestrict": may.ip_restricted,
        "createTime": 0,
        "enableReading": may.reading,
        "enableFutures": may.futures,
        "enableWithdrawals": may.withdrawals,
        "enableInternalTransfer": may.internal_transfer,
        "permitsUniversalTransfer": may.universal_transfer,
        "enableSpotAndMarginTrading": False,
        "enableMargin": False,
        "enableVanillaOptions": False,
        "enablePortfolioMarginTrading": False,
        "enableFixApiTrade": False,
        "enableFixReadOnly": False,
    }


def commission_rate(venue: Venue, params: Params) -> Payload:
    """Fees of the notional."""
    costs = venue.engine.costs
    return {
        "symbol": params.symbol(),
        "makerCommissionRate": texts.rate(costs.maker_ppm, PPM),
        "takerCommissionRate": texts.rate(costs.taker_ppm, PPM),
    }


def income(venue: Venue, params: Params) -> list[Payload]:
    """Movements of the wallet, oldest first."""
    limit = min(params.whole("limit", 100), MAX_ROWS)
    start, end = params.whole("startTime", 0), params.whole("endTime", venue.replay.time)
    kind = params.text("incomeType", "*")
    wanted = {params.symbol()} if params.has("symbol") else {"", *params.symbols()}
    rows = [
        {
            "symbol": entry.symbol,
            "incomeType": entry.kind,
            "income": cash_text(entry.amount),
            "asset": entry.asset or "USDT",
            "info": entry.kind,
            "time": entry.time,
            "tranId": entry.id,
            "tradeId": str(entry.trade_id) if entry.trade_id else "",
        }
        for entry in venue.engine.incomes
        if entry.symbol in wanted and start <= entry.time <= end and kind in ("*", entry.kind)
    ]
    return rows[:limit] if params.has("startTime") else rows[-limit:]


def refuse_hedge_parameter(params: Params) -> None:
    """An order that names a hedge side does not fit the one-way account."""
    if params.text("positionSide", "BOTH") != "BOTH":
        raise Refusal(Code.WRONG_POSITION_SIDE)


def _max_notional(venue: Venue, symbol: str, leverage: int) -> str:
    """The largest position at this leverage, in whole USDT."""
    return str(tiers.max_notional(venue.engine.instruments[symbol].brackets, leverage) // CASH)


def _margins(venue: Venue, symbol: str) -> tuple[int, int, int]:
    """Notional, initial and maintenance margin of an open position at the current price, cash units."""
    engine = venue.engine
    instrument, position = engine.instruments[symbol], engine.ledger.positions[symbol]
    notional = instrument.notional(engine.mark_price(symbol), position.quantity)
    return (
        notional,
        initial_margin(notional, engine.settings[symbol].leverage),
        tiers.maintenance(instrument.brackets, notional),
    )


def _asset(venue: Venue) -> Payload:
    engine, ledger = venue.engine, venue.engine.ledger
    profit = sum(engine.open_profit(symbol) for symbol in ledger.positions)
    margins = [_margins(venue, symbol) for symbol in ledger.positions]
    initial = cash_text(sum(margin for _, margin, _ in margins))
    free = cash_text(ledger.free)
    return {
        "asset": "USDT",
        "walletBalance": cash_text(ledger.cash),
        "unrealizedProfit": cash_text(profit),
        "marginBalance": cash_text(ledger.cash + profit),
        "maintMargin": cash_text(sum(margin for _, _, margin in margins)),
        "initialMargin": initial,
        "positionInitialMargin": initial,
        "openOrderInitialMargin": "0.00000000",
        "crossWalletBalance": free,
        "crossUnPnl": "0.00000000",
        "availableBalance": cash_text(max(0, ledger.free)),
        "maxWithdrawAmount": cash_text(max(0, ledger.free)),
        "marginAvailable": True,
        "updateTime": venue.replay.time,
    }


def _coins(venue: Venue) -> list[Payload]:
    """The wallet that fees are paid from, where there is one; it carries no margin."""
    coin = venue.engine.fee_coin
    if coin is None:
        return []
    amount, nothing = cash_text(coin.balance), "0.00000000"
    return [
        {
            "asset": coin.asset,
            "walletBalance": amount,
            "unrealizedProfit": nothing,
            "marginBalance": amount,
            "maintMargin": nothing,
            "initialMargin": nothing,
            "positionInitialMargin": nothing,
            "openOrderInitialMargin": nothing,
            "crossWalletBalance": amount,
            "crossUnPnl": nothing,
            "availableBalance": amount,
            "maxWithdrawAmount": amount,
            "marginAvailable": False,
            "updateTime": venue.replay.time,
        }
    ]


def _account_position(venue: Venue, symbol: str) -> Payload:
    risk = _position_risk(venue, symbol)
    return {
        "symbol": symbol,
        "positionSide": "BOTH",
        "positionAmt": risk["positionAmt"],
        "unrealizedProfit": risk["unRealizedProfit"],
        "isolatedMargin": risk["isolatedMargin"],
        "notional": risk["notional"],
        "isolatedWallet": risk["isolatedWallet"],
        "initialMargin": risk["initialMargin"],
        "maintMargin": risk["maintMargin"],
        "updateTime": risk["updateTime"],
    }


def _position_risk(venue: Venue, symbol: str) -> Payload:
    engine = venue.engine
    instrument, position = engine.instruments[symbol], engine.ledger.positions[symbol]
    notional, initial, maintenance = _margins(venue, symbol)
    profit = engine.open_profit(symbol)
    entry = texts.average_price(instrument, position.cost, position.quantity)
    return {
        "symbol": symbol,
        "positionSide": "BOTH",
        "positionAmt": instrument.quantity_text(position.side * position.quantity),
        "entryPrice": entry,
        "breakEvenPrice": entry,
        "markPrice": instrument.price_text(engine.mark_price(symbol)),
        "unRealizedProfit": cash_text(profit),
        "liquidationPrice": texts.price_or_zero(instrument, engine.liquidation_price(symbol)),
        "isolatedMargin": cash_text(position.margin + profit),
        "notional": cash_text(position.side * notional),
        "marginAsset": instrument.quote,
        "isolatedWallet": cash_text(position.margin),
        "initialMargin": cash_text(initial),
        "maintMargin": cash_text(maintenance),
        "positionInitialMargin": cash_text(initial),
        "openOrderInitialMargin": "0",
        "adl": 1,
        "bidNotional": "0",
        "askNotional": "0",
        "updateTime": position.updated,
    }
