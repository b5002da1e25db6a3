"""Faults 1 to 13: market data that dies, lies, stutters or is late."""

from __future__ import annotations

from tests.faults.acts import (
    CLOSE,
    FORMING,
    KLINES,
    MARKET_SOCKET,
    Advance,
    Arm,
    Disarm,
    Hand,
    Holds,
    Killed,
    Live,
    Pause,
    Play,
    Says,
    Settled,
    Start,
    Struck,
    strike,
)
from tests.faults.scenario import Scenario

PATIENT = {"deadlines": {"first_data_s": 2, "data_s": 4}}


def bad_price(price: str) -> Scenario:
    """A closing frame with an impossible price."""
    return Scenario(
        13, "impossible price, or a symbol that is not traded", f"closing price {price}",
        [Start(), Play(), Arm(strike("frame", CLOSE, "edit", set={"k.c": price})), Play(3)],
        "the frame is refused and the candle asked for over REST; nothing is decided on the price",
    )  # fmt: skip


SCENARIOS = (
    Scenario(
        1, "socket dead, no pongs", "",
        [
            Start(), Play(), Arm(strike("frame", KLINES, "mute", pongs=False)), Advance(),
            Says("market stream fell"), Settled(), Play(2), Live(),
        ],
        "noticed by the missing pongs, dialled anew, the candle fetched before it is decided",
    ),
    Scenario(
        2, "pongs go on, no data", "",
        [
            Start(), Play(), Arm(strike("frame", KLINES, "mute")), Advance(),
            Says("no kline of"), Settled(), Play(2), Live(),
        ],
        "noticed by the stream's own deadline, dialled anew, the candle fetched before it is decided",
        daemon=PATIENT,
    ),
    Scenario(
        3, "handshake accepted, no klines", "",
        [
            Start(ready=False), Arm(strike("connection", MARKET_SOCKET, "mute", count=2)), Struck(),
            Says("no kline within"), Play(3), Live(),
        ],
        "first data is demanded within a deadline counted from the subscription; dialled until there is some",
        daemon=PATIENT,
    ),
    Scenario(
        4, "dropped while busy: a silent gap", "",
        [
            Start(), Play(),
            Arm(
                strike("frame", CLOSE, "cut"),
                strike("connection", MARKET_SOCKET, "delay", seconds=1.5),
            ),
            Advance(3), Settled(), Play(2), Live(),
        ],
        "the hole is filled over REST in order, each candle decided, none opened on late",
    ),
    Scenario(
        5, "forced disconnect after 24 h", "here after 8 s",
        [Start(), Play(2), Says("market stream fell"), Says("private stream fell"), Play(3), Live()],
        "both streams are dialled anew; the account is reconciled before anything is opened",
        exchange={"connection_lifetime": 8},
    ),
    Scenario(
        5, "forced disconnect after 24 h", "in the middle of an entry",
        [
            Start(), Play(),
            Arm(
                strike("frame", CLOSE, "cut", when="after"),
                strike("frame", {"stream": "private"}, "cut", when="after"),
            ),
            Play(4), Live(),
        ],
        "both streams are dialled anew; the account is reconciled before anything is opened",
    ),
    Scenario(
        6, "hour boundary missed", "",
        [
            Start(), Play(),
            Arm(
                strike("frame", CLOSE, "cut"),
                strike("connection", MARKET_SOCKET, "answer", status=503, count=2),
            ),
            Advance(), Settled(), Play(2), Live(),
        ],
        "the boundary's candle is fetched before features are computed",
    ),
    Scenario(
        7, "open candle read as closed", "the exchange marks it closed",
        [Start(), Play(), Arm(strike("frame", FORMING, "edit", set={"k.x": True}, count=2)), Play(4), Live()],
        "a closing frame dated before the candle's end is not believed",
    ),
    Scenario(
        7, "open candle read as closed", "it is pushed again and again",
        [
            Start(), Play(), Arm(strike("frame", FORMING, "twice", set={"k.c": "1.0", "k.l": "1.0"}, count=None)),
            Play(4), Live(),
        ],
        "an unfinished candle is never decided on, however often it is pushed",
    ),
    Scenario(
        8, "duplicate candle", "",
        [Start(), Arm(strike("frame", CLOSE, "twice", count=None)), Play(5), Live()],
        "the second says nothing new and is not decided on again",
    ),
    Scenario(
        9, "out of order", "the close comes behind its successors",
        [Start(), Play(), Arm(strike("frame", CLOSE, "hold", frames=1, count=3)), Play(4), Disarm(), Play(), Live()],
        "a closing frame that was overtaken is taken in its place",
    ),
    Scenario(
        9, "out of order", "revised after its close",
        [
            Start(), Play(), Arm(strike("frame", CLOSE, "twice", set={"k.c": "40000.0", "k.h": "90000.0"}, count=2)),
            Play(4), Live(),
        ],
        "the revision is taken over for features and logged; what was decided stays decided",
    ),
    Scenario(
        10, "close message 30 s late", "",
        [
            Start(), Play(), Arm(strike("frame", CLOSE, "delay", seconds=30)), Advance(),
            Says("was not told; asking"), Settled(), Play(2), Pause(25), Play(), Live(),
        ],
        "asked for over REST 5 s after the successor was seen; the late message changes nothing",
    ),
    Scenario(
        11, "REST klines include the live bar", "",
        [Start(), Play(2), Killed(), Advance(), Start(), Settled(), Play(2), Live()],
        "the last row is dropped unless a successor is known; each candle decided on is the exchange's final one",
    ),
    Scenario(
        12, "REST fallback sticks", "",
        [
            Start(), Play(), Arm(strike("frame", CLOSE, "cut")), Advance(), Settled(), Play(3), Live(),
        ],
        "REST fills the hole and no more; the stream takes over again at the next candle",
    ),
    bad_price("NaN"),
    bad_price("0"),
    bad_price("-40000"),
    Scenario(
        13, "impossible price, or a symbol that is not traded", "halted, then traded again",
        [Start(), Hand("halt", symbol="BTCUSDT"), Play(3), Hand("resume", symbol="BTCUSDT"), Play(2), Holds(1, 1)],
        "entries are refused and not repeated; trading goes on once the symbol does",
    ),
    Scenario(
        13, "impossible price, or a symbol that is not traded", "delisted with a position open",
        [Start(), Play(), Holds(1, 1), Hand("delist", symbol="BTCUSDT"), Play(2), Holds(0, 0)],
        "the settlement is booked, and nothing is opened any more",
    ),
)  # fmt: skip
