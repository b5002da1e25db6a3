"""Refusals: every way the exchange says no, under the number and in the words of the real one."""

from __future__ import annotations

from enum import IntEnum


class Code(IntEnum):
    """Error codes of the exchange, by what they mean."""

    DISCONNECTED = -1001
    TOO_MANY_REQUESTS = -1003
    TOO_MANY_ORDERS = -1015
    CLOCK_SKEW = -1021
    BAD_SIGNATURE = -1022
    MISSING_PARAMETER = -1102
    UNWANTED_PARAMETER = -1106
    TOO_PRECISE = -1111
    BAD_TIME_IN_FORCE = -1115
    BAD_ORDER_TYPE = -1116
    BAD_SIDE = -1117
    BAD_INTERVAL = -1120
    BAD_SYMBOL = -1121
    NO_LISTEN_KEY = -1125
    BAD_PARAMETER = -1130
    ORDER_REJECTED = -2010
    UNKNOWN_ORDER = -2011
    NO_SUCH_ORDER = -2013
    BAD_CALLBACK_RATE = -2007
    BAD_API_KEY = -2015
    NO_MARGIN = -2019
    WOULD_TRIGGER = -2021
    REDUCE_ONLY = -2022
    ABOVE_LEVERAGE_CAP = -2027
    NO_QUANTITY = -4003
    TOO_LARGE = -4005
    BAD_LEVERAGE = -4028
    SAME_MARGIN_TYPE = -4046
    MARGIN_TYPE_WITH_ORDERS = -4047
    MARGIN_TYPE_WITH_POSITION = -4048
    SAME_POSITION_MODE = -4059
    WRONG_POSITION_SIDE = -4061
    POSITION_MODE_WITH_ORDERS = -4067
    POSITION_MODE_WITH_POSITION = -4068
    MAY_NOT_TRADE = -4088
    DUPLICATE_CLIENT_ID = -4116
    STOP_TRIGGERING = -4117
    USE_ALGO_ENDPOINT = -4120
    SECOND_CLOSE_POSITION = -4130
    BAD_STRATEGY = -4136
    SYMBOL_HALTED = -4140
    SYMBOL_CLOSED = -4141
    LEVERAGE_BELOW_POSITION = -4161
    TOO_SMALL = -4164
    MULTI_ASSETS_WITH_ISOLATED = -4167
    ISOLATED_IN_MULTI_ASSETS = -4168
    ASSET_MODE_WITH_ORDERS = -4170
    SAME_ASSET_MODE = -4171
    UNKNOWN_PATH = -5000
    NOT_A_MAKER = -5022


MESSAGES = {
    Code.DISCONNECTED: "Internal error; unable to process your request. Please try again.",
    Code.TOO_MANY_REQUESTS: "Too many requests queued.",
    Code.TOO_MANY_ORDERS: "Too many new orders.",
    Code.CLOCK_SKEW: "Timestamp for this request is outside of the recvWindow.",
    Code.BAD_SIGNATURE: "Signature for this request is not valid.",
    Code.UNKNOWN_PATH: "This path or method is not part of the exchange.",
    Code.MISSING_PARAMETER: "Mandatory parameter was not sent, was empty/null, or malformed.",
    Code.UNWANTED_PARAMETER: "Parameter sent when not required.",
    Code.TOO_PRECISE: "Precision is over the maximum defined for this asset.",
    Code.BAD_TIME_IN_FORCE: "Invalid timeInForce.",
    Code.BAD_ORDER_TYPE: "Invalid orderType.",
    Code.BAD_SIDE: "Invalid side.",
    Code.BAD_INTERVAL: "Invalid interval.",
    Code.BAD_SYMBOL: "Invalid symbol.",
    Code.NO_LISTEN_KEY: "This listenKey does not exist.",
    Code.BAD_PARAMETER: "Invalid data sent for a parameter.",
    Code.ORDER_REJECTED: "New order rejected.",
    Code.UNKNOWN_ORDER: "Unknown order sent.",
    Code.NO_SUCH_ORDER: "Order does not exist.",
    Code.BAD_CALLBACK_RATE: "Invalid callback rate.",
    Code.BAD_API_KEY: "Invalid API-key, IP, or permissions for action.",
    Code.NO_MARGIN: "Margin is insufficient.",
    Code.WOULD_TRIGGER: "Order would immediately trigger.",
    Code.REDUCE_ONLY: "ReduceOnly Order is rejected.",
    Code.ABOVE_LEVERAGE_CAP: "Exceeded the maximum allowable position at current leverage.",
    Code.NO_QUANTITY: "Quantity less than or equal to zero.",
    Code.TOO_LARGE: "Quantity greater than max quantity.",
    Code.BAD_LEVERAGE: "Leverage is not valid.",
    Code.SAME_MARGIN_TYPE: "No need to change margin type.",
    Code.MARGIN_TYPE_WITH_ORDERS: "Margin type cannot be changed if there exists open orders.",
    Code.MARGIN_TYPE_WITH_POSITION: "Margin type cannot be changed if there exists position.",
    Code.SAME_POSITION_MODE: "No need to change position side.",
    Code.WRONG_POSITION_SIDE: "Order's position side does not match user's setting.",
    Code.POSITION_MODE_WITH_ORDERS: "Position side cannot be changed if there exists open orders.",
    Code.POSITION_MODE_WITH_POSITION: "Position side cannot be changed if there exists position.",
    Code.DUPLICATE_CLIENT_ID: "ClientOrderId is duplicated.",
    Code.STOP_TRIGGERING: "Stop order is triggering.",
    Code.USE_ALGO_ENDPOINT: (
        "Order type not supported for this endpoint. Please use the Algo Order API endpoints instead."
    ),
    Code.SECOND_CLOSE_POSITION: (
        "An open stop or take profit order with GTE and closePosition in the direction is existing."
    ),
    Code.BAD_STRATEGY: "Target strategy invalid for orderType TRAILING_STOP_MARKET,closePosition true",
    Code.LEVERAGE_BELOW_POSITION: ("Leverage reduction is not supported in Isolated Margin Mode with open positions."),
    Code.MAY_NOT_TRADE: "User can not place order currently.",
    Code.SYMBOL_HALTED: "Invalid symbol status for opening position.",
    Code.SYMBOL_CLOSED: "Symbol is closed.",
    Code.MULTI_ASSETS_WITH_ISOLATED: (
        "Unable to adjust to Multi-Assets mode with symbols of USDⓈ-M Futures under isolated-margin mode."
    ),
    Code.ISOLATED_IN_MULTI_ASSETS: "Unable to adjust to isolated-margin mode under the Multi-Assets mode.",
    Code.ASSET_MODE_WITH_ORDERS: "Unable to adjust Multi-Assets Mode with open orders in USDⓈ-M Futures.",
    Code.SAME_ASSET_MODE: "Adjusted asset mode is currently set and does not need to be adjusted repeatedly.",
    Code.TOO_SMALL: "Order's notional must be no smaller than 5 (unless you choose reduce only).",
    Code.NOT_A_MAKER: (
        "Due to the order could not be executed as maker, the Post Only order will be rejected. "
        "The order will not be recorded in the order history."
    ),
}


class Refusal(Exception):
    """The exchange says no: nothing was changed.

    Parameters
    ----------
    code : Code
        Which refusal.
    detail : str
        What exactly, in place of the standard words.
    """

    def __init__(self, code: Code, detail: str = "") -> None:
        self.code = code
        self.message = detail or MESSAGES[code]
        super().__init__(f"{int(code)} {self.message}")

    @property
    def status(self) -> int:
        """HTTP status the refusal travels with."""
        match self.code:
            case Code.BAD_API_KEY:
                return 401
            case Code.DISCONNECTED:
                return 503
            case Code.UNKNOWN_PATH:
                return 404
            case _:
                return 400
