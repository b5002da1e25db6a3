"""Trading states: what brings each, how it ends, and that neither a deposit nor the outlook gets around one."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import TypeAdapter

from strategy import halting, risk
from strategy.live_config import HaltLimits
from strategy.plan import UNTIL_RESUMED, AccountMemory, Reason, TradingState

ACTIVE, REDUCING, HALTED = TradingState
HOUR = 3_600_000
MONDAY = int(datetime(2024, 1, 1, tzinfo=UTC).timestamp() * 1000)
TUESDAY, NEXT_MONDAY = MONDAY + risk.DAY_MS, MONDAY + risk.WEEK_MS
LIMITS = HaltLimits(500, REDUCING, 1_000, REDUCING, 2_000, HALTED, 3, REDUCING)
NONE = HaltLimits(0, ACTIVE, 0, ACTIVE, 0, ACTIVE, 0, ACTIVE)
START = 10_000

amounts = st.integers(1, 10**15)
flows = st.integers(-(10**15), 10**15)
instants = st.integers(0, 3 * 365 * 24).map(lambda n: MONDAY + n * HOUR)


@st.composite
def limits(draw: st.DrawFn) -> HaltLimits:
    bps, then = st.integers(0, 9_999), st.sampled_from([REDUCING, HALTED])
    return HaltLimits(
        draw(bps), draw(then), draw(bps), draw(then), draw(bps), draw(then), draw(st.integers(0, 9)), draw(then)
    )


@st.composite
def accounts(draw: st.DrawFn) -> AccountMemory:
    state = draw(st.sampled_from([ACTIVE, REDUCING, HALTED]))
    reasons = [Reason.DAILY_LOSS, Reason.WEEKLY_LOSS, Reason.DRAWDOWN, Reason.LOSING_STREAK, Reason.PAUSED]
    at = draw(instants)
    return AccountMemory(
        state=state,
        reason=None if state is ACTIVE else draw(st.sampled_from(reasons)),
        since=at,
        until=draw(st.sampled_from([UNTIL_RESUMED, at + HOUR])) if state is REDUCING else UNTIL_RESUMED,
        day=risk.day_of(at),
        week=risk.week_of(at),
        day_start=draw(amounts),
        week_start=draw(amounts),
        peak=draw(amounts),
        equity=draw(amounts),
        losses=draw(st.integers(0, 9)),
    )


def after(*equities: int, begin: int = MONDAY + HOUR, limits: HaltLimits = LIMITS) -> AccountMemory:
    """The account after an hour at each equity."""
    account = AccountMemory()
    for hour, equity in enumerate(equities):
        account = halting.assess(account, begin + hour * HOUR, equity, limits)
    return account


def test_a_day_and_a_week_begin_in_utc_and_on_monday() -> None:
    assert risk.day_of(MONDAY + 5 * HOUR) == MONDAY
    assert risk.week_of(MONDAY - 1) == MONDAY - risk.WEEK_MS
    assert risk.week_of(MONDAY) == risk.week_of(NEXT_MONDAY - 1) == MONDAY


@given(amounts, st.integers(-(10**15), 10**15), st.integers(0, 9_999))
def test_a_loss_limit_is_reached_at_its_share_exactly(start: int, equity: int, bps: int) -> None:
    assert risk.lost(start, equity, bps) == (bps > 0 and (start - equity) * 10_000 >= start * bps)


def test_a_daily_loss_reduces_until_the_next_utc_day() -> None:
    assert after(START, 9_501).state is ACTIVE
    struck = after(START, 9_500)
    assert (struck.state, struck.reason, struck.until) == (REDUCING, Reason.DAILY_LOSS, TUESDAY)
    assert halting.assess(struck, TUESDAY - HOUR, START, LIMITS).state is REDUCING, "a recovery does not end it"
    assert halting.assess(struck, TUESDAY, 9_400, LIMITS).state is ACTIVE, "and the new day counts from its own start"


def test_a_loss_spread_over_days_is_no_daily_loss_but_a_weekly_one() -> None:
    account = AccountMemory()
    for day, equity in enumerate((10_000, 9_700, 9_400, 9_100, 9_000)):
        account = halting.assess(account, MONDAY + day * risk.DAY_MS, equity, LIMITS)
    assert (account.state, account.reason, account.until) == (REDUCING, Reason.WEEKLY_LOSS, NEXT_MONDAY)
    assert halting.assess(account, NEXT_MONDAY - HOUR, 9_900, LIMITS).state is REDUCING
    assert halting.assess(account, NEXT_MONDAY, 9_000, LIMITS).state is ACTIVE


def test_a_drawdown_halts_until_an_operator_resumes() -> None:
    account = AccountMemory(peak=START, day=MONDAY, week=MONDAY, day_start=8_100, week_start=8_100, equity=8_100)
    account = halting.assess(account, MONDAY + HOUR, 8_000, LIMITS)
    assert (account.state, account.reason, account.until) == (HALTED, Reason.DRAWDOWN, UNTIL_RESUMED)
    assert halting.assess(account, NEXT_MONDAY, 12_000, LIMITS).state is HALTED
    account = halting.resume(account, NEXT_MONDAY, 8_000)
    assert halting.assess(account, NEXT_MONDAY + HOUR, 8_000, LIMITS).state is ACTIVE, "what was lost is accepted"


def test_losing_trades_in_a_row_reduce_until_the_next_day_and_then_count_anew() -> None:
    account = after(START)
    for profit in (-1, -1, 5, -1, -1):
        account = halting.after_trade(account, profit)
    assert halting.assess(account, MONDAY + 2 * HOUR, START, LIMITS).state is ACTIVE, "a gain ends the row"
    account = halting.assess(halting.after_trade(account, -1), MONDAY + 2 * HOUR, START, LIMITS)
    assert (account.state, account.reason, account.until) == (REDUCING, Reason.LOSING_STREAK, TUESDAY)
    ended = halting.assess(account, TUESDAY, START, LIMITS)
    assert (ended.state, ended.losses) == (ACTIVE, 0)


def test_a_limit_that_is_turned_off_never_strikes() -> None:
    account = replace(after(START, limits=NONE), losses=100)
    assert halting.assess(account, MONDAY + 2 * HOUR, 1, NONE).state is ACTIVE


def test_a_limit_may_halt_instead_of_reduce_and_then_an_operator_ends_it() -> None:
    account = after(START, 9_500, limits=replace(LIMITS, daily_loss_then=HALTED))
    assert (account.state, account.until) == (HALTED, UNTIL_RESUMED)


def test_a_loss_while_no_candle_closed_at_midnight_belongs_to_the_new_day() -> None:
    account = after(START)
    account = halting.assess(account, TUESDAY + 3 * HOUR, 9_500, LIMITS)
    assert account.reason is Reason.DAILY_LOSS


def test_the_stricter_state_stays_and_of_equals_the_one_that_lasts_longer() -> None:
    daily = halting.restrict(AccountMemory(), REDUCING, Reason.DAILY_LOSS, MONDAY, TUESDAY)
    weekly = halting.restrict(daily, REDUCING, Reason.WEEKLY_LOSS, MONDAY, NEXT_MONDAY)
    paused = halting.restrict(weekly, REDUCING, Reason.PAUSED, MONDAY)
    halted = halting.restrict(paused, HALTED, Reason.FLATTENED, MONDAY)
    assert (weekly.reason, paused.reason) == (Reason.WEEKLY_LOSS, Reason.PAUSED)
    assert halting.restrict(weekly, REDUCING, Reason.DAILY_LOSS, MONDAY, TUESDAY) == weekly
    assert halting.restrict(paused, REDUCING, Reason.DAILY_LOSS, MONDAY, TUESDAY) == paused
    assert halting.restrict(halted, REDUCING, Reason.PAUSED, MONDAY) == halted


def test_resuming_accepts_only_the_loss_that_was_named() -> None:
    account = halting.restrict(after(START, 9_600), REDUCING, Reason.PAUSED, MONDAY + HOUR)
    account = halting.assess(account, MONDAY + 3 * HOUR, 9_400, LIMITS)
    assert account.reason is Reason.PAUSED
    account = halting.assess(halting.resume(account, MONDAY + 3 * HOUR, 9_400), MONDAY + 4 * HOUR, 9_400, LIMITS)
    assert account.reason is Reason.DAILY_LOSS, "a pause does not forgive what was lost on the day"


@given(accounts(), instants, amounts, flows, limits())
def test_a_deposit_or_withdrawal_never_causes_or_lifts_a_halt(
    account: AccountMemory, at: int, equity: int, amount: int, limits: HaltLimits
) -> None:
    account = halting.assess(account, at, equity, limits)
    if equity + amount <= 0:
        amount = 0
    moved = halting.after_transfer(account, equity, amount)
    assert (moved.state, moved.reason, moved.until) == (account.state, account.reason, account.until)
    again = halting.assess(moved, at, equity + amount, limits)
    assert (again.state, again.reason, again.until) == (account.state, account.reason, account.until)


@given(amounts, amounts, flows)
def test_a_transfer_leaves_the_share_that_was_lost(start: int, equity: int, amount: int) -> None:
    after = equity + amount
    moved = risk.carried_over(start, equity, amount)
    if after > 0:
        assert moved * equity <= start * after < (moved + 1) * equity
    assert moved >= 0


@given(accounts(), instants, st.integers(-(10**15), 10**15), limits())
def test_only_its_end_or_an_operator_ends_a_state(
    account: AccountMemory, at: int, equity: int, limits: HaltLimits
) -> None:
    now = halting.assess(account, at, equity, limits)
    order = (ACTIVE, REDUCING, HALTED)
    if account.until == UNTIL_RESUMED or at < account.until:
        assert order.index(now.state) >= order.index(account.state)
    assert halting.resume(now, at, equity).state is ACTIVE


@given(accounts())
def test_a_state_survives_a_restart(account: AccountMemory) -> None:
    adapter = TypeAdapter(AccountMemory)
    assert adapter.validate_json(adapter.dump_json(account)) == account


def test_a_state_without_a_reason_is_refused() -> None:
    with pytest.raises(ValueError, match="trading state halted"):
        AccountMemory(state=HALTED)


def test_what_waits_for_an_operator_outlasts_a_state_that_ends_with_drift() -> None:
    drifted = halting.restrict(AccountMemory(), REDUCING, Reason.DRIFT, MONDAY)
    paused = halting.restrict(drifted, REDUCING, Reason.PAUSED, MONDAY + HOUR)
    assert paused.reason is Reason.PAUSED
    assert halting.lift(paused, Reason.DRIFT, MONDAY + 2 * HOUR) == paused, "drift that is over does not resume"
    assert halting.restrict(paused, REDUCING, Reason.DRIFT, MONDAY + 2 * HOUR) == paused
    until_tuesday = halting.restrict(drifted, REDUCING, Reason.DAILY_LOSS, MONDAY, TUESDAY)
    assert until_tuesday == drifted, "it would end sooner, and strikes again where drift is over before"
