"""The profile of an exchange: what differs from one to the next, as values; what is done about it is in its venue."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from daemon.events import Meaning


@dataclass(frozen=True, slots=True)
class Profile:
    """One exchange's peculiarities.

    Attributes
    ----------
    id : str
        Its name in the configuration, which is ccxt's.
    name : str
        As people say it.
    code_field, message_field : str
        Where an error reply holds its code and its words.
    meanings : mapping
        Error code -> what it means to us; a code that is not named means nothing in particular.
    outcome_unknown : frozenset of int
        Codes that leave open whether the request was carried out.
    banned_until : str
        Pattern whose first group is the instant (ms) until which an error text bans requests; empty if none says so.
    ban_ms : int
        How long requests are not answered after a ban that names no instant, ms; 0 if such bans are not known.
    receive_window_ms : int
        How long after its date a request is still taken.
    private_url : str
        What the address of a private socket, and of no other, contains.
    keep_alive_ms : int
        How often ccxt pings.
    text_pongs : bool
        Whether pings and pongs are frames of text, which say nothing; elsewhere they are WebSocket's own.
    closed_flag : str
        Field of a kline frame that says whether the candle is closed.
    stops_apart : bool
        Whether a stop is an order of a kind and list of its own, whose trigger spawns a plain order; where it is not,
        the stop itself becomes the order that fills.
    stop_fill_names_stop : bool
        Whether the executions of a stop carry the stop's own client id.
    answers_with_fill : bool
        Whether the reply to a market order says what was filled; elsewhere it says only that the order was taken.
    client_ids_reusable : bool
        Whether the client id of an order that is over may be used again.
    client_id : str
        Pattern of the client ids it takes.
    taker_flow : bool
        Whether its klines tell the number of trades and the takers' share; elsewhere these are missing, not 0.
    kline_page, funding_page : int
        Most rows in one reply.
    """

    id: str
    name: str
    code_field: str
    message_field: str
    meanings: Mapping[int, Meaning]
    outcome_unknown: frozenset[int]
    banned_until: str
    ban_ms: int
    receive_window_ms: int
    private_url: str
    keep_alive_ms: int
    text_pongs: bool
    closed_flag: str
    stops_apart: bool
    stop_fill_names_stop: bool
    answers_with_fill: bool
    client_ids_reusable: bool
    client_id: str
    taker_flow: bool
    kline_page: int
    funding_page: int

    def meaning(self, code: int) -> Meaning:
        """What an error code means to us."""
        return self.meanings.get(code, Meaning.OTHER)
