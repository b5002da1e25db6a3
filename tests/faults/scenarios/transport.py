"""Faults 30 to 36: clocks, bans, kills, and a host that fails."""

from __future__ import annotations

import signal

from tests.faults.acts import (
    ENTRY,
    FILL,
    LEVERAGE,
    STOP,
    STOP_READ,
    Act,
    Advance,
    Arm,
    Blocked,
    Do,
    Ends,
    Hand,
    Holds,
    Killed,
    Play,
    Says,
    Settled,
    Start,
    Terminate,
    refused,
    strike,
)
from tests.faults.disks import Ballast, Tear
from tests.faults.scenario import Fault, Scenario

BANNED = "Way too many requests; IP(127.0.0.1) banned until {until}. Please use the websocket for live updates."
TOO_MANY = "Too many requests; current limit is 2400 requests per minute."
ANY_SIGNED = {"path": "/fapi/*", "params": {"signature": "*"}}
KILLED_AT = {
    "leverage is about to be set": strike("request", LEVERAGE, "signal"),
    "the entry is sent": strike("request", ENTRY, "signal"),
    "the entry is carried out": strike("reply", ENTRY, "signal"),
    "the fill is told": strike("frame", FILL, "signal"),
    "the stop is sent": strike("request", STOP, "signal"),
    "the stop is carried out": strike("reply", STOP, "signal"),
    "the stop is asked for": strike("request", STOP_READ, "signal"),
    "the stop was read back": strike("reply", STOP_READ, "signal"),
}
"""Every step between "entry sent" and "stop confirmed"."""


def killed_at(step: str, fault: Fault) -> Scenario:
    """SIGKILL at an exact message, and a second life."""
    return Scenario(
        33, "kill -9 between entry and stop", step,
        [Start(), Arm(fault), Advance(), Killed(now=False), Start(), Settled(), Play(4)],
        "the next life asks what became of every order by its id; nothing is doubled, the position protected at once",
    )  # fmt: skip


def terminated_at(step: str, fault: Fault) -> Scenario:
    """SIGTERM at an exact message: the daemon comes to rest before it ends."""
    acts: list[Act] = [Start(), Arm(fault), Advance(), Ends(0, "stopping: SIGTERM"), Start(), Settled(), Play(3)]
    return Scenario(
        34, "SIGTERM in mid-order; two instances", step, acts,
        "the order is seen through and its stop read back before the process ends",
    )  # fmt: skip


SCENARIOS = (
    Scenario(
        30, "-1021: clock skew", "the exchange's clock jumps by 12 s, and back",
        [Start(), Play(), Hand("clock", offset_ms=-12_000), Play(4), Hand("clock", offset_ms=0), Play(3)],
        "refused by its date, so nothing was done: the clock is measured anew and the request sent again",
    ),
    Scenario(
        30, "-1021: clock skew", "on entry and stop",
        [Start(), Arm(refused(ENTRY, -1021, "Timestamp for this request is outside of the recvWindow."),
                      refused(STOP, -1021, "Timestamp for this request is outside of the recvWindow.")), Play(4)],
        "refused by its date, so nothing was done: the clock is measured anew and the request sent again",
    ),
    Scenario(
        31, "429, then 418", "between two candles",
        [
            Start(), Play(),
            Arm(refused(ENTRY | {"params": {}}, -1003, TOO_MANY, 429, headers={"Retry-After": "1"}),
                refused({"path": "/fapi/*"}, -1003, BANNED, 418, after=1, count=None, for_s=5)),
            Play(5),
        ],
        "silence until the ban is over; the position's stop rests at the exchange",
        apart="ban",
    ),
    Scenario(
        31, "429, then 418", "banned with a position open",
        [Start(), Play(2), Hand("ban", seconds=5), Play(4)],
        "silence until the ban is over; the position's stop rests at the exchange",
        apart="ban",
    ),
    Scenario(
        31, "429, then 418", "when the stop is due",
        [
            Start(), Arm(refused(STOP, -1003, BANNED, 418, count=None, for_s=3)), Advance(), Settled(), Play(3),
        ],
        "after the ban the first request places the stop, or closes the position where its two seconds are over",
        apart="ban",
    ),
    Scenario(
        31, "429, then 418", "as it starts again with a position open",
        [
            Start(), Play(), Killed(),
            Arm(refused({"path": "/fapi/v1/exchangeInfo"}, -1003, TOO_MANY, 429, count=2)),
            Start(), Holds(1, 1), Play(2),
        ],
        "turned away is not refused: it knocks again, with back-off",
        apart="ban",
    ),
    Scenario(
        32, "rate budget shared with another bot", "the budget is used up by the other",
        [Start(), Play(), Hand("use_weight", weight=2_390),
         Play(4, seconds=100),  # the budget is counted anew with each minute
         Hand("rate_limits", on=False)],
        "what was refused was not done: it is tried again in its own time, protection first",
        exchange={"rate_limits": True}, apart="ban",
    ),
    Scenario(
        32, "rate budget shared with another bot", "every seventh request is turned away",
        [Start(), Arm(refused(ANY_SIGNED, -1003, TOO_MANY, 429, probability=0.15, count=12)), Play(10)],
        "what was refused was not done: it is tried again in its own time, protection first",
        apart="ban",
    ),
    *(killed_at(step, fault) for step, fault in KILLED_AT.items()),
    Scenario(
        33, "kill -9 between entry and stop", "the next life is told no klines at first",
        [
            Start(), Play(), Killed(),
            Arm(refused({"path": "/fapi/v1/klines"}, -1000, "An unknown error occurred.", 503, after=1, count=3)),
            Start(), Holds(1, 1), Play(2),
        ],
        "what is open is looked after; the market is asked for until it answers",
    ),
    terminated_at("the entry is sent", strike("request", ENTRY, "signal", number=int(signal.SIGTERM))),
    terminated_at("the stop is sent", strike("request", STOP, "signal", number=int(signal.SIGTERM))),
    Scenario(
        34, "SIGTERM in mid-order; two instances", "twice in one state directory",
        [
            Start(), Play(), Do(Start("twin", ready=False, changes=(("state_dir", "../daemon/state"),))),
            Ends(1, "in use by another daemon", "twin"), Play(2),
        ],
        "the second is refused while the first lives",
    ),
    Scenario(
        34, "SIGTERM in mid-order; two instances", "two hosts on one account",
        [Start(), Play(), Start("twin"), Says("is of another deployment", "twin"), Holds(0, 0), Play(2)],
        "each halts at the first sign of the other, and what is open is closed",
    ),
    Scenario(
        35, "event loop blocked", "for 3 s across a candle",
        [Start(), Play(), Blocked(3), Settled(), Play(3)],
        "the stop rests at the exchange; afterwards the candle is decided, late where its successor is known",
    ),
    Scenario(
        35, "event loop blocked", "for 12 s across three candles",
        [Start(), Play(), Blocked(12, bars=3), Settled(), Play(3)],
        "sockets that were given up are dialled anew, the candles decided in order",
    ),
    Scenario(
        36, "torn state file, disk full", "the journal's log is cut in the middle",
        [Start(), Play(5), Killed(), Tear("journal.sqlite-wal", 0.6), Start(), Play(3)],
        "SQLite drops the torn end; what the exchange knows better is taken from there",
    ),
    Scenario(
        36, "torn state file, disk full", "the journal is lost",
        [Start(), Play(2), Killed(), Tear("journal.sqlite*", 0.0), Start(), Holds(1, 1), Play(3)],
        "the exchange's position is taken over and protected; the history is gone",
    ),
    Scenario(
        36, "torn state file, disk full", "the journal is damaged",
        [Start(), Play(2), Terminate(), Tear("journal.sqlite", 0.5), Start(ready=False),
         Ends(1, "journal.sqlite cannot be read")],
        "it says so and ends; the stop rests at the exchange",
        ends=True,
    ),
    Scenario(
        36, "torn state file, disk full", "the disk is full",
        [Start(), Play(), Ballast(), Advance(), Ends(1, "free the disk")],
        "it ends rather than send an order it cannot record; the stop rests at the exchange",
        ends=True,
    ),
)  # fmt: skip
