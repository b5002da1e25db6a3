"""The regime classifier, put together: LightGBM, an LSTM and HAR with the calendar pooled into one distribution."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from pydantic import JsonValue

from market.candles import Floats
from models import labels, pooling
from models.baselines import Baselines
from models.logits import softmax
from models.manifest import REGIMES, RegimePool
from training.families import NETWORKS, REGIME
from training.units import Context, File, Fits, Unit, gathered
from training.folds import FINISHED

HAR = "har_and_calendar"


@dataclass(frozen=True)
class RegimeAnswers:
    """What the regime classifier says, and its files.

    Attributes
    ----------
    files : tuple of File
        The primary member's first.
    unseen : (N, 3) float64
        Out-of-fold P(low), P(mid), P(high), by each fold's own edges and a pool fitted on the folds before.
    probabilities : (N, 3) float64
        The finished classifier's, from the early-stop slice on.
    pool : RegimePool or None
        How several are one; None: there is one alone.
    facts : dict
        For the evidence: how the fitting went.
    trained : dict
        Network -> its logits before it was exported.
    """

    files: tuple[File, ...]
    unseen: Floats
    probabilities: Floats
    pool: RegimePool | None
    facts: dict[str, JsonValue]
    trained: dict[str, Any]


def finish(context: Context, fits: Fits, fitted: Baselines, of_folds: list[Baselines]) -> RegimeAnswers:
    """The classifier, once its members and the baselines are fitted.

    Parameters
    ----------
    fitted, of_folds : Baselines
        Of the train slice, and of each fold.
    """
    problem, folds, told = context.problem, context.folds, context.spec.regime
    later = folds.finished[2]
    nothing = np.full((len(problem.matrix), len(REGIMES)), np.nan)
    names, files = [REGIME.name], [REGIME.file(fits)]
    last = fits[Unit(REGIME.name, FINISHED)]
    unseen, final = [gathered(context, REGIME.name, fits, len(REGIMES))], [nothing.copy()]
    final[0][later] = last.answers
    facts: dict[str, JsonValue] = {"regime": dict(last.facts)}
    trained = {}
    if told.lstm is not None:
        network = NETWORKS["regime_lstm"].finish(context, fits)
        names.append(network.file.member.name)
        files.append(network.file)
        unseen.append(softmax(network.unseen))
        final.append(softmax(network.final))
        facts[network.file.member.name] = network.facts
        trained[network.file.member.name] = network.trained
    if told.har:
        names.append(HAR)
        unseen.append(nothing.copy())
        final.append(nothing.copy())
        for (_, _, judged), baselines in zip(folds.parts, of_folds, strict=True):
            unseen[-1][judged] = baselines.regime[HAR].probabilities(problem.clock[judged])
        final[-1][later] = fitted.regime[HAR].probabilities(problem.clock[later])
    if len(names) == 1:
        return RegimeAnswers(tuple(files), unseen[0], final[0], None, facts, trained)
    pooled, outcome = nothing.copy(), np.full(len(nothing), np.nan)
    for number, (_, _, judged) in enumerate(folds.parts):
        outcome[judged] = labels.regimes(problem.volatility, folds.edges[number])[judged]
        earlier = folds.judged_before(number)
        pool = pooling.fit([each[earlier] for each in unseen], outcome[earlier], told.l2)
        pooled[judged] = pool([each[judged] for each in unseen])
    pool = pooling.fit(unseen, outcome, told.l2)
    kept = RegimePool(
        members=tuple(names),
        weights=tuple(float(w) for w in pool.weights),
        bias=tuple(float(b) for b in pool.bias),  # type: ignore[arg-type]
    )
    return RegimeAnswers(tuple(files), pooled, pool(final), kept, facts, trained)
