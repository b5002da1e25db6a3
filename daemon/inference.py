"""Inference: asks the model set about the stored candles, on a worker thread, so that the loop never waits for it.

A prediction that cannot be made is a refusal with its reason, never a number. The set that answers is one reference,
read once a candle: `swap` replaces it between two, so that no batch is answered by two sets. A shadow is asked the same
question, on a thread of its own, once the answer that is traded on is out; what it says goes to whoever set it.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field

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

MARGIN_CANDLES = 64
"""Candles kept beyond a set's lookback, so that one that closed a while ago can still be predicted."""
EXPIRED = "the model set has expired"
FAILED = "inference failed"


@dataclass(frozen=True, slots=True)
class Seen:
    """What was read of a symbol at a close, and said of it: the price, the row of features (F,), the prediction."""

    close: float
    row: Floats
    said: Prediction | None


@dataclass(frozen=True, slots=True)
class Answer:
    """What one set said of one candle, and how long it took over each symbol at most, ms; `seen` is by symbol."""

    said: PredictionReady
    taken_ms: float
    seen: Mapping[str, Seen] = field(default_factory=dict)


Heard = Callable[[Answer], None]


Listener = Callable[[str, int, Mapping[str, Seen]], None]
"""Told of each candle that was predicted: the set's id, the open time (ms), what was seen of each symbol."""


class Inference:
    """One predictor over one store, and at times another one in its shadow.

    Attributes
    ----------
    heard : callable, optional
        Told of every answer that is traded on, with the time it took.
    listener : callable
        Told of what each such answer was given on.

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
        self.heard: Heard | None = None
        self._expires = expires
        self._store, self._backfill, self._decision, self._instruments = store, backfill, decision, instruments
        self._funding: dict[str, Funding] = {}
        self._without: dict[str, tuple[str, ...]] = {}
        self.listener: Listener = _nobody
        self._worker = _worker()
        self._asked: set[object] = set()
        self._shadow: tuple[Predictor, Heard] | None = None
        self._beside: ThreadPoolExecutor | None = None
        self._asides: set[asyncio.Task[None]] = set()

    @property
    def busy(self) -> bool:
        """Whether a candle is being predicted now."""
        return bool(self._asked)

    async def warm_up(self) -> None:
        """Fetch the funding that the features of the stored candles look back on."""
        for symbol in self._instruments:
            await self._refresh_funding(symbol, 0)

    async def predict(self, bar: int, symbols: Sequence[str]) -> PredictionReady:
        """What the model set says at the close of the candle that opened at `bar` (ms), symbol by symbol."""
        predictor, shadow = self.predictor, self._shadow  # read once: one set answers for the whole batch
        asked = object()
        self._asked.add(asked)
        try:
            answer = await self._answer(predictor, self._worker, bar, symbols)
        finally:
            self._asked.discard(asked)
        try:
            if self.heard is not None:
                self.heard(answer)
            self.listener(predictor.id, bar, answer.seen)
        except Exception:  # who only looks on must not keep an answer from being traded on
            log.exception("somebody who looks on failed")
        if shadow is not None and self._beside is not None:
            task = asyncio.create_task(self._aside(*shadow, self._beside, bar, symbols), name="shadow")
            self._asides.add(task)
            task.add_done_callback(self._asides.discard)
        return answer.said

    def swap(self, predictor: Predictor) -> Predictor:
        """Let another set answer from the next candle on; gives the one before.

        Raises
        ------
        RuntimeError
            If a candle is being predicted.
        """
        if self.busy:
            raise RuntimeError("a set is swapped between two candles, and one is being predicted")
        before, self.predictor = self.predictor, predictor
        self._without = {}
        return before

    def abandon(self) -> None:
        """Leave a prediction that does not end to itself, with its thread: the next one gets another."""
        self._worker.shutdown(wait=False, cancel_futures=True)
        self._worker = _worker()
        self._asked.clear()

    def cast_shadow(self, predictor: Predictor, heard: Heard) -> None:
        """Ask another set as well, from the next candle on; `heard` is told what it says, and nobody trades on it."""
        if self._beside is None:
            self._beside = ThreadPoolExecutor(max_workers=1, thread_name_prefix="shadow")
        self._shadow = predictor, heard

    def lift_shadow(self) -> None:
        """Ask nobody else any more; an answer that is under way is dropped."""
        self._shadow = None
        for task in self._asides:
            task.cancel()
        if self._beside is not None:
            self._beside.shutdown(wait=False, cancel_futures=True)
            self._beside = None

    def close(self) -> None:
        """Let the worker threads go."""
        self.lift_shadow()
        self._worker.shutdown(wait=False, cancel_futures=True)

    async def _aside(
        self, predictor: Predictor, heard: Heard, worker: ThreadPoolExecutor, bar: int, symbols: Sequence[str]
    ) -> None:
        """Ask the shadow; whatever becomes of it, trading goes on."""
        try:
            heard(await self._answer(predictor, worker, bar, symbols))
        except Exception:
            log.exception("the shadow %s could not be asked", predictor.id)

    async def _answer(
        self, predictor: Predictor, worker: ThreadPoolExecutor, bar: int, symbols: Sequence[str]
    ) -> Answer:
        opinions, longest, known = [], 0.0, dict[str, Seen]()
        for symbol in symbols:
            opinion, taken_ms, seen = await self._opinion(predictor, worker, symbol, bar)
            opinions.append(opinion)
            longest = max(longest, taken_ms)
            if seen is not None:
                known[symbol] = seen
        return Answer(PredictionReady(bar, tuple(opinions), predictor.id), longest, known)

    async def _opinion(
        self, predictor: Predictor, worker: ThreadPoolExecutor, symbol: str, bar: int
    ) -> tuple[Opinion, float, Seen | None]:
        if self._expires and bar + self._decision.ms > predictor.expires_ms:
            return Opinion(symbol, None, EXPIRED), 0.0, None
        await self._refresh_funding(symbol, bar + self._decision.ms)
        inputs = self._inputs(predictor, symbol, bar + self._decision.ms)
        if not len(inputs.candles) or inputs.candles.open_time[-1] != bar:
            return Opinion(symbol, None, "its last candle is missing"), 0.0, None
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(worker, self._ask, predictor, symbol, inputs)

    def _inputs(self, predictor: Predictor, symbol: str, close: int) -> Inputs:
        """What the set reads of a symbol's market at a close (ms), as far as it is subscribed to."""
        decision, finer = str(self._decision), predictor.finer_timeframe
        other = predictor.companion_of(symbol)
        candles = self._store.until((symbol, decision), close)
        assert candles is not None, "the decision's timeframe is subscribed to"
        return Inputs(
            candles,
            self._funding.get(symbol),
            None if finer is None else self._store.until((symbol, str(finer)), close),
            None if other is None else self._store.until((other, decision), close),
        )

    def _ask(self, predictor: Predictor, symbol: str, inputs: Inputs) -> tuple[Opinion, float, Seen | None]:
        began = time.perf_counter()
        opinion, seen = self._said(predictor, symbol, inputs)
        return opinion, 1_000 * (time.perf_counter() - began), seen

    def _said(self, predictor: Predictor, symbol: str, inputs: Inputs) -> tuple[Opinion, Seen | None]:
        try:
            answered = predictor.answer(
                symbol, inputs.candles, inputs.funding, finer=inputs.finer, companion=inputs.companion
            )
        except Exception as error:  # whatever a model does, the positions must go on being looked after
            log.exception("%s: inference of %s failed", symbol, predictor.id)
            return Opinion(symbol, None, f"{FAILED}: {error}"), None
        said, close = answered.said, float(inputs.candles.close[-1])
        if isinstance(said, NotReady):
            return Opinion(symbol, None, said.reason), Seen(close, answered.row, None)
        if predictor is self.predictor and said.without != self._without.get(symbol, ()):
            self._without[symbol] = said.without
            log.warning("%s: predicted %s", symbol, f"without {', '.join(said.without)}" if said.without else "by all")
        horizons = tuple((h, p_long, p_short) for h, (p_long, p_short) in sorted(said.horizons.items()))
        outlook = Outlook(said.p_long, said.p_short, said.regime)
        return Opinion(symbol, outlook, "", horizons, said.regime_probabilities), Seen(close, answered.row, said)

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

    async def reach_back(self) -> None:
        """Fetch the funding of the whole history that is stored by now, which may have grown at its old end.

        Raises
        ------
        GatewayError
            If the exchange does not tell; what is known stays.
        """
        for symbol in self._instruments:
            candles = self._store[symbol, str(self._decision)].window()
            if len(candles):
                self._funding[symbol] = await self._backfill.funding(symbol, int(candles.open_time[0]))


def _worker() -> ThreadPoolExecutor:
    return ThreadPoolExecutor(max_workers=1, thread_name_prefix="inference")


def _nobody(model_set: str, bar: int, seen: Mapping[str, Seen]) -> None:
    """Nobody listens."""


def _spacing(funding: Funding) -> int:
    """The time between the last two funding instants, ms; 8 h where there is only one."""
    return int(funding.time[-1] - funding.time[-2]) if len(funding) > 1 else 8 * 3_600_000


def held(predictor: Predictor, timeframe: Timeframe) -> int:
    """How many candles of a timeframe are held for a set: what it reads, and the margin, as long for finer ones."""
    if timeframe == predictor.finer_timeframe:
        return predictor.finer_lookback + MARGIN_CANDLES * predictor.timeframe.ratio(timeframe)
    return predictor.lookback + MARGIN_CANDLES
