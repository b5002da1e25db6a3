"""What is peculiar to Binance USDT-M (its documentation: General Info, Error Codes, New Algo Order)."""

from __future__ import annotations

from daemon.events import Meaning
from daemon.orders import RECEIVE_WINDOW_MS
from daemon.venues.profile import Profile

BINANCE = Profile(
    id="binanceusdm",
    name="Binance USDT-M",
    code_field="code",
    message_field="msg",
    meanings={
        -1003: Meaning.TOO_MANY_REQUESTS,
        -1015: Meaning.TOO_MANY_REQUESTS,
        -1021: Meaning.CLOCK_SKEW,
        -1022: Meaning.BAD_KEY,
        -2011: Meaning.NO_SUCH_ORDER,
        -2013: Meaning.NO_SUCH_ORDER,
        -2014: Meaning.BAD_KEY,
        -2015: Meaning.BAD_KEY,
        -2019: Meaning.NO_MARGIN,
        -2021: Meaning.WOULD_TRIGGER,
        -2022: Meaning.NOTHING_TO_REDUCE,
        -4046: Meaning.ALREADY_SO,
        -4059: Meaning.ALREADY_SO,
        -4116: Meaning.DUPLICATE_ID,
    },
    outcome_unknown=frozenset({-1000, -1001, -1006, -1007}),
    banned_until=r"until (\d{13})",
    ban_ms=0,
    receive_window_ms=RECEIVE_WINDOW_MS,
    private_url="listenKey=",
    keep_alive_ms=5_000,
    text_pongs=False,
    closed_flag="x",
    stops_apart=True,
    stop_fill_names_stop=True,
    answers_with_fill=True,
    client_ids_reusable=True,
    client_id=r"[.A-Z:/a-z0-9_-]{1,36}",
    taker_flow=True,
    kline_page=1_000,
    funding_page=1_000,
)
