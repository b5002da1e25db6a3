"""The service: the running daemon as a swap sees it, with the one reference that is swapped.

Everything here runs on the loop and is done within one turn of it, or awaits what blocks in a thread.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable
from typing import Protocol

from daemon.backfill import Backfill
from daemon.backoff import insist
from daemon.candle_store import CandleStore, Pair
from daemon.engine import LATE, Engine
from daemon.events import Event, ModelSetSwapped, OperatorCommand, Opinion, Order, PredictionReady
from daemon.gateway import GatewayError
from daemon.inference import Answer, Heard, Inference, held
from market.candles import Candle, Candles
from market.timeframes import Timeframe
from models.inference import Predictor

log = logging.getLogger("daemon.swapping")

LOOK_S = 0.02
"""How often is looked whether a candle is still being predicted, seconds; a prediction takes milliseconds."""
SETTLE_S = 10.0
"""How long a candle under way may put off the opening of a set, seconds."""


class Inbox(Protocol):
    """Where the engine's events go."""

    def put(self, event: Event) -> None:
        """Take one."""


class Service:
    """One life's predictor and what it stands on.

    Parameters
    ----------
    served : callable
        Told of every set that comes into service, by whoever shows it.
    """

    def __init__(
        self,
        engine: Engine,
        inference: Inference,
        store: CandleStore,
        backfill: Backfill,
        inbox: Inbox,
        served: Callable[[Predictor], None],
    ) -> None:
        self._engine, self._inference, self._store, self._backfill = engine, inference, store, backfill
        self._inbox, self._served = inbox, served

    @property
    def predictor(self) -> Predictor:
        """What answers now."""
        return self._inference.predictor

    @property
    def equity(self) -> int:
        """The account's, in cash units."""
        return self._engine.equity

    @property
    def decision(self) -> Timeframe:
        """Of the candles that are decided on."""
        return self._engine.settings.decision

    def candles(self, symbol: str) -> Candles:
        """The decision candles of a symbol that are held."""
        return self._store[symbol, str(self.decision)].window()

    def listen(self, heard: Heard | None) -> None:
        """Have every answer that is traded on told to `heard`."""
        self._inference.heard = heard

    def cast_shadow(self, predictor: Predictor, heard: Heard) -> None:
        """Ask another set as well, from the next candle on."""
        self._inference.cast_shadow(predictor, heard)

    def lift_shadow(self) -> None:
        """Ask nobody else any more."""
        self._inference.lift_shadow()

    def silence(self, bar: int) -> Answer:
        """What the set in service said of a candle that was decided without waiting for it any longer."""
        settings = self._engine.settings
        refusals = tuple(Opinion(i.symbol, None, LATE) for i in settings.instruments)
        return Answer(PredictionReady(bar, refusals, self.predictor.id), settings.predict_ms)

    def pause(self, who: str) -> None:
        """Have nothing entered until an operator resumes."""
        self._inbox.put(OperatorCommand(Order.PAUSE, who))

    async def quiet(self) -> None:
        """Wait until no candle is under way, a while at most: what comes next then has a candle's length to itself."""
        try:
            async with asyncio.timeout(SETTLE_S):
                while self._engine.state.deciding >= 0:  # noqa: ASYNC110 (the engine is stepped by events, and tells nobody)
                    await asyncio.sleep(LOOK_S)
        except TimeoutError:
            pass

    async def make_room(self, predictor: Predictor) -> None:
        """Hold as many candles and as much funding as a set looks back on, fetched where they are not there."""
        grown = False
        for pair, column in self._store.columns.items():
            wanted = held(predictor, Timeframe.parse(pair[1]))
            if wanted <= column.capacity:
                continue
            what = f"{pair[0]} {pair[1]} history for {predictor.id}"

            async def ask(pair: Pair = pair, wanted: int = wanted) -> tuple[list[Candle], int]:
                return await self._backfill.newest(*pair, wanted)

            older, _ = await insist(ask, what, GatewayError)
            column.grow(wanted, (c for c in older if c.problem() is None))
            grown = True
        if grown:
            await insist(self._inference.reach_back, f"funding for {predictor.id}", GatewayError)

    async def swap(self, predictor: Predictor, cause: str) -> None:
        """Let another set answer from the next candle on: one reference, replaced while none is being predicted.

        The engine's event is put in the same turn of the loop, so it comes before the set's first prediction. A
        prediction that the engine has given up, and that does not end, is left to itself.
        """
        given_up: float | None = None
        while self._engine.state.predicting or self._inference.busy:
            await asyncio.sleep(LOOK_S)
            now = time.monotonic()
            given_up = None if self._engine.state.predicting else now if given_up is None else given_up
            if given_up is not None and now - given_up > SETTLE_S:
                log.critical("an answer of %s does not end: it is left to itself", self.predictor.id)
                self._inference.abandon()
        before = self._inference.swap(predictor)
        self._served(predictor)
        self._inbox.put(ModelSetSwapped(predictor.id, predictor.max_hold_bars, before.id, cause))
