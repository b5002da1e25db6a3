"""Inference: asks the model set about the stored candles, on a worker thread, so that the loop never waits for it.

A prediction that cannot be made is a refusal with its reason, never a number.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np

from daemon.backfill import Backfill
from daemon.candle_store import CandleStore
from daemon.events import Opinion, PredictionReady
from daemon.gateway import GatewayError
from market.candles import Floats
from market.funding import Funding
from market.instruments import Instrument
from market.timeframes import Timeframe
from models.inference import NotReady, Predictor
from models.inputs import Inputs
from models.prediction import Prediction
from strategy.plan import Outlook

log = logging.getLogger("daemon.inference")

EXPIRED = "the model set has expired"


@dataclass(frozen=True, slots=True)
class Seen:
    """What was read of a symbol at a close, and said of it: the price, the row of features (F,), the prediction."""

    close: float
    row: Floats
    said: Prediction | None


Listener = Callable[[str, int, Mapping[str, Seen]], None]
"""Told of each candle that was predicted: the set's id, the open time (ms), what was seen of each symbol."""


class Inference:
    """One predictor over one store.

    Parameters
    ----------
    decision : Timeframe
        Of the candles that are decided on; the predictor must read the same.
    expires : bool
        Whether the set's expiry counts; a replay's market time says nothing about a set's age.
    """

    def __init__(
        self,
        predictor: Predictor,
        store: CandleStore,
        backfill: Backfill,
        decision: Timeframe,
        instruments: Mapping[str, Instrument],
        expires: bool = True,
    ) -> None:
        self.predictor = predictor
        self._expires_ms = predictor.expires_ms if expires else None
        self._store, self._backfill, self._decision, self._instruments = store, backfill, decision, instruments
        self._funding: dict[str, Funding] = {}
        self._without: dict[str, tuple[str, ...]] = {}
        self.listener: Listener = _nobody
        self._seen: dict[str, Seen] = {}
        self._worker = ThreadPoolExecutor(max_workers=1, thread_name_prefix="inference")

    async def warm_up(self) -> None:
        """Fetch the funding that the features of the stored candles look back on."""
        for symbol in self._instruments:
            await self._refresh_funding(symbol, 0)

    async def predict(self, bar: int, symbols: Sequence[str]) -> PredictionReady:
        """What the model set says at the close of the candle that opened at `bar` (ms), symbol by symbol."""
        opinions = []
        for symbol in symbols:
            opinions.append(await self._opinion(symbol, bar))
        self.listener(self.predictor.id, bar, self._seen)
        self._seen = {}
        return PredictionReady(bar, tuple(opinions), self.predictor.id)

    def close(self) -> None:
        """Let the worker thread go."""
        self._worker.shutdown(wait=False, cancel_futures=True)

    async def _opinion(self, symbol: str, bar: int) -> Opinion:
        if self._expires_ms is not None and bar + self._decision.ms > self._expires_ms:
            return Opinion(symbol, None, EXPIRED)
        await self._refresh_funding(symbol, bar + self._decision.ms)
        inputs = self._inputs(symbol, bar + self._decision.ms)
        if not len(inputs.candles) or inputs.candles.open_time[-1] != bar:
            return Opinion(symbol, None, "its last candle is missing")
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(self._worker, self._ask, symbol, inputs)

    def _inputs(self, symbol: str, close: int) -> Inputs:
        """What the set reads of a symbol's market at a close (ms), as far as it is subscribed to."""
        decision, finer = str(self._decision), self.predictor.finer_timeframe
        other = self.predictor.companion_of(symbol)
        candles = self._store.until((symbol, decision), close)
        assert candles is not None, "the decision's timeframe is subscribed to"
        return Inputs(
            candles,
            self._funding.get(symbol),
            None if finer is None else self._store.until((symbol, str(finer)), close),
            None if other is None else self._store.until((other, decision), close),
        )

    def _ask(self, symbol: str, inputs: Inputs) -> Opinion:
        try:
            answered = self.predictor.answer(
                symbol, inputs.candles, inputs.funding, finer=inputs.finer, companion=inputs.companion
            )
        except Exception as error:  # whatever a model does, the positions must go on being looked after
            log.exception("%s: inference failed", symbol)
            return Opinion(symbol, None, f"inference failed: {error}")
        said = answered.said
        told = None if isinstance(said, NotReady) else said
        self._seen[symbol] = Seen(float(inputs.candles.close[-1]), answered.row, told)
        if isinstance(said, NotReady):
            return Opinion(symbol, None, said.reason)
        if said.without != self._without.get(symbol, ()):
            self._without[symbol] = said.without
            log.warning("%s: predicted %s", symbol, f"without {', '.join(said.without)}" if said.without else "by all")
        horizons = tuple((h, p_long, p_short) for h, (p_long, p_short) in sorted(said.horizons.items()))
        outlook = Outlook(said.p_long, said.p_short, said.regime)
        return Opinion(symbol, outlook, "", horizons, said.regime_probabilities)

    async def _refresh_funding(self, symbol: str, now: int) -> None:
        """Ask for new rates once the next one has fallen due; without an answer the known ones serve."""
        known = self._funding.get(symbol)
        if known is not None and len(known) and now < int(known.time[-1]) + _spacing(known):
            return
        candles = self._store[symbol, str(self._decision)].window()
        start = int(known.time[-1]) + 1 if known is not None and len(known) else int(candles.open_time[:1].sum())
        try:
            found = await self._backfill.funding(symbol, start)
        except GatewayError as error:
            log.warning("%s: funding rates could not be fetched: %s", symbol, error)
            return
        if known is not None:
            found = Funding(np.concatenate([known.time, found.time]), np.concatenate([known.rate, found.rate]))
        self._funding[symbol] = found


def _nobody(model_set: str, bar: int, seen: Mapping[str, Seen]) -> None:
    """Nobody listens."""


def _spacing(funding: Funding) -> int:
    """The time between the last two funding instants, ms; 8 h where there is only one."""
    return int(funding.time[-1] - funding.time[-2]) if len(funding) > 1 else 8 * 3_600_000
