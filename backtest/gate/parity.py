"""Parity: one number computed in two ways must be one number: trained and served, live and tested, then and now."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from backtest.gate.evidence import Contender, Evidence
from backtest.gate.recipe import TEST
from backtest.gate.ruling import at_most
from backtest.verdict import Gate, Says
from market.candles import Floats
from models.ensemble import Answers
from models.golden import golden_finer_rows, golden_inputs
from models.inference import Predictor


def gates(evidence: Evidence) -> list[Gate]:
    """The family."""
    return [_trained(evidence), _live(evidence), _recorded(evidence)]


def _trained(evidence: Evidence) -> Gate:
    name, question = "parity/torch", "Do the served networks say what the trained ones said (logits)?"
    most = evidence.terms.config.parity.logit
    networks = [m.name for m in evidence.challenger.manifest.models if m.kind == "onnx"]
    if not networks:
        return at_most(name, question, 0.0, most)
    found = _from_trained(evidence.challenger.predictor)
    told = {output.split("/")[0] for output in found}
    if set(networks) - told:
        missing = ", ".join(sorted(set(networks) - told))
        return Gate(
            name, question, Says.UNCLEAR, f"at most {most:g}", why=f"no trained logits of {missing}; train again"
        )
    worst = max(found, key=lambda output: found[output])
    champion = None
    if evidence.champion is not None:
        champion = max(_from_trained(evidence.champion.predictor).values(), default=None)
    gate = at_most(name, question, found[worst], most, champion)
    return gate if gate.says is Says.PASS else _because(gate, f"{worst} is {found[worst]:.2g} off")


def _from_trained(predictor: Predictor) -> dict[str, float]:
    """Output -> largest |difference| between its golden logits as trained, and as served now."""
    golden = predictor.manifest.golden
    if golden is None or not golden.trained:
        return {}
    matrix, rows = golden_inputs(predictor.manifest, golden.seed, golden.count)
    finer = golden_finer_rows(predictor.manifest, golden.seed, golden.count)
    served = predictor.logits(matrix, rows, finer)
    return {output: _largest(served[output] - np.array(trained)) for output, trained in golden.trained.items()}


def _live(evidence: Evidence) -> Gate:
    name, question = "parity/live", "Does the live path say what the whole history says, on a sample of candles?"
    settings = evidence.terms.config.parity
    side, market = evidence.challenger, evidence.market
    unseen, predictor = side.unseen, side.predictor
    answered = np.flatnonzero(unseen.answers.finite)
    if not len(answered):
        return Gate(name, question, Says.UNCLEAR, f"at most {settings.live:g}", why="no unseen candle has an answer")
    chosen = answered[np.unique(np.linspace(0, len(answered) - 1, settings.samples).astype(np.int64))]
    inputs = market.inputs(side.manifest)
    worst = 0.0
    for at in chosen.tolist():
        close = int(unseen.candles.open_time[unseen.rows[at]]) + market.candles.timeframe.ms
        known = replace(inputs.known_at(close), funding=inputs.funding)  # rates may be there before they count
        said = predictor.predict(
            market.instrument.symbol, known.candles, known.funding, finer=known.finer, companion=known.companion
        )
        told = unseen.answers
        pairs = [(said.p_long, told.p_long[at]), (said.p_short, told.p_short[at])]
        pairs += [(p, told.regime[at, k]) for k, p in enumerate(said.regime_probabilities)]
        pairs += [(p, told.members[key][at]) for key, p in said.members.items() if not _both_none(p, told, key, at)]
        worst = max(worst, *(abs(live - batch) for live, batch in pairs))
    # both are rounded to 1e-9, which may itself part them by one unit
    return _because(at_most(name, question, worst, settings.live * 1.001), f"{len(chosen)} candles asked twice")


def _both_none(said: float, told: Answers, key: str, at: int) -> bool:
    """Whether a member gave no number live nor in the history."""
    return bool(np.isnan(said) and np.isnan(told.members[key][at]))


def _recorded(evidence: Evidence) -> Gate:
    name = "parity/recorded"
    question = "Does the set answer its test slice as its record says it did?"
    most = evidence.terms.config.parity.recorded
    side = evidence.challenger
    apart = _from_record(side, evidence)
    if apart is None:
        return Gate(name, question, Says.UNCLEAR, f"at most {most:g}", why="no recorded test row can be asked again")
    return at_most(name, question, apart, most)


def _from_record(side: Contender, evidence: Evidence) -> float | None:
    """Largest |difference| of p_long and p_short between the record's test rows and the same asked now."""
    if side.recipe is None:
        return None
    record = side.recipe.at(side.recipe.part == TEST)
    if not len(record):
        return None
    length = evidence.market.candles.timeframe.ms
    past = int(record.open_time[0]) - (side.manifest.warmup + 1) * length
    read = evidence.market.inputs(side.manifest).between(past, int(record.open_time[-1]) + length)
    candles = read.candles
    matrix = side.predictor.matrix(candles, evidence.market.funding, read.companion)
    finer = side.predictor.finer_rows(candles, read.finer, evidence.market.funding)
    asked = side.predictor.ready(candles, matrix) & np.isin(candles.open_time, record.open_time)
    rows = np.flatnonzero(asked)
    if not len(rows):
        return None
    answers = side.predictor.answers(matrix, rows, finer=finer)
    at = np.searchsorted(record.open_time, candles.open_time[rows])
    return max(
        _largest(answers.p_long - record.columns["p_long"][at]),
        _largest(answers.p_short - record.columns["p_short"][at]),
    )


def _largest(difference: Floats) -> float:
    return float(np.max(np.abs(difference))) if np.isfinite(difference).all() else float("inf")


def _because(gate: Gate, why: str) -> Gate:
    return Gate(
        gate.name, gate.question, gate.says, gate.threshold, gate.champion, gate.challenger, gate.difference,
        gate.interval, why,
    )  # fmt: skip
