"""Halting: what a trading state is changed by, and how it ends. The same in the backtest and live.

Losses are judged at each decision candle, on equity at closing prices, by the scalar rules of `strategy.risk`. Between
candles the daemon may only be stricter: `restrict` never loosens.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from strategy import risk
from strategy.live_config import HaltLimits
from strategy.plan import STRICTNESS, UNTIL_RESUMED, AccountMemory, Reason, TradingState


def assess(account: AccountMemory, closed_at: int, equity: int, limits: HaltLimits) -> AccountMemory:
    """Judge the account at the close of a decision candle.

    Parameters
    ----------
    account : AccountMemory
        What is remembered of it.
    closed_at : int
        The close, ms.
    equity : int
        Cash plus open profit at the closing prices, cash units.
    limits : HaltLimits
        The rules' limits and their consequences.
    """
    account = _new_period(_ended(account, closed_at), closed_at, equity)
    for state, reason, until in _breaches(account, closed_at, equity, limits):
        account = restrict(account, state, reason, closed_at, until)
    return account


def restrict(
    account: AccountMemory, state: TradingState, reason: Reason, at: int, until: int = UNTIL_RESUMED
) -> AccountMemory:
    """Put a state in force from `at` (ms), unless the one in force is stricter, or as strict and ends no sooner.

    The one for drift ends with its cause: what is as strict and waits for an operator comes in its place.
    """
    sooner = account.reason is Reason.DRIFT and reason is not Reason.DRIFT
    outlasts = sooner and state is account.state and until == UNTIL_RESUMED
    if not outlasts and not risk.prevails(STRICTNESS[state], until, STRICTNESS[account.state], account.until):
        return account
    return replace(account, state=state, reason=reason, since=at, until=until)


def resume(account: AccountMemory, at: int, equity: int) -> AccountMemory:
    """Rule: an operator's `resume` ends any state; what was lost until then is accepted, and counts anew from here.

    Only the limit that the state is in force for begins anew: another one that is passed strikes at the next candle.
    """
    return _active(account, at, equity)


def lift(account: AccountMemory, reason: Reason, at: int) -> AccountMemory:
    """End the state that is in force for `reason`, whose cause is gone; one for another reason stays."""
    return _active(account, at, account.equity) if account.reason is reason else account


def after_trade(account: AccountMemory, profit: int) -> AccountMemory:
    """Count a closed trade; `profit` in cash units, net of fees and funding."""
    return replace(account, losses=risk.losing_streak(account.losses, profit))


def after_transfer(account: AccountMemory, equity: int, amount: int) -> AccountMemory:
    """Carry what equity is measured against over a deposit or withdrawal; `equity` is the one before it."""
    return replace(
        account,
        day_start=risk.carried_over(account.day_start, equity, amount),
        week_start=risk.carried_over(account.week_start, equity, amount),
        peak=risk.carried_over(account.peak, equity, amount),
        equity=risk.carried_over(account.equity, equity, amount),
    )


def _ended(account: AccountMemory, now: int) -> AccountMemory:
    """Rule: a state with an end of its own ends there."""
    if account.state is TradingState.ACTIVE or account.until == UNTIL_RESUMED or now < account.until:
        return account
    return _active(account, now, account.equity)


def _active(account: AccountMemory, at: int, equity: int) -> AccountMemory:
    match account.reason:
        case Reason.DAILY_LOSS:
            account = replace(account, day_start=equity)
        case Reason.WEEKLY_LOSS:
            account = replace(account, week_start=equity)
        case Reason.DRAWDOWN:
            account = replace(account, peak=equity)
        case Reason.LOSING_STREAK:
            account = replace(account, losses=0)
        case _:
            pass
    return replace(account, state=TradingState.ACTIVE, reason=None, since=at, until=UNTIL_RESUMED)


def _new_period(account: AccountMemory, now: int, equity: int) -> AccountMemory:
    """Rule: day and week begin with the equity at their first instant.

    Where no candle closed then, they begin with the higher of the last equity before and the first after, so that a
    loss in between belongs to the new one.
    """
    day, week = risk.day_of(now), risk.week_of(now)
    begun = equity if account.day < 0 else max(equity, account.equity)
    if day != account.day:
        account = replace(account, day=day, day_start=equity if now == day else begun)
    if week != account.week:
        account = replace(account, week=week, week_start=equity if now == week else begun)
    return replace(account, peak=max(account.peak, equity), equity=equity)


def _breaches(
    account: AccountMemory, now: int, equity: int, limits: HaltLimits
) -> Iterator[tuple[TradingState, Reason, int]]:
    """Each limit that is reached: the state it leads to, and that state's end.

    Rule: a daily loss and a losing streak reduce until the next UTC day, a weekly loss until the next week, a drawdown
    until an operator resumes; whatever halts lasts until then as well.
    """
    tomorrow, next_week = risk.day_of(now) + risk.DAY_MS, risk.week_of(now) + risk.WEEK_MS
    if risk.lost(account.day_start, equity, limits.daily_loss_bps):
        yield limits.daily_loss_then, Reason.DAILY_LOSS, _end(limits.daily_loss_then, tomorrow)
    if risk.lost(account.week_start, equity, limits.weekly_loss_bps):
        yield limits.weekly_loss_then, Reason.WEEKLY_LOSS, _end(limits.weekly_loss_then, next_week)
    if risk.lost(account.peak, equity, limits.drawdown_bps):
        yield limits.drawdown_then, Reason.DRAWDOWN, UNTIL_RESUMED
    if 0 < limits.losing_streak <= account.losses:
        yield limits.losing_streak_then, Reason.LOSING_STREAK, _end(limits.losing_streak_then, tomorrow)


def _end(state: TradingState, until: int) -> int:
    return UNTIL_RESUMED if state is TradingState.HALTED else until
