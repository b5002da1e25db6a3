"""Bybit's way of saying no: its retCodes for the exchange's refusals, and those that only it knows.

Codes as in its documentation (V5, Error Codes). A refusal travels with status 200; only a missing path is a 404.
"""

from __future__ import annotations

from market.exchange.refusals import Code, Refusal

PARAMS, EXPIRED, BAD_KEY, BAD_SIGN, DENIED = 10001, 10002, 10003, 10004, 10005
NO_SUCH_ORDER, DUPLICATE_ID, ZERO_POSITION = 110001, 110072, 110017
LEVERAGE_NOT_MODIFIED, TRADING_STOP_NOT_MODIFIED = 110043, 34040
EXPECT_RISING, EXPECT_FALLING = 110092, 110093
UNIFIED_ONLY = 100028

RET_CODES: dict[Code, int] = {
    Code.DISCONNECTED: 10016,
    Code.CLOCK_SKEW: EXPIRED,
    Code.BAD_SIGNATURE: BAD_SIGN,
    Code.BAD_API_KEY: DENIED,
    Code.UNKNOWN_ORDER: NO_SUCH_ORDER,
    Code.NO_SUCH_ORDER: NO_SUCH_ORDER,
    Code.NO_MARGIN: 110007,
    Code.REDUCE_ONLY: ZERO_POSITION,
    Code.ABOVE_LEVERAGE_CAP: 110090,
    Code.BAD_LEVERAGE: 110013,
    Code.LEVERAGE_BELOW_POSITION: 110013,
    Code.SAME_MARGIN_TYPE: 110026,
    Code.MARGIN_TYPE_WITH_ORDERS: 3400045,
    Code.MARGIN_TYPE_WITH_POSITION: 3400045,
    Code.ISOLATED_IN_MULTI_ASSETS: 3400045,
    Code.SAME_POSITION_MODE: 110025,
    Code.POSITION_MODE_WITH_ORDERS: 110028,
    Code.POSITION_MODE_WITH_POSITION: 110024,
    Code.MAY_NOT_TRADE: 10027,
    Code.DUPLICATE_CLIENT_ID: DUPLICATE_ID,
    Code.SYMBOL_HALTED: 110023,
    Code.SYMBOL_CLOSED: 110074,
    Code.TOO_SMALL: 110094,
}
"""What is not named here is a fault of the parameters, 10001."""

WORDS: dict[Code, str] = {
    Code.DISCONNECTED: "Server error.",
    Code.BAD_SIGNATURE: "error sign! please check your signature generation algorithm.",
    Code.BAD_API_KEY: "Permission denied, please check your API key permissions.",
    Code.BAD_SYMBOL: "params error: symbol invalid",
    Code.BAD_SIDE: "Side invalid",
    Code.BAD_ORDER_TYPE: "OrderType invalid",
    Code.BAD_TIME_IN_FORCE: "params error: timeInForce invalid",
    Code.BAD_INTERVAL: "Invalid period!",
    Code.TOO_PRECISE: "params error: Qty or price is not a multiple of its step",
    Code.NO_QUANTITY: "The number of contracts exceeds minimum limit allowed",
    Code.TOO_LARGE: "The number of contracts exceeds maximum limit allowed: too large",
    Code.UNKNOWN_ORDER: "order not exists or too late to cancel",
    Code.NO_SUCH_ORDER: "order not exists or too late to cancel",
    Code.NO_MARGIN: "ab not enough for new order",
    Code.REDUCE_ONLY: "current position is zero, cannot fix reduce-only order qty",
    Code.ABOVE_LEVERAGE_CAP: "Order placement failed as your position may exceed the max. limit.",
    Code.LEVERAGE_BELOW_POSITION: "cannot set leverage below that of an open position: not simulated",
    Code.SAME_POSITION_MODE: "Position mode is not modified",
    Code.SAME_MARGIN_TYPE: "Cross/isolated margin mode is not modified",
    Code.WRONG_POSITION_SIDE: "params error: position idx not match position mode",
    Code.DUPLICATE_CLIENT_ID: "OrderLinkedID is duplicate",
    Code.SYMBOL_HALTED: "Currently, only reducing positions is allowed",
    Code.SYMBOL_CLOSED: "This contract is not live",
    Code.TOO_SMALL: "Order does not meet minimum order value",
    Code.NOT_A_MAKER: "params error: a PostOnly order that would take is not simulated",
}
"""Its own words; the others' details are told as they are."""


class Ret(Refusal):
    """A refusal under a retCode of Bybit's own."""

    def __init__(self, ret_code: int, message: str) -> None:
        super().__init__(Code.BAD_PARAMETER, message)
        self.ret_code = ret_code


def told(refusal: Refusal) -> tuple[int, str]:
    """The retCode and words of a refusal."""
    if isinstance(refusal, Ret):
        return refusal.ret_code, refusal.message
    return RET_CODES.get(refusal.code, PARAMS), WORDS.get(refusal.code, refusal.message)
