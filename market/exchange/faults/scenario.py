"""The schema of a scenario file, ``python -m market.exchange --faults FILE``: which message is struck, and how.

A rule reads: on this kind of message, where it matches, let `after` of them pass, then strike every `every`-th with
`probability`, at most `count` times and for `for_s` seconds.
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator


class _Section(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


class On(StrEnum):
    """What can be struck."""

    REQUEST = "request"
    """An HTTP request, before anything is done about it."""
    REPLY = "reply"
    """The answer to one, after it was carried out."""
    FRAME = "frame"
    """A WebSocket message to one client."""
    CONNECTION = "connection"
    """A WebSocket handshake."""
    PING = "ping"
    """A client's ping, before its pong."""


Scalar = str | int | float | bool
Wanted = Scalar | None | tuple[Scalar, ...]
Seconds = Annotated[float, Field(ge=0, le=86_400)]


class Match(_Section):
    """Which messages; all that is named must hold.

    A text may hold ``*`` and ``?``; a list is any of its members; empty (``null``) means that it is not there.
    """

    method: str | None = Field(None, description="Of a request or reply, e.g. POST.")
    path: str | None = Field(None, description="Of a request, reply or connection, e.g. /fapi/v1/order; * and ? work.")
    params: dict[str, Wanted] = Field({}, description="Parameters of the query and the body, e.g. {side: BUY}.")
    status: int | None = Field(None, description="HTTP status of a reply.")
    stream: str | None = Field(None, description="Of a frame: private, or e.g. btcusdt@kline_1h; * and ? work.")
    fields: dict[str, Wanted] = Field(
        {}, description="Of a frame's or reply's JSON, by path, e.g. {e: kline, k.x: true} or {data.0.confirm: true}."
    )


class Drop(_Section):
    """Nothing comes: a request is not carried out and not answered, a reply is lost, a frame or pong not sent."""

    action: Literal["drop"]


class Delay(_Section):
    """It comes late; frames behind it overtake it."""

    action: Literal["delay"]
    seconds: Seconds


class Answer(_Section):
    """Another answer: in place of carrying it out (on request), or in spite of it (on reply)."""

    action: Literal["answer"]
    status: int = Field(400, ge=200, le=599)
    code: int | None = Field(None, description="The exchange's own code, e.g. -2021.")
    message: str = Field("", description="Its words; {until} stands for the ms at which `for_s` is over.")
    body: str | None = Field(None, description="The whole body, e.g. HTML, broken JSON or nothing; instead of a code.")
    headers: dict[str, str] = Field({}, description="Further headers, e.g. {Retry-After: '5'}.")


class Twice(_Section):
    """A request is carried out twice and the second answer given; a frame is sent twice, the second one edited."""

    action: Literal["twice"]
    set: dict[str, Any] = Field({}, description="Changes of the second frame, by path.")


class Edit(_Section):
    """Values of its JSON are others, or gone; ``NaN`` is written as text."""

    action: Literal["edit"]
    set: dict[str, Any] = Field({}, description="New values by path, e.g. {k.c: 'NaN'}.")
    remove: tuple[str, ...] = Field((), description="Paths that are taken out.")


class Garble(_Section):
    """Its text breaks off, or is another."""

    action: Literal["garble"]
    keep: float = Field(0.5, ge=0, le=1, description="Fraction of the text that is kept.")
    text: str | None = Field(None, description="What comes instead.")


class Hold(_Section):
    """A frame is kept back until `frames` later ones of its stream have passed, or for `seconds`."""

    action: Literal["hold"]
    frames: int = Field(1, ge=1)
    seconds: Seconds = 5.0


class Insert(_Section):
    """After the frame come others, as written here."""

    action: Literal["insert"]
    frames: tuple[dict[str, Any], ...] = Field(min_length=1)


class Mute(_Section):
    """From now on the connection brings nothing; it stays open."""

    action: Literal["mute"]
    pongs: bool = Field(True, description="Whether pings are still answered.")


class Cut(_Section):
    """The connection is cut: before a request is carried out, after it without an answer, or around a frame."""

    action: Literal["cut"]
    when: Literal["before", "after"] = Field("before", description="Before or after the frame went out.")


class Freeze(_Section):
    """The whole exchange stands still for so long, and then does what waited."""

    action: Literal["freeze"]
    seconds: Seconds


class Signal(_Section):
    """A process gets a signal, and the message goes its way: a kill at an exact message."""

    action: Literal["signal"]
    pid: int = Field(ge=2, description="Of a process of the same user.")
    number: int = Field(9, ge=1, le=64, description="9 kills, 15 asks to end, 19 stops, 18 lets it go on.")


Action = Annotated[
    Drop | Delay | Answer | Twice | Edit | Garble | Hold | Insert | Mute | Cut | Freeze | Signal,
    Field(discriminator="action"),
]

STRIKES: Mapping[On, frozenset[str]] = {
    On.REQUEST: frozenset({"drop", "delay", "answer", "twice", "cut", "freeze", "signal"}),
    On.REPLY: frozenset({"drop", "delay", "answer", "edit", "garble", "cut", "freeze", "signal"}),
    On.FRAME: frozenset(
        {"drop", "delay", "twice", "edit", "garble", "hold", "insert", "mute", "cut", "freeze", "signal"}
    ),
    On.CONNECTION: frozenset({"delay", "answer", "mute", "cut", "freeze", "signal"}),
    On.PING: frozenset({"drop", "delay", "cut", "freeze", "signal"}),
}
"""Which actions make sense on which kind of message."""

TELLS: Mapping[On, frozenset[str]] = {
    On.REQUEST: frozenset({"method", "path", "params"}),
    On.REPLY: frozenset({"method", "path", "params", "status", "fields"}),
    On.FRAME: frozenset({"path", "stream", "fields"}),
    On.CONNECTION: frozenset({"path", "params"}),
    On.PING: frozenset({"path"}),
}
"""What each kind of message can be told apart by."""


class Rule(_Section):
    """One fault."""

    name: str = Field(min_length=1, description="Named so in the log of strikes.")
    on: On
    match: Match = Match()
    do: Action
    after: int = Field(0, ge=0, description="So many matching messages pass first.")
    every: int = Field(1, ge=1, description="Then every so-manieth is struck.")
    count: int | None = Field(1, ge=1, description="How often it strikes; empty: without end.")
    for_s: Seconds | None = Field(None, description="How long it strikes, from its first strike on.")
    probability: float = Field(1.0, gt=0, le=1, description="Of each strike; drawn from the seed and the rule's name.")

    @model_validator(mode="after")
    def _possible(self) -> Rule:
        if self.do.action not in STRIKES[self.on]:
            can = ", ".join(sorted(STRIKES[self.on]))
            raise ValueError(f"{self.do.action} cannot be done on a {self.on}; can: {can}")
        if stray := sorted(self.match.model_fields_set - TELLS[self.on]):
            known = ", ".join(sorted(TELLS[self.on]))
            raise ValueError(f"{', '.join(stray)} tells nothing of a {self.on}; can be matched: {known}")
        return self


class Scenario(_Section):
    """A scenario file."""

    faults: tuple[Rule, ...] = Field(description="The first rule that strikes a message decides.")
