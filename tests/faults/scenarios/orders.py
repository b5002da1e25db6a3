"""Faults 14 to 24: orders whose outcome is unknown, refused, doubled, or overtaken."""

from __future__ import annotations

from typing import Any

from tests.faults.acts import (
    ENTRY,
    EXIT,
    FILL,
    STOP,
    STOP_CANCEL,
    STOP_READ,
    Advance,
    Arm,
    Ends,
    Hand,
    Holds,
    Killed,
    Pause,
    Play,
    Says,
    Settled,
    Start,
    refused,
    strike,
)
from tests.faults.scenario import Act, Fault, Scenario

SYMBOL = "BTCUSDT"
UNKNOWN = "unknown outcome"
FAILS = "stop rejected after its trigger, expired, or stuck"
SIZES = "partial fill: stop and position differ in size"
RACE = "orphan stop; stop and exit racing"


def unknown(variant: str, fault: Fault, apart: str = "") -> Scenario:
    """An order that nobody knows the outcome of."""
    return Scenario(
        14, UNKNOWN, variant, [Start(), Arm(fault), Play(5)],
        "it is asked for by its client id, and neither resent blind nor forgotten", apart=apart,
    )  # fmt: skip


def failing(fate: str, *then: Act) -> Scenario:
    """A stop that fires, and does not close the position."""
    return Scenario(
        18, FAILS, f"{fate} when it fires",
        [Start(), Play(2), Holds(1, 1), Hand("next_stop_trigger", symbol=SYMBOL, fate=fate), Advance(), *then,
         Settled(), Play(2)],
        "another stop is placed, or the position closed at market, within the second; beside a stop that is stuck "
        "nothing new is opened", spike=2,
    )  # fmt: skip


def timeout(match: dict[str, Any], **rest: Any) -> Fault:
    """The exchange's own word for not knowing."""
    told = "Timeout waiting for response from backend server. Send status unknown; execution status unknown."
    return strike("reply", match, "answer", status=408, code=-1007, message=told, **rest)


SCENARIOS = (
    unknown("entry lost on the way", strike("request", ENTRY, "drop")),
    unknown("entry's acknowledgement lost", strike("reply", ENTRY, "drop")),
    unknown("entry carried out, connection cut", strike("reply", ENTRY, "cut")),
    unknown("entry cut before it was read", strike("request", ENTRY, "cut")),
    unknown("entry carried out, 503", strike("reply", ENTRY, "answer", status=503, body="<html>busy</html>")),
    unknown("entry not carried out, 503", strike("request", ENTRY, "answer", status=503, code=-1000, message="?")),
    unknown("entry carried out, -1007", timeout(ENTRY)),
    unknown("entry's answer is no JSON", strike("reply", ENTRY, "garble", keep=0.4)),
    unknown("entry's answer lacks its status", strike("reply", ENTRY, "edit", remove=["status"])),
    unknown("stop lost on the way", strike("request", STOP, "drop")),
    unknown("stop's acknowledgement lost", strike("reply", STOP, "drop")),
    unknown("stop carried out, -1007", timeout(STOP)),
    unknown("stop's reading back lost", strike("reply", STOP_READ, "drop")),
    unknown("exit's acknowledgement lost", strike("reply", EXIT, "drop")),
    unknown("exit carried out, -1007", timeout(EXIT)),
    Scenario(
        15, "-4116: client id in use", "the order is there",
        [Start(), Arm(strike("reply", ENTRY, "answer", code=-4116, message="ClientOrderId is duplicated.")), Play(4)],
        "an order of ours has the id: it is asked for and adopted",
    ),
    Scenario(
        15, "-4116: client id in use", "the order is not there",
        [Start(), Arm(refused(ENTRY, -4116, "ClientOrderId is duplicated.")), Play(4)],
        "asked for; its absence counts only once the receive window is over, and then the entry is given up",
    ),
    Scenario(
        15, "-4116: client id in use", "of a stop",
        [Start(), Arm(strike("reply", STOP, "answer", code=-4116, message="ClientOrderId is duplicated.")), Play(4)],
        "the stop is read back and counted only when it was found",
    ),
    Scenario(
        16, "timeout, then the stream says it was accepted", "",
        [
            Start(),
            Arm(
                strike("reply", ENTRY, "drop"),
                strike("frame", {"stream": "private", "fields": {"e": "ORDER_TRADE_UPDATE"}}, "delay", seconds=1.2,
                       count=2),
            ),
            Play(4),
        ],
        "the question by client id and the stream tell the same order; it is counted once",
    ),
    Scenario(
        17, "-2021 on the stop", "",
        [Start(), Arm(refused(STOP, -2021, "Order would immediately trigger.")), Advance(), Says("-2021"), Play(3)],
        "the price is past it already: the position is closed at market, reduce-only, at once",
    ),
    failing("rejected"),
    failing("expired"),
    failing("stuck", Says("nothing comes of it"), Pause(1), Hand("release_stops", symbol=SYMBOL)),
    Scenario(
        18, FAILS, "refused again and again when placed",
        [Start(), Arm(refused(STOP, -2010, "New order rejected.", count=None)), Advance(),
         Says("stop refused"), Holds(0, 0), Settled()],
        "tried three times within the second, then the position is closed",
    ),
    Scenario(
        18, FAILS, "the stream never tells of it",
        [Start(), Play(), Arm(strike("frame", {"stream": "private", "fields": {"e": "ALGO_UPDATE"}}, "drop",
                                     count=None)), Play(5)],
        "stops are read back by asking; the stream is not needed for it",
    ),
    Scenario(
        19, "stop absent after a restart", "",
        [Start(), Play(), Killed(), Hand("cancel", symbol=SYMBOL), Start(), Holds(1, 1, 5), Play(2)],
        "the first truth of the new life shows a position without a stop: one is placed at once",
    ),
    Scenario(
        20, SIZES, "an entry in three parts",
        [Start(), Play(6)],
        "what is filled is protected; the stop grows with the position, the bigger before the smaller goes",
        exchange={"fill_at_most": "40%", "fill_rest": "0.2"},
    ),
    Scenario(
        20, SIZES, "the rest of an entry does not come for long",
        [
            Start(), Hand("depth", at_most="40%", rest="command"), Advance(), Holds(1, 1),
            *[Pause(1), Hand("fill", symbol=SYMBOL)] * 5,
            Hand("depth", at_most="100%", rest="at-once"), Settled(), Play(4),
        ],
        "what is filled is protected; the stop grows with the position, the bigger before the smaller goes",
    ),
    Scenario(
        20, SIZES, "somebody adds to the position",
        [Start(), Play(), Hand("trade", symbol=SYMBOL, side="BUY", quantity="0.010"), Pause(1), Play(3)],
        "the bigger stop is placed and read back, then the smaller is cancelled",
    ),
    Scenario(
        20, SIZES, "deleveraged in part",
        [Start(), Play(), Hand("adl", symbol=SYMBOL, quantity="0.010"), Pause(1), Holds(1, 1), Play(3)],
        "the smaller stop is placed and read back, then the bigger is cancelled",
    ),
    Scenario(
        21, RACE, "closed by hand",
        [Start(), Play(), Holds(1, 1), Hand("close_position", symbol=SYMBOL), Holds(0, 0), Play(3)],
        "the orphan stop is cancelled, the trade booked as closed by hand",
    ),
    Scenario(
        21, RACE, "-2022 on the exit",
        [Start(), Arm(refused(EXIT, -2022, "ReduceOnly Order is rejected.")), Play(6)],
        "the truth is asked for, and the exit tried again under the next id",
    ),
    Scenario(
        21, RACE, "-2011 on cancelling the stop",
        [Start(), Arm(refused(STOP_CANCEL, -2011, "Unknown order sent.")), Play(6)],
        "what became of the stop is asked for, and it is cancelled if it rests after all",
    ),
    Scenario(
        21, RACE, "-2013 on reading the stop back",
        [Start(), Arm(refused(STOP_READ, -2013, "Order does not exist.", count=2)), Play(6)],
        "a stop that was just acknowledged is asked for again before it counts as absent",
    ),
    Scenario(
        22, "cancel races fill", "the cancel's answer is lost",
        [Start(), Arm(strike("reply", STOP_CANCEL, "drop")), Play(6)],
        "asked for by its id until it is over",
    ),
    Scenario(
        22, "cancel races fill", "the exit is held up until the position is gone",
        [
            Start(), Play(3), Arm(strike("request", EXIT, "delay", seconds=0.6)), Advance(),
            Pause(0.2), Hand("close_position", symbol=SYMBOL), Play(2),
        ],
        "the exit finds nothing left to reduce; nothing is opened by it",
    ),
    Scenario(
        23, "fills told twice or before the acknowledgement", "told twice",
        [Start(), Arm(strike("frame", FILL, "twice", count=None)), Play(6)],
        "the trade id tells a duplicate",
    ),
    Scenario(
        23, "fills told twice or before the acknowledgement", "before the acknowledgement",
        [Start(), Arm(strike("reply", ENTRY, "delay", seconds=0.8), strike("reply", EXIT, "delay", seconds=0.8)),
         Play(6)],
        "the fill counts when it comes; the later acknowledgement says nothing new",
    ),
    Scenario(
        23, "fills told twice or before the acknowledgement", "never told",
        [Start(), Arm(strike("frame", FILL, "drop", count=2)), Play(6)],
        "an order that is filled owes its executions: they are asked for",
    ),
    Scenario(
        24, "the stop's endpoint has moved (-4120)", "",
        [
            Arm(
                refused({"path": "*lgo*"}, -4120, "Order type not supported for this endpoint.", count=None),
            ),
            Start(ready=False), Ends(4, "-4120"),
        ],
        "found by the self-test at the start, before anything was traded",
        ends=True,
    ),
)  # fmt: skip
