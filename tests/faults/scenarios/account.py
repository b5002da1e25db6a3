"""Faults 25 to 29: an account that is not as it was left."""

from __future__ import annotations

from tests.faults.acts import (
    LEVERAGE,
    Advance,
    Arm,
    Ends,
    Hand,
    Holds,
    Pause,
    Play,
    Says,
    Start,
    refused,
    strike,
)
from tests.faults.scenario import Scenario

SYMBOL = "BTCUSDT"
MARGIN_TYPE = {"method": "POST", "path": "/fapi/v1/marginType"}
SYMBOL_CONFIG = {"method": "GET", "path": "/fapi/v1/symbolConfig"}
MODES = "-4046, -4067: modes that are set already or cannot be now"
BY_HAND = "liquidation, deleveraging, or a trade by hand"

SCENARIOS = (
    Scenario(
        25, MODES, "margin mode is set already",
        [Hand("margin_type", symbol=SYMBOL, margin_type="ISOLATED"), Start(), Play(2), Holds(1, 1), Play(3)],
        "-4046 is what was asked for: success",
    ),
    Scenario(
        25, MODES, "margin mode cannot be changed now",
        [Start(), Arm(refused(MARGIN_TYPE, -4067, "Position side cannot be changed if there exists open orders.")),
         Play(2), Holds(1, 1), Play(3)],
        "the entry is given up, never sent hoping; the next candle tries again",
    ),
    Scenario(
        26, "hedge mode (-4061)", "at the start",
        [Hand("hedge_mode", on=True), Start(ready=False), Ends(4, "hedge mode")],
        "found at the start: it says what to switch, and ends",
        ends=True,
    ),
    Scenario(
        26, "hedge mode (-4061)", "switched on while it runs",
        [Start(), Hand("hedge_mode", on=True), Play(2), Holds(0, 0), Hand("hedge_mode", on=False), Play(2)],
        "the entry is refused and given up; nothing is held in the wrong mode",
    ),
    Scenario(
        27, "leverage refused, clipped, or changed by hand", "refused",
        [Start(), Arm(refused(LEVERAGE, -4028, "Leverage is not valid")), Play(2), Holds(1, 1), Play(3)],
        "the entry is given up; the next candle sets it anew",
    ),
    Scenario(
        27, "leverage refused, clipped, or changed by hand", "clipped by the tier",
        [Start(), Arm(strike("reply", SYMBOL_CONFIG, "edit", set={"0.leverage": 1})), Play(5)],
        "it is read back, never assumed: an entry that wanted another is given up",
    ),
    Scenario(
        27, "leverage refused, clipped, or changed by hand", "changed by hand",
        [Start(), Hand("leverage", symbol=SYMBOL, leverage=20), Play(4), Hand("leverage", symbol=SYMBOL, leverage=20),
         Play(4)],
        "set and read back before each entry",
    ),
    Scenario(
        28, BY_HAND, "liquidated",
        [Start(), Play(), Holds(1, 1), Hand("liquidate", symbol=SYMBOL), Pause(1), Play(3)],
        "booked as a liquidation; its stop is gone, the cool-down begins",
    ),
    Scenario(
        28, BY_HAND, "deleveraged",
        [Start(), Play(), Holds(1, 1), Hand("adl", symbol=SYMBOL), Holds(0, 0), Play(3)],
        "booked as deleveraged, the orphan stop cancelled",
    ),
    Scenario(
        28, BY_HAND, "turned by hand",
        [Start(), Play(), Hand("trade", symbol=SYMBOL, side="SELL", quantity="1.0"), Pause(1), Holds(1, 1), Play(3)],
        "the trade is closed in the books, and what somebody opened is protected like our own",
    ),
    Scenario(
        28, BY_HAND, "its stop is cancelled by hand",
        [Start(), Play(), Hand("cancel", symbol=SYMBOL), Holds(1, 1, 5), Play(2)],
        "the stream tells it: another is placed at once",
    ),
    Scenario(
        28, BY_HAND, "its stop is cancelled, and nobody is told",
        [
            Start(), Play(),
            Arm(strike("frame", {"stream": "private", "fields": {"e": "ALGO_UPDATE"}}, "drop")),
            Hand("cancel", symbol=SYMBOL), Holds(1, 1, 40), Play(2),
        ],
        "the whole truth is asked for every 30 s (here 3): another is placed",
        daemon={"deadlines": {"reconcile_s": 3}}, apart="untold",
    ),
    Scenario(
        29, "listen key expires", "",
        [Start(), Play(), Hand("expire_listen_key"), Says("private stream fell"), Play(4)],
        "a fresh key, the account reconciled, and only then entries again",
    ),
    Scenario(
        29, "listen key expires", "in spite of being kept alive",
        [Start(), Play(5), Pause(5), Play(2)],
        "a fresh key, the account reconciled, and only then entries again",
        exchange={"listen_key_lifetime": 5},
    ),
    Scenario(
        29, "listen key expires", "and nobody is told",
        [
            Start(), Play(), Arm(strike("frame", {"stream": "private"}, "mute", pongs=False)),
            Advance(3), Says("private stream fell"), Play(3),
        ],
        "the dead socket is noticed by its missing pongs, or by an order that nothing is told of; what was missed is "
        "asked for",
    ),
)  # fmt: skip
