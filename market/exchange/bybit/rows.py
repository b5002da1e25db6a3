"""Rows that replies and frames have in common: orders, executions, positions, the wallet."""

from __future__ import annotations

from typing import Any

from market import tiers
from market.exchange import texts
from market.exchange.bybit import words
from market.exchange.engine import Engine
from market.exchange.ledger import Position
from market.exchange.orders import Fill, Income, Order, OrderStatus, Stop, StopStatus
from market.fills import PPM, initial_margin
from market.instruments import Instrument, cash_text

Row = dict[str, Any]

REASONS = {
    StopStatus.CANCELED: ("CancelByUser", "EC_PerCancelRequest"),
    StopStatus.EXPIRED: ("CancelByPrepareLiq", "EC_Others"),
    StopStatus.REJECTED: ("UNKNOWN", "EC_NoEnoughQtyToFill"),
}


def order(engine: Engine, entry: Order, stop: Stop | None) -> Row:
    """A plain order, or a conditional one that has triggered: then `stop` is what it was before."""
    instrument = engine.instruments[entry.symbol]
    cancel, reject = "UNKNOWN", "EC_NoError"
    if entry.status is OrderStatus.CANCELED:
        cancel, reject = "CancelByUser", "EC_PerCancelRequest"
    elif entry.status is OrderStatus.EXPIRED:
        reject = "EC_NoImmediateQtyToFill"
    created = entry.created if stop is None else stop.created
    return _row(
        instrument,
        entry.id if stop is None else stop.id,
        entry,
        status=words.ORDER_STATUS[entry.status],
        price=instrument.price_text(entry.price),
        filled=entry.filled,
        cost=entry.cost,
        stop=stop,
        reduces=entry.reduce_only,
        created=created,
        reasons=(cancel, reject),
    )


def waiting(engine: Engine, stop: Stop) -> Row:
    """A conditional order that has not triggered, or that ended in triggering."""
    instrument = engine.instruments[stop.symbol]
    cost = 0 if not stop.filled else instrument.notional(stop.fill_price, stop.filled)
    return _row(
        instrument,
        stop.id,
        stop,
        status=words.STOP_STATUS[stop.status],
        price="0",
        filled=stop.filled,
        cost=cost,
        stop=stop,
        reduces=stop.reduce_only or stop.close_position,
        created=stop.created,
        reasons=REASONS.get(stop.status, ("UNKNOWN", "EC_NoError")),
    )


def _row(
    instrument: Instrument,
    id_: int,
    entry: Order | Stop,
    *,
    status: str,
    price: str,
    filled: int,
    cost: int,
    stop: Stop | None,
    reduces: bool,
    created: int,
    reasons: tuple[str, str],
) -> Row:
    quantity = instrument.quantity_text
    limit = isinstance(entry, Order) and entry.kind == "LIMIT"
    left = max(0, entry.quantity - filled) if status in ("New", "PartiallyFilled", "Untriggered", "Triggered") else 0
    tif = next((word for word, ours in words.TIMES_IN_FORCE.items() if ours == entry.time_in_force), "GTC")
    return {
        "symbol": entry.symbol,
        "orderId": words.id_text(id_),
        "orderLinkId": words.link_id(entry.client_id),
        "side": words.side(entry.side),
        "orderType": "Limit" if limit else "Market",
        "price": price,
        "qty": quantity(entry.quantity),
        "orderStatus": status,
        "avgPrice": texts.average_price(instrument, cost, filled) if filled else "",
        "leavesQty": quantity(left),
        "cumExecQty": quantity(filled),
        "cumExecValue": cash_text(cost),
        "timeInForce": tif if limit else "IOC",
        "stopOrderType": "" if stop is None else words.stop_kind(stop),
        "triggerPrice": "" if stop is None else instrument.price_text(stop.trigger),
        "triggerDirection": 0 if stop is None else words.RISES if stop.rises_to else words.FALLS,
        "triggerBy": "" if stop is None else words.trigger_word(stop.working_type),
        "reduceOnly": reduces,
        "closeOnTrigger": False,
        "createType": words.execution_type(entry.client_id)[1],
        "cancelType": reasons[0],
        "rejectReason": reasons[1],
        "positionIdx": 0,
        "isLeverage": "",
        "takeProfit": "",
        "stopLoss": "",
        "tpslMode": "" if stop is None or not stop.close_position else "Full",
        "createdTime": str(created),
        "updatedTime": str(entry.updated),
    }


def execution(engine: Engine, fill: Fill, entry: Order) -> Row:
    """An execution."""
    instrument = engine.instruments[fill.symbol]
    stop = words.origin(engine, entry)
    rate = 0 if not fill.fee else engine.costs.maker_ppm if fill.maker else engine.costs.taker_ppm
    closed = min(fill.quantity, fill.quantity if fill.profit or entry.reduce_only else 0)
    return {
        "symbol": fill.symbol,
        "execId": words.id_text(fill.id),
        "execType": words.execution_type(entry.client_id)[0],
        "execPrice": instrument.price_text(fill.price),
        "execQty": instrument.quantity_text(fill.quantity),
        "execValue": cash_text(fill.notional),
        "execFee": cash_text(fill.fee),
        "feeRate": texts.rate(rate, PPM),
        "feeCurrency": "",
        "isMaker": fill.maker,
        "orderId": words.id_text(entry.id if stop is None else stop.id),
        "orderLinkId": words.link_id(entry.client_id),
        "orderPrice": instrument.price_text(entry.price),
        "orderQty": instrument.quantity_text(entry.quantity),
        "leavesQty": instrument.quantity_text(entry.left),
        "orderType": "Limit" if entry.kind == "LIMIT" else "Market",
        "stopOrderType": "UNKNOWN" if stop is None else words.stop_kind(stop),
        "side": words.side(fill.side),
        "markPrice": instrument.price_text(engine.mark_price(fill.symbol)),
        "closedSize": instrument.quantity_text(closed),
        "execTime": str(fill.time),
        "execPnl": cash_text(fill.profit),
        "seq": fill.id,
    }


def funding(engine: Engine, paid: Income, held: Position | None) -> Row:
    """A funding payment, which is an execution here; `held` is the position that paid it, where it is known."""
    instrument = engine.instruments[paid.symbol]
    return {
        "symbol": paid.symbol,
        "execId": words.id_text(words.FUNDING_ID_BASE + paid.id),
        "execType": "Funding",
        "execPrice": instrument.price_text(engine.mark_price(paid.symbol)),
        "execQty": instrument.quantity_text(held.quantity if held else 0),
        "execValue": cash_text(held.cost if held else 0),
        "execFee": cash_text(-paid.amount),
        "feeRate": "",
        "feeCurrency": "",
        "isMaker": False,
        "orderId": words.id_text(words.FUNDING_ID_BASE + paid.id),
        "orderLinkId": "",
        "orderPrice": "0",
        "orderQty": "0",
        "leavesQty": "0",
        "orderType": "UNKNOWN",
        "stopOrderType": "UNKNOWN",
        "side": words.side(held.side if held else 1),
        "markPrice": instrument.price_text(engine.mark_price(paid.symbol)),
        "closedSize": "0",
        "execTime": str(paid.time),
        "execPnl": "0",
        "seq": paid.id,
    }


def position(engine: Engine, symbol: str, held: Position | None) -> Row:
    """A symbol's position in one-way mode; a flat one has no side and no entry price."""
    instrument, settings = engine.instruments[symbol], engine.settings[symbol]
    row: Row = {
        "positionIdx": 0,
        "symbol": symbol,
        "side": "",
        "size": "0",
        "avgPrice": "0",
        "entryPrice": "0",
        "positionValue": "0",
        "positionBalance": "0",
        "positionIM": "0",
        "positionMM": "0",
        "unrealisedPnl": "0",
        "liqPrice": "",
        "bustPrice": "",
        "leverage": str(settings.leverage),
        "tradeMode": 0,
        "autoAddMargin": 0,
        "markPrice": instrument.price_text(engine.mark_price(symbol)),
        "cumRealisedPnl": cash_text(engine.realized[symbol]),
        "positionStatus": "Normal",
        "riskId": 1,
        "riskLimitValue": "",
        "takeProfit": "0",
        "stopLoss": "0",
        "trailingStop": "0",
        "tpslMode": "Full",
        "adlRankIndicator": 2,
        "isReduceOnly": False,
        "createdTime": str(held.updated if held else 0),
        "updatedTime": str(held.updated if held else engine.time),
        "seq": len(engine.fills),
    }
    if held is not None:
        entry = texts.average_price(instrument, held.cost, held.quantity)
        notional = instrument.notional(engine.mark_price(symbol), held.quantity)
        liquidation = engine.liquidation_price(symbol) if symbol in engine.ledger.positions else 0
        row |= {
            "side": words.side(held.side),
            "size": instrument.quantity_text(held.quantity),
            "avgPrice": entry,
            "entryPrice": entry,
            "positionValue": cash_text(held.cost),
            "positionBalance": cash_text(held.margin),
            "positionIM": cash_text(initial_margin(notional, settings.leverage)),
            "positionMM": cash_text(tiers.maintenance(instrument.brackets, notional)),
            "unrealisedPnl": cash_text(held.side * (notional - held.cost)),
            "liqPrice": instrument.price_text(liquidation) if liquidation else "",
        }
    for stop in engine.stops.open(symbol):
        if stop.close_position:
            row["takeProfit" if stop.kind == "TAKE_PROFIT_MARKET" else "stopLoss"] = instrument.price_text(stop.trigger)
    return row


def wallet(engine: Engine, cash: int, free: int) -> Row:
    """The unified account, which holds one coin here."""
    profit = sum(engine.open_profit(symbol) for symbol in engine.ledger.positions)
    coin = {
        "coin": "USDT",
        "walletBalance": cash_text(cash),
        "equity": cash_text(cash + profit),
        "usdValue": cash_text(cash + profit),
        "unrealisedPnl": cash_text(profit),
        "cumRealisedPnl": cash_text(engine.ledger.realized),
        "totalPositionIM": cash_text(engine.ledger.margins),
        "totalOrderIM": "0",
        "locked": "0",
        "borrowAmount": "0",
        "accruedInterest": "0",
        "bonus": "0",
        "availableToWithdraw": cash_text(max(0, free)),
        "marginCollateral": True,
        "collateralSwitch": True,
    }
    return {
        "accountType": "UNIFIED",
        "accountIMRate": "",
        "accountMMRate": "",
        "totalEquity": cash_text(cash + profit),
        "totalWalletBalance": cash_text(cash),
        "totalMarginBalance": cash_text(cash + profit),
        "totalAvailableBalance": cash_text(max(0, free)),
        "totalPerpUPL": cash_text(profit),
        "totalInitialMargin": cash_text(engine.ledger.margins),
        "totalMaintenanceMargin": "",
        "coin": [coin],
    }
