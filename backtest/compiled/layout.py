"""Where the kernel keeps what: columns of its int64 arrays, and the numbers it uses for words.

A reason is the index of its text in `REASONS`, a state its strictness.
"""

from __future__ import annotations

from backtest.broker import Refusal
from market import trades
from strategy.plan import STRICTNESS, Reason

# a bar, what was said at a close, a rate of funding
OPEN, HIGH, LOW, CLOSE = range(4)
S_CLOSE, S_LONG, S_SHORT, S_REGIME = range(4)
F_BAR, F_RATE = range(2)

# the terms of a symbol; tiers [FIRST_TIER, LAST_TIER), of which those below REACHED can liquidate a position
UNIT, MIN_QUANTITY, MIN_NOTIONAL, FIRST_TIER, LAST_TIER, REACHED, FUNDING_FROM, FUNDING_TO = range(8)

# an open position, one row a symbol; side 0 is none; NEAREST is side times the price at which something happens
(SIDE, QUANTITY, COST, MARGIN, LEVERAGE, ENTRY_TIME, ENTRY_BAR, REGIME, STOP, STOP_BPS, LIQUIDATION, FEES, FUNDING,
 LARGEST_PRICE, NEAREST) = range(15)  # fmt: skip
POSITION = 15

# what is remembered of a symbol, one row each; and its next rate of funding, with the bar at which that is paid
IN_FORCE, CANDIDATE, SEEN, STOPPED_BAR, LIQUIDATED, NEXT_RATE, NEXT_BAR = range(7)
MEMORY = 7
NEVER = 2**62

# the account
(CASH, PAID_FEES, PAID_FUNDING, STATE, WHY, SINCE, UNTIL, DAY, WEEK, DAY_START, WEEK_START, PEAK, EQUITY, LOSSES,
 CLOSED, STOPS, LIQUIDATIONS, RESTRICTIONS, STATUS) = range(19)  # fmt: skip
ACCOUNT = 19

# a closed trade
(T_SYMBOL, T_SIDE, T_QUANTITY, T_LEVERAGE, T_ENTRY_TIME, T_ENTRY_PRICE, T_EXIT_TIME, T_EXIT_PRICE, T_REASON, T_FEES,
 T_FUNDING, T_PROFIT, T_CASH_AFTER, T_REGIME) = range(14)  # fmt: skip
TRADE = 14

# what was decided for a symbol at a close
D_ACTION, D_QUANTITY, D_LEVERAGE, D_SIDE, D_STOP_BPS, D_STOP, D_REASON, D_MARGIN = range(8)
DECISION = 8
NO_ACTION, EXIT, TIGHTEN, ENTER = 0, 1, 2, 3

# a trading state coming into force
RESTRICTION = 3

FINE, BEYOND_INT64 = 0, 1
"""How a run ended; the second means that a number would have left int64, and the plain loop must be asked."""

REASONS: tuple[str, ...] = (
    *map(str, Reason), trades.STOP, trades.LIQUIDATION, trades.UNPROTECTED,
)  # fmt: skip
REFUSALS: tuple[str, ...] = tuple(map(str, Refusal))
STATES: tuple[str, ...] = tuple(map(str, STRICTNESS))


def _reason(text: str) -> int:
    return REASONS.index(str(text))


LONG_SIGNAL, SHORT_SIGNAL, HOLD = _reason(Reason.LONG_SIGNAL), _reason(Reason.SHORT_SIGNAL), _reason(Reason.HOLD)
NO_SIGNAL, NO_EDGE = _reason(Reason.NO_SIGNAL), _reason(Reason.NO_EDGE)
OPPOSITE_SIGNAL, SIGNAL_GONE = _reason(Reason.OPPOSITE_SIGNAL), _reason(Reason.SIGNAL_GONE)
TIME, TIGHTENED = _reason(Reason.TIME), _reason(Reason.TIGHTENED)
NO_PREDICTION, NO_REGIME = _reason(Reason.NO_PREDICTION), _reason(Reason.NO_REGIME)
SAME_CANDLE, COOLDOWN = _reason(Reason.SAME_CANDLE), _reason(Reason.COOLDOWN)
LOST_LIQUIDATION, TOO_SMALL = _reason(Reason.LOST_LIQUIDATION), _reason(Reason.TOO_SMALL)
POSITION_CAP, RESERVE = _reason(Reason.POSITION_CAP), _reason(Reason.RESERVE)
RISK_CAP, STOP_TOO_FAR = _reason(Reason.RISK_CAP), _reason(Reason.STOP_TOO_FAR)
DAILY_LOSS, WEEKLY_LOSS = _reason(Reason.DAILY_LOSS), _reason(Reason.WEEKLY_LOSS)
DRAWDOWN, LOSING_STREAK = _reason(Reason.DRAWDOWN), _reason(Reason.LOSING_STREAK)
STOPPED, LIQUIDATION_REASON = _reason(trades.STOP), _reason(trades.LIQUIDATION)
UNPROTECTED = _reason(trades.UNPROTECTED)
R_QUANTITY, R_COUNTABLE = REFUSALS.index(Refusal.QUANTITY), REFUSALS.index(Refusal.COUNTABLE)
R_NOTIONAL, R_TIER = REFUSALS.index(Refusal.NOTIONAL), REFUSALS.index(Refusal.TIER)
R_MARGIN, R_BAND, R_RESERVE = (
    REFUSALS.index(Refusal.MARGIN),
    REFUSALS.index(Refusal.BAND),
    REFUSALS.index(Refusal.RESERVE),
)
ACTIVE, REDUCING, HALTED = 0, 1, 2
