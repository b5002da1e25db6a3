"""Luck: what the best of many tries would show without knowing anything."""

from __future__ import annotations

from backtest import significance
from backtest.gate.evidence import Evidence
from backtest.gate.ruling import at_most, number
from backtest.verdict import Gate, Says

LEAST_VARIANTS = 5
"""Fewer, and one block of days decides."""
BLOCKS = 16


def gates(evidence: Evidence) -> list[Gate]:
    """The family."""
    return [_deflated(evidence), _overfitting(evidence)]


def _deflated(evidence: Evidence) -> Gate:
    name = "luck/deflated_sharpe"
    question = "How likely is the true Sharpe ratio above the best that as many worthless tries would have shown?"
    least, played = evidence.terms.config.luck.deflated_sharpe, evidence.challenger.walked
    demanded = f"at least {least:g}"
    if evidence.trials is None:
        return Gate(name, question, Says.UNCLEAR, demanded, why="nobody counted the trials")
    if played is None:
        return Gate(name, question, Says.UNCLEAR, demanded, why="no record to trade on")
    told = significance.deflated_sharpe(played.daily, evidence.trials)
    best = f"{evidence.trials} trials, the best worthless one expected at {told.expected_maximum:.2f}"
    if told.probability is None:
        return Gate(name, question, Says.UNCLEAR, demanded, why="no Sharpe ratio: it hardly traded")
    # a half says that luck explains it just as well
    says = Says.PASS if told.probability >= least else Says.UNCLEAR if told.probability > 0.5 else Says.FAIL
    return Gate(name, question, says, demanded, challenger=number(told.probability), why=best)


def _overfitting(evidence: Evidence) -> Gate:
    """Rule: PBO speaks of a choice among variants; where nothing was chosen there is nothing to say."""
    name, question = "luck/pbo", "How likely was the best of the variants chosen by luck?"
    most, variants = evidence.terms.config.luck.pbo, evidence.variants
    if variants is None or variants.shape[1] < LEAST_VARIANTS:
        return Gate(name, question, Says.PASS, f"at most {most:g}", why="not chosen among variants of this data")
    if len(variants) < 2 * BLOCKS:
        why = f"{len(variants)} days are too few to halve"
        return Gate(name, question, Says.UNCLEAR, f"at most {most:g}", why=why)
    told = significance.pbo(variants, BLOCKS)
    gate = at_most(name, question, told.probability, most)
    why = f"{told.variants} variants over {told.days} days"
    return Gate(gate.name, gate.question, gate.says, gate.threshold, None, gate.challenger, None, None, why)
