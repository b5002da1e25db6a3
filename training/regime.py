"""The regime classifier, put together: LightGBM, an LSTM and HAR with the calendar pooled into one distribution."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from pydantic import JsonValue

from market.candles import Floats
from models import labels, pooling, ridge
from models.baselines import RegimeScore
from models.logits import softmax
from models.manifest import HAR, REGIMES, Har, RegimePool, Scaler
from training.boosting import LabelError
from training.families import NETWORKS, REGIME
from training.folds import FINISHED
from training.problem import Problem
from training.units import Context, File, Fits, Unit, gathered

SPANS = ("volatility_6", "volatility_24", "volatility_72", "volatility_168", "volatility_720")
CLOCK = tuple(
    f"{what}_{wave}{times}"
    for what, plain in (("hour", "_1"), ("week", ""))
    for wave in ("sine", "cosine")
    for times in (plain, "_2", "_3")
)
"""Features that HAR with the calendar reads."""


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
    scaler : Scaler or None
        How a network's inputs are scaled, if there is one.
    """

    files: tuple[File, ...]
    unseen: Floats
    probabilities: Floats
    pool: RegimePool | None
    facts: dict[str, JsonValue]
    trained: dict[str, Any]
    scaler: Scaler | None = None


def finish(context: Context, fits: Fits) -> RegimeAnswers:
    """The classifier, once its members are fitted.

    Raises
    ------
    LabelError
        If the rows of a fold know no regime that HAR could be fitted to.
    """
    problem, folds, told = context.problem, context.folds, context.spec.regime
    later = folds.finished[2]
    nothing = np.full((len(problem.matrix), len(REGIMES)), np.nan)
    names, files = [REGIME.name], [REGIME.file(fits)]
    last = fits[Unit(REGIME.name, FINISHED)]
    unseen, final = [gathered(context, REGIME.name, fits, len(REGIMES))], [nothing.copy()]
    final[0][later] = last.answers
    facts: dict[str, JsonValue] = {"regime": dict(last.facts)}
    trained, scaler = {}, None
    if told.lstm is not None:
        network = NETWORKS["regime_lstm"].finish(context, fits)
        names.append(network.file.member.name)
        files.append(network.file)
        unseen.append(softmax(network.unseen))
        final.append(softmax(network.final))
        facts[network.file.member.name] = network.facts
        trained[network.file.member.name] = network.trained
        scaler = network.scaler
    har = None
    if told.har:
        names.append(HAR)
        of_folds = nothing.copy()
        for part in range(len(folds.parts)):
            judged = folds.rows(part)[2]
            of_folds[judged] = _har(context, part).probabilities(_columns(problem)[judged])
        last_of_all = nothing.copy()
        har = Har(columns=columns_of(problem), score=_har(context, FINISHED))
        last_of_all[later] = har.score.probabilities(_columns(problem)[later])
        unseen.append(of_folds)
        final.append(last_of_all)
    if len(names) == 1:
        return RegimeAnswers(tuple(files), unseen[0], final[0], None, facts, trained, scaler)
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
        bias=tuple(float(b) for b in pool.bias),
        har=har,
    )
    return RegimeAnswers(tuple(files), pooled, pool(final), kept, facts, trained, scaler)


def columns_of(problem: Problem) -> tuple[str, ...]:
    """The features HAR reads, of those the set has."""
    return tuple(name for name in (*SPANS, *CLOCK) if name in problem.names)


def _columns(problem: Problem) -> Floats:
    return problem.matrix[:, [problem.names.index(name) for name in columns_of(problem)]]


def _har(context: Context, part: int) -> RegimeScore:
    """HAR fitted on the rows of one part, to regimes by its edges."""
    problem = context.problem
    if not any(name in problem.names for name in SPANS):
        raise LabelError(f"regime.har reads {', '.join(SPANS)}, and the features hold none of them; leave har out")
    regimes = labels.regimes(problem.volatility, context.folds.edges_in(part, problem))
    try:
        return ridge.fit_regime(_columns(problem), regimes, context.folds.rows(part)[0])
    except ridge.FitError as error:
        raise LabelError(str(error)) from error
