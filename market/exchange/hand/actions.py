"""Every action by its name on the wire, and the hand that does it.

What a person does passes the same desk as the trader's own orders and is refused by the same codes; what the exchange
does is simply so. The market's clock stands still meanwhile.
"""

from __future__ import annotations

from collections.abc import Callable

from market.exchange.hand import exchange, machine, person
from market.exchange.hand.wants import HandError, Reply, Wants
from market.exchange.venue import Venue

Action = Callable[[Venue, Wants], Reply]

ACTIONS: dict[str, Action] = {
    action.__name__: action
    for action in (
        person.trade,
        person.close_position,
        person.limit,
        person.stop,
        person.cancel,
        person.leverage,
        person.margin_type,
        person.hedge_mode,
        person.multi_assets,
        person.deposit,
        person.withdraw,
        person.permissions,
        exchange.adl,
        exchange.liquidate,
        exchange.halt,
        exchange.resume,
        exchange.delist,
        exchange.terms,
        exchange.brackets,
        exchange.clip_leverage,
        exchange.expire_listen_key,
        exchange.next_stop_trigger,
        exchange.release_stops,
        machine.depth,
        machine.fill,
        machine.use_weight,
        machine.rate_limits,
        machine.ban,
        machine.clock,
    )
}


class Hand:
    """Does one action at a time to a venue; the caller holds its turn and tells of the events after it."""

    def __init__(self, venue: Venue) -> None:
        self._venue = venue

    def do(self, order: object) -> Reply:
        """Do what a decoded request asks.

        Returns
        -------
        dict
            What came of it, amounts in decimal text.

        Raises
        ------
        HandError
            If the action is unknown, a field is missing or malformed, or there is nothing to do it to.
        Refusal
            If the exchange's own rules refuse it.
        """
        if not isinstance(order, dict) or order.get("action") not in ACTIONS:
            raise HandError('send {"action": NAME, ...} with one of: ' + ", ".join(sorted(ACTIONS)))
        wants = Wants(order["action"], order, self._venue.engine.instruments)
        return ACTIONS[wants.action](self._venue, wants)
