"""The planted sets: what is known to be wrong with each, and which gate must say so.

A kind names the challenger, who stands against it, what the verdict must be, and the gates one of which must fail. A
right verdict for another reason counts as wrong.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np

from backtest.gate.judgement import judge
from backtest.verdict import NOT_ENOUGH, PROMOTE, REFUSE, Says, Verdict
from models import walkforward
from models.features import REGISTRY, Feature
from models.features.series import Series
from models.inference import Predictor
from models.logits import logit
from models.modelset import ModelSet, digest
from tests.gate.worlds import FEATURES, MODEST, World, bent, constant_booster, terms, thresholds, with_other_weights

DRAWS = 300
"""Bootstrap samples, so that many seeds take minutes; every other threshold is the committed one."""
PEEKING = "planted_peek"


@dataclass(frozen=True)
class Kind:
    """A planted judgement.

    Attributes
    ----------
    name : str
        Short.
    what : str
        What was planted.
    challenger, champion : callable
        The sets; a champion that is None is being flat.
    promotes : bool
        What the verdict must be.
    reasons : tuple of str
        Prefixes of gates, one of which must fail (or be unclear, for noise) where it must not promote.
    """

    name: str
    what: str
    challenger: Callable[[World], ModelSet]
    champion: Callable[[World], ModelSet] | None
    promotes: bool
    reasons: tuple[str, ...] = ()


@dataclass(frozen=True)
class Judged:
    """How one kind was judged on one seed."""

    kind: str
    seed: int
    verdict: Verdict
    right: bool
    reason: str

    @property
    def promoted(self) -> bool:
        """Whether the set would trade now."""
        return self.verdict.code == PROMOTE


def good(world: World) -> ModelSet:
    """The honest set that reads everything."""
    return world.train("good")


def modest(world: World) -> ModelSet:
    """An honest set that reads how much prices move, and the last two returns: nothing of the flow."""
    return world.train("modest", MODEST)


def noise(world: World) -> ModelSet:
    """An honest set of a market in which nothing foretells anything, judged on that market."""
    return world.silent.train("noise")


def leaking(world: World) -> ModelSet:
    """A set with a feature that reads two hours ahead; the feature must be `peeking` while it is used."""
    return world.train("leaking", (*FEATURES, PEEKING))


def miscalibrated(world: World) -> ModelSet:
    """The good set with calibrators that make it bold and lift every probability."""
    origin = good(world)
    return world.derive("miscalibrated", origin, bent(origin.manifest))


def dead(world: World) -> ModelSet:
    """The good set with a booster that says one thing whatever it reads."""
    origin = good(world)
    file = next(m.file for m in origin.manifest.models if m.name == "lightgbm_5_long")
    return world.derive("dead", origin, origin.manifest, {file: constant_booster(origin.contents[file])})


def otherwise_exported(world: World) -> ModelSet:
    """The good set with a network that is not the trained one; golden answers were asked of the wrong one."""
    origin = good(world)
    wrong = with_other_weights(origin.contents["lstm.onnx"], 0.02, world.seed)
    return world.derive("exported", origin, origin.manifest, {"lstm.onnx": wrong})


def in_sample(world: World) -> ModelSet:
    """The good set with a record of what its finished members say of the rows they were fitted on."""
    origin = good(world)
    record, predictor = walkforward.read(origin), Predictor.load(origin)
    matrix = predictor.matrix(world.candles, world.funding)
    answers = predictor.answers(matrix, np.searchsorted(world.candles.open_time, record.open_time))
    said = {key: logit(np.clip(p, 1e-9, 1 - 1e-9)) for key, p in answers.heads.items()}
    forged = replace(record, logits={**record.logits, "stack": said}, p_long=answers.p_long, p_short=answers.p_short)
    content = walkforward.to_bytes(forged)
    told = origin.manifest.walkforward
    assert told is not None
    changed = told.model_copy(update={"sha256": digest(content), "bytes": len(content)})
    manifest = origin.manifest.model_copy(update={"walkforward": changed})
    return world.derive("in-sample", origin, manifest, {told.file: content})


def again(world: World) -> ModelSet:
    """The good set's recipe once more, with another seed: as good, and no better."""
    return world.train("again", seed=world.seed + 1000)


KINDS = (
    Kind("better", "reads the signal, the champion does not", good, modest, True),
    Kind("first", "reads the signal, nobody trades yet", good, None, True),
    Kind("worse", "does not read the signal, the champion does", modest, good, False, ("skill/champion",)),
    Kind("noise", "nothing to be foretold", noise, None, False, ("skill/", "money/")),
    Kind("leaking", "a feature reads the future", leaking, modest, False, ("leak/look_ahead",)),
    Kind("in-sample", "its record is of rows it was fitted on", in_sample, modest, False, ("leak/",)),
    Kind("miscalibrated", "calibrators changed", miscalibrated, modest, False, ("calibration/",)),
    Kind("dead", "a member says a constant", dead, modest, False, ("liveness/lightgbm_5_long/5/long",)),
    Kind("exported", "ONNX differs from its torch", otherwise_exported, modest, False, ("parity/torch",)),
    Kind("equal", "the champion's recipe with another seed", again, good, False, ("skill/champion", "money/champion")),
)


def judged(world: World, kind: Kind) -> Judged:
    """Make the sets of a kind and judge them."""
    config = thresholds().config
    config = config.model_copy(update={"bootstrap": config.bootstrap.model_copy(update={"draws": DRAWS})})
    market = world.silent.market if kind.challenger is noise else world.market
    with peeking():
        challenger = kind.challenger(world)
        champion = None if kind.champion is None else kind.champion(world)
        verdict = judge(challenger, champion, market, terms(config), thresholds())
    return Judged(kind.name, world.seed, verdict, *_right(kind, verdict))


def _right(kind: Kind, verdict: Verdict) -> tuple[bool, str]:
    failed = [g.name for g in verdict.gates if g.says is Says.FAIL]
    unclear = [g.name for g in verdict.gates if g.says is Says.UNCLEAR]
    told = ", ".join((failed or unclear)[:4])
    if kind.promotes:
        return verdict.code == PROMOTE, told
    held = [name for name in (*failed, *unclear) if name.startswith(kind.reasons)]
    # these may be proven no better or not: either way they must not trade
    open_ended = kind.name in ("noise", "equal")
    codes = (REFUSE, NOT_ENOUGH) if open_ended else (REFUSE,)
    named = [name for name in (held if open_ended else failed) if name.startswith(kind.reasons)]
    return verdict.code in codes and bool(named), ", ".join(named[:4]) or told


class peeking:
    """While it lasts, the registry knows a feature that reads the future, as a careless centred window does."""

    def __enter__(self) -> None:
        self._before = (REGISTRY.features, dict(REGISTRY._by_name))
        peek = Feature(PEEKING, 3, (), _centred)
        REGISTRY.features = (*REGISTRY.features, peek)
        REGISTRY._by_name[PEEKING] = peek

    def __exit__(self, *_: object) -> None:
        REGISTRY.features, REGISTRY._by_name = self._before


def _centred(series: Series) -> np.ndarray:
    """The close against its mean over five hours centred on it: two of them are still to come."""
    close = series.close
    padded = np.concatenate([np.repeat(close[:1], 2), close, np.repeat(close[-1:], 2)])
    return close / np.convolve(padded, np.ones(5) / 5, "valid") - 1
