"""Refusals: what each reason, denial and code of an exchange means, and what an operator does about it.

`docs/refusals.md` is generated from here (`python -m daemon schema`); a test sees that every member is explained.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import TypeVar

from daemon.approval import Denial
from daemon.events import Meaning
from daemon.venues.catalogue import VENUES
from market.exchange.refusals import MESSAGES, Code
from strategy.plan import Reason

FILE = Path(__file__).resolve().parent.parent / "docs" / "refusals.md"
NOTHING = "nothing"
M = TypeVar("M", bound=StrEnum)


@dataclass(frozen=True, slots=True)
class Note:
    """What a refusal means, and what an operator does about it."""

    means: str
    do: str = NOTHING


_SETUP = "set the account up as `docs/operating.md` says"

REASONS: Mapping[Reason, Note] = {
    Reason.LONG_SIGNAL: Note("P(long profitable) passes its threshold and leads by the minimum edge: a long is opened"),
    Reason.SHORT_SIGNAL: Note("P(short profitable) does: a short is opened"),
    Reason.HOLD: Note("a position is open and no rule closes it"),
    Reason.NO_SIGNAL: Note(
        "neither probability reaches `entry`",
        "if it never does: compare the thresholds with the set's quantiles (`python -m models show`)",
    ),
    Reason.NO_EDGE: Note("high volatility raises both probabilities; the lead is less than `entry.edge`"),
    Reason.OPPOSITE_SIGNAL: Note("the other side's entry signal came: the position is closed, and the other opened"),
    Reason.SIGNAL_GONE: Note("the probability fell below `exit`: the position is closed"),
    Reason.TIME: Note("it was held for `exit.max_hold_bars`, or for the set's average horizon: it is closed"),
    Reason.TIGHTENED: Note("a calmer regime came into force: the stop moves closer, never away"),
    Reason.NO_PREDICTION: Note(
        "the model set gave no answer; `why` tells the refusal: too little history, a hole, a missing input, expiry",
        "a hole: `python -m daemon gaps`; expired: train and promote a newer set",
    ),
    Reason.NO_REGIME: Note("the regime was not observed `regimes.confirm` times in a row yet"),
    Reason.SAME_CANDLE: Note("the position was stopped in this very candle: no entry before the next"),
    Reason.COOLDOWN: Note("`cooldown.stop` candles after a stop have not passed"),
    Reason.LOST_LIQUIDATION: Note(
        "`cooldown.liquidation` candles after a liquidation have not passed",
        "find out why the stop did not act first: `docs/faults.md`, the log, the exchange's order history",
    ),
    Reason.TOO_SMALL: Note(
        "equity × margin × leverage is below the symbol's smallest order", "add cash, or trade less"
    ),
    Reason.POSITION_CAP: Note("`caps.positions` are open"),
    Reason.RESERVE: Note("the margin would leave less than `size.reserve` of equity free"),
    Reason.RISK_CAP: Note("all stops together would lose more than `caps.risk` of equity"),
    Reason.STOP_TOO_FAR: Note(
        "at this leverage the liquidation price is less than twice as far as the stop",
        "lower leverage, or a closer stop",
    ),
    Reason.LATE: Note("the candle was fetched, or a newer one has closed: nobody knows how old the price is"),
    Reason.FOREIGN: Note(
        "the account holds a position that is not ours in this symbol", "close it, or see `foreign_positions`"
    ),
    Reason.REMOVED: Note(
        "the configuration no longer names the symbol: what is open is looked after until it is closed"
    ),
    Reason.SUSPENDED: Note(
        "the exchange has halted or delisted the symbol", "remove it from `symbols` if that is for good"
    ),
    Reason.ACCOUNT_MODE: Note(
        "a reconciliation found hedge or multi-assets mode switched on: no entry until it is switched back", _SETUP
    ),
    Reason.DEAF: Note("the private stream is down: no entry while fills cannot be heard", "see the log if it lasts"),
    Reason.STALE: Note("market data came later than `deadlines.data_s`", "see the log if it lasts"),
    Reason.PAUSED: Note("`pause` is in force", "`python -m daemon resume`"),
    Reason.FLATTENED: Note("`flatten` closed everything and stays in force", "`python -m daemon resume`"),
    Reason.DAILY_LOSS: Note(
        "`halts.daily_loss` was reached; ends with the UTC day if reducing", "look before `resume`"
    ),
    Reason.WEEKLY_LOSS: Note("`halts.weekly_loss` was reached; ends with the week if reducing", "look before `resume`"),
    Reason.DRAWDOWN: Note("equity fell by `halts.drawdown` from its highest", "look before `resume`"),
    Reason.LOSING_STREAK: Note("`halts.losing_streak` trades in a row lost money", "look before `resume`"),
    Reason.OTHER_DEPLOYMENT: Note(
        "orders of another Regimen deployment were seen on this account", "stop one of the two, then `resume`"
    ),
    Reason.DRIFT: Note(
        "the set reads or says, look after look, what it was not made on; ends when that is over, or by a swap",
        "`python -m daemon drift`; to trade all the same, `resume` or `drift reset`",
    ),
}

DENIALS: Mapping[Denial, Note] = {
    Denial.NOT_ACTIVE: Note("trading was restricted between the decision and the order", "`python -m daemon status`"),
    Denial.DEAF: Note("the private stream fell between the decision and the order"),
    Denial.STALE: Note("market data went silent between the decision and the order"),
    Denial.POSITION_OPEN: Note("an execution arrived between the decision and the order"),
    Denial.FOREIGN_POSITION: Note(
        "somebody else's position is open in the symbol", "close it, or see `foreign_positions`"
    ),
    Denial.NOT_ISOLATED: Note("the margin mode reads back as cross", "look who else changes this account"),
    Denial.LEVERAGE_DIFFERS: Note("another leverage reads back than was set", "look who else changes this account"),
    Denial.TOO_SMALL: Note("below the smallest quantity or notional of the symbol", "add cash, or trade less"),
    Denial.NOTIONAL_CAP: Note("above `size.max_notional`, or above what the tier of this leverage allows"),
    Denial.NOTIONAL_DIFFERS: Note("more than equity × leverage: equity fell since the decision"),
    Denial.POSITION_CAP: Note("`caps.positions` were reached by an entry of the same candle"),
    Denial.RESERVE: Note("the margin would touch `size.reserve` by now"),
    Denial.PRICE_BAND: Note("the market ran away by more than `orders.price_band` since the close"),
    Denial.STOP_TOO_FAR: Note("the liquidation price lies less than twice as far as the stop"),
    Denial.ENTRY_RATE: Note("`orders.entries_per_hour` were sent", "look why so many are wanted"),
    Denial.ORDER_RATE: Note("`orders.orders_per_minute` were sent", "look at the log: something repeats"),
    Denial.NOTHING_TO_CLOSE: Note("the position was closed meanwhile, by its stop or by hand"),
    Denial.WRONG_SIDE: Note(
        "an order that should reduce would add: a fault of ours, stopped", "report it with the log"
    ),
    Denial.WRONG_SIZE: Note(
        "an order of another size than the position: a fault of ours, stopped", "report it with the log"
    ),
    Denial.WRONG_TRIGGER: Note(
        "a stop's price came out at zero or below: a fault of ours, stopped", "report it with the log"
    ),
}

MEANINGS: Mapping[Meaning, Note] = {
    Meaning.OTHER: Note("the command failed and nothing was done; entries are given up, stops and closes tried again"),
    Meaning.DUPLICATE_ID: Note("our order arrived already: it is asked for by its id, never sent again"),
    Meaning.NO_SUCH_ORDER: Note("never arrived, or over: believed once the receive window has passed"),
    Meaning.WOULD_TRIGGER: Note("the price is past the stop already: the position is closed at market at once"),
    Meaning.NOTHING_TO_REDUCE: Note("the position is gone: the exchange is asked for the truth"),
    Meaning.NO_MARGIN: Note("the entry is given up", "add cash, or lower `size.margin`"),
    Meaning.ALREADY_SO: Note("as good as done"),
    Meaning.CLOCK_SKEW: Note("the clock is measured anew and the request sent again", "run a time service on the host"),
    Meaning.BAD_KEY: Note("the key was withdrawn, or may not trade from here", "check the key's rights and addresses"),
    Meaning.TOO_MANY_REQUESTS: Note("silence until the ban ends; stops go on resting at the exchange"),
}

_OURS = "a fault of ours: report it with the log"

CODES: Mapping[Code, Note] = {
    Code.DISCONNECTED: Note("the exchange failed; whether the request was carried out is unknown, and asked for"),
    Code.TOO_MANY_REQUESTS: Note("the rate limit: requests pause", "see who else uses this address"),
    Code.TOO_MANY_ORDERS: Note("the order limit: orders pause", "see who else trades on this account"),
    Code.CLOCK_SKEW: Note("the request's date lies outside of the receive window", "run a time service on the host"),
    Code.BAD_SIGNATURE: Note("the secret does not belong to the key", "check both"),
    Code.MISSING_PARAMETER: Note("a parameter is missing or malformed", _OURS),
    Code.UNWANTED_PARAMETER: Note("a parameter that does not belong to the order's kind", _OURS),
    Code.TOO_PRECISE: Note("more digits than tick or step allow", _OURS),
    Code.BAD_TIME_IN_FORCE: Note("a time in force that is not known", _OURS),
    Code.BAD_ORDER_TYPE: Note("an order type that is not known", _OURS),
    Code.BAD_SIDE: Note("neither BUY nor SELL", _OURS),
    Code.BAD_INTERVAL: Note("klines of a timeframe that the exchange does not have", "change `timeframes`"),
    Code.BAD_SYMBOL: Note("the exchange does not know the symbol", "correct `symbols`"),
    Code.NO_LISTEN_KEY: Note("the user stream's key has expired: the stream starts over and reconciles"),
    Code.BAD_PARAMETER: Note("a parameter out of its range", _OURS),
    Code.ORDER_REJECTED: Note("refused without a finer reason; an entry is given up, a close tried again"),
    Code.UNKNOWN_ORDER: Note("what was to be cancelled is over, or never was: it is asked for"),
    Code.NO_SUCH_ORDER: Note("no order of this id: believed once the receive window has passed"),
    Code.BAD_CALLBACK_RATE: Note("a trailing stop's distance out of its range; the daemon places none"),
    Code.BAD_API_KEY: Note("key, address or right is missing", "check the key's rights and addresses"),
    Code.NO_MARGIN: Note("not enough free margin: the entry is given up", "add cash, or lower `size.margin`"),
    Code.WOULD_TRIGGER: Note("the stop's price is past: the position is closed at market at once"),
    Code.REDUCE_ONLY: Note("nothing is left to reduce: the exchange is asked for the truth"),
    Code.ABOVE_LEVERAGE_CAP: Note(
        "the position is too large for its leverage", "lower leverage or `size.max_notional`"
    ),
    Code.NO_QUANTITY: Note("quantity zero or below", _OURS),
    Code.TOO_LARGE: Note("above the symbol's largest market order", "lower `size.max_notional`"),
    Code.BAD_LEVERAGE: Note(
        "a leverage that the symbol does not offer: the entry is given up", "lower it in `regimes`"
    ),
    Code.SAME_MARGIN_TYPE: Note("isolated already: as good as done"),
    Code.MARGIN_TYPE_WITH_ORDERS: Note("orders are open that keep the margin mode", "cancel foreign orders"),
    Code.MARGIN_TYPE_WITH_POSITION: Note("a position is open that keeps the margin mode", "close the foreign position"),
    Code.SAME_POSITION_MODE: Note("one-way already: as good as done"),
    Code.WRONG_POSITION_SIDE: Note("the account is in hedge mode", _SETUP),
    Code.POSITION_MODE_WITH_ORDERS: Note("open orders keep the position mode", "cancel them, then switch"),
    Code.POSITION_MODE_WITH_POSITION: Note("an open position keeps the position mode", "close it, then switch"),
    Code.MAY_NOT_TRADE: Note("the account may not trade now", "ask the exchange"),
    Code.DUPLICATE_CLIENT_ID: Note("an open order has this id: ours arrived already, and is asked for"),
    Code.STOP_TRIGGERING: Note("the stop acts at this moment: its execution is awaited"),
    Code.USE_ALGO_ENDPOINT: Note("a stop sent as a plain order", _OURS),
    Code.SECOND_CLOSE_POSITION: Note(
        "a stop for the whole position rests already; ours carry a quantity", "cancel the foreign one"
    ),
    Code.BAD_STRATEGY: Note("a trailing stop cannot close a whole position; the daemon places none"),
    Code.SYMBOL_HALTED: Note(
        "the symbol may only be closed now: no entries", "remove it from `symbols` if that is for good"
    ),
    Code.SYMBOL_CLOSED: Note("the symbol is not traded now: it is asked again", "see the exchange's notices"),
    Code.LEVERAGE_BELOW_POSITION: Note(
        "leverage cannot fall while a position is open; ours is set while flat", "see who else trades here"
    ),
    Code.TOO_SMALL: Note("below the smallest notional: the entry is given up", "add cash, or trade less"),
    Code.MULTI_ASSETS_WITH_ISOLATED: Note("isolated margin keeps the account out of multi-assets mode"),
    Code.ISOLATED_IN_MULTI_ASSETS: Note("the account is in multi-assets mode", _SETUP),
    Code.ASSET_MODE_WITH_ORDERS: Note("open orders keep the asset mode", "cancel them, then switch"),
    Code.SAME_ASSET_MODE: Note("as asked for already"),
    Code.UNKNOWN_PATH: Note("the exchange has no such endpoint", "check `exchange.url`; else " + _OURS),
    Code.NOT_A_MAKER: Note("a post-only order would have taken; the daemon sends none"),
}

_HEAD = """<!-- written by `python -m daemon schema` from daemon/refusals.py; changes here are lost -->

# Why not: every refusal, and what to do

`python -m daemon why` shows the reason of each decision; alerts and the log show denials and the exchange's codes.
Where nothing is to be done, the daemon sees to it.
"""


def document() -> str:
    """The whole of `docs/refusals.md`."""
    return "\n".join([_HEAD, *_sections()])


def write() -> None:
    """Write the document."""
    FILE.write_text(document(), encoding="utf-8")


def current() -> bool:
    """Whether the document is what would be written."""
    return FILE.is_file() and FILE.read_text(encoding="utf-8") == document()


def _sections() -> Iterator[str]:
    yield "## Reasons of decisions\n"
    yield _table(("reason", "meaning", "what to do"), _words(REASONS))
    yield "## Denials: an order that was not approved when it was about to be sent\n"
    yield _table(("denial", "meaning", "what to do"), _words(DENIALS))
    yield "## What an exchange's refusal means to the daemon\n"
    yield _table(("meaning", "what the daemon makes of it", "what to do"), _words(MEANINGS))
    for venue in VENUES.values():
        profile = venue.profile
        yield f"### Codes of {profile.name} that mean one of these\n"
        yield _table(
            ("code", "meaning"), ((str(code), str(m)) for code, m in sorted(profile.meanings.items(), reverse=True))
        )
        unknown = ", ".join(str(code) for code in sorted(profile.outcome_unknown, reverse=True)) or "none"
        yield f"Codes that leave open whether the request was carried out, so that it is asked for: {unknown}.\n"
    yield "## Codes of the local exchange, and of the real one that it speaks for (Binance USDT-M)\n"
    rows = ((str(int(c)), c.name, MESSAGES[c], CODES[c].means, CODES[c].do) for c in sorted(Code, reverse=True))
    yield _table(("code", "name", "its words", "meaning", "what to do"), rows)


def _words(notes: Mapping[M, Note]) -> Iterator[tuple[str, ...]]:
    return ((str(member), note.means, note.do) for member, note in notes.items())


def _table(head: tuple[str, ...], rows: Iterable[tuple[str, ...]]) -> str:
    lines = [head, ("---",) * len(head), *rows]
    return "\n".join("| " + " | ".join(cell.replace("|", "\\|") for cell in line) + " |" for line in lines) + "\n"
