"""Results: what the figures say came of a task, in a line, and why it is not more."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from models.evaluation.rivals import VOLATILITY
from models.evaluation.sample import AVERAGE, STACK
from training.quality.ablation import COMMAND
from training.quality.aims import Aim, aims, parity, weight_conditions
from training.quality.figures import LONG, SHORT, Figures
from training.quality.listed import listed
from training.quality.wording import NOT_RUN, NOTHING, SECTIONS, estimate, interval, name, number, of_evidence

Told = tuple[str, str]
"""What came of a task, and why it is not more."""
Result = Callable[[Figures], Told]


def member(key: str, *more: Result) -> Result:
    """AUC of a member at the shortest horizon, for both sides and direction, and whatever else is told of it."""

    def result(figures: Figures) -> Told:
        if key not in figures.families:
            return NOT_RUN, f"the set has no {name(key)}"
        h = figures.horizons[0]
        told = [f"{title} {estimate(figures.auc(section, h, key))}" for section, title in SECTIONS.items()]
        why = [_against(figures, key)]
        for each in more:
            text, reason = each(figures)
            told.append(text)
            why.append(reason)
        return f"test AUC, {figures.spell(h)}: " + _joined(told), _joined(why)

    return result


def _against(figures: Figures, key: str) -> str:
    """The strongest baseline where a long pays, if the member is not above it."""
    h = figures.horizons[0]
    best = figures.strongest(LONG, h)
    mine, theirs = figures.auc(LONG, h, key), None if best is None else figures.auc(LONG, h, best)
    if best is None or mine is None or theirs is None or mine.value > theirs.value:
        return ""
    return f"where a long pays, {name(best)} has {number(theirs.value)}"


def horizons(key: str) -> Result:
    """The longer horizons' AUC."""

    def result(figures: Figures) -> Told:
        told = []
        for h in figures.horizons[1:]:
            long, short = (figures.auc(section, h, key) for section in (LONG, SHORT))
            if long is not None:
                told.append(f"{figures.spell(h)} long {estimate(long)}, short {estimate(short)}")
        return "; ".join(told), ""

    return result


def weight(key: str) -> Result:
    """A member's weight in the stack, with its sign."""

    def result(figures: Figures) -> Told:
        found = Aim("", tuple(weight_conditions(figures, key)))
        return f"weight {found.measured}" if found.measured else "", found.reason

    return result


def ablated(*words: str, label: str = "it") -> Result:
    """Rows of the ablations whose names hold one of the words; `label` says what was not run."""

    def result(figures: Figures) -> Told:
        found = [
            (row.name, row.difference.interval)
            for each in figures.asked.ablations
            for row in each.rows
            if row.difference is not None and any(word in row.name.lower() for word in words)
        ]
        if not found:
            text = NOT_RUN if label == "it" else f"{label}: {NOT_RUN}"
            return text, f"no ablation of {label} was given (`{COMMAND}`)"
        told = [f"{row} {estimate(difference, sign=True)}" for row, difference in found]
        worse = ", ".join(row for row, difference in found if difference.high < 0)
        unclear = ", ".join(row for row, difference in found if difference.low <= 0 <= difference.high)
        why = [f"{worse}: worse" if worse else "", f"{unclear}: not told from no gain" if unclear else ""]
        return "out-of-fold AUC less the unchanged one's: " + "; ".join(told), _joined(why)

    return result


def plain_lightgbm(figures: Figures) -> Told:
    """Regularised against plain, as the set itself compares them, or as an ablation does."""
    told: Any = figures.evidence.get("plain_lightgbm")
    if not told:
        return ablated("plain", "regularised", label="plain against regularised")(figures)
    leads = {key: of_evidence(each["lead"]) for key, each in told.items() if key.startswith(f"{figures.horizons[0]}/")}
    sure = all(lead is not None and lead.low > 0 for lead in leads.values())
    text = ", ".join(f"{key} {estimate(lead, sign=True)}" for key, lead in leads.items())
    return f"regularised leads plain out of fold: {text}", "" if sure else "no sure lead on plain"


def aim(*words: str) -> Result:
    """The aims whose words begin so."""

    def result(figures: Figures) -> Told:
        found = [each for each in aims(figures) if each.asks.startswith(words)]
        told = _joined([f"{each.measured or NOTHING}: {each.verdict}" for each in found])
        return told, _joined([each.reason for each in found])

    return result


def stacking(figures: Figures) -> Told:
    """The stack beside the plain average."""
    h = figures.horizons[0]
    told = [f"{SECTIONS[section]} {estimate(figures.auc(section, h, STACK))}" for section in (LONG, SHORT)]
    leads = [figures.lead(section, h, AVERAGE) for section in (LONG, SHORT)]
    told.append("lead on the plain average " + ", ".join(estimate(lead, sign=True) for lead in leads))
    sure = all(lead is not None and lead.low > 0 for lead in leads)
    return f"test AUC, {figures.spell(h)}: " + _joined(told), "" if sure else "no sure lead on the plain average"


def fusion(figures: Figures) -> Told:
    """Horizon weights, and how well the probabilities are calibrated."""
    first, weighed = figures.horizons[0], figures.manifest.ensemble.weights
    told = ", ".join(f"{figures.spell(h)} {number(weighed[str(h)], 2)}" for h in figures.horizons)
    lines = [(SECTIONS[s], figures.told[s][str(first)][STACK]["calibration"]) for s in (LONG, SHORT)]
    slopes = [(title, interval(line, "slope", "slope_ci")) for title, line in lines]
    off = [title for title, slope in slopes if slope is not None and not slope.low <= 1 <= slope.high]
    text = ", ".join(f"{title} {estimate(slope, 2)}" for title, slope in slopes)
    why = f"{', '.join(off)}: slope surely not 1" if off else ""
    return f"weights {told}; calibration slope, {figures.spell(first)}: {text}", why


def diagnosis(figures: Figures) -> Told:
    """What a set records of the stages that are diagnosed: parity."""
    found = parity(figures)
    return (f"torch against ONNX {found.figure}", found.reason) if found.figure else (NOT_RUN, found.reason)


def features(figures: Figures) -> Told:
    """Which features the set reads, and what the options are worth."""
    chosen = figures.manifest.features
    names = chosen.names
    told = f"{len(names)} features, {sum('funding' in each for each in names)} of funding"
    told += f", compared with {' and '.join(chosen.pair)}" if chosen.pair else ", none of a companion"
    worth, why = ablated("funding", "companion", "cross", label="their worth")(figures)
    return f"{told}; {worth}", why


def honesty(figures: Figures) -> Told:
    """Looks at the test slice, the canary, and the lead on what knows volatility and the hour alone."""
    told, canary = [f"looks at the test slice: {figures.evidence.get('test_openings', NOTHING)}"], ""
    found: Any = figures.evidence.get("canary")
    if found:
        canary = "" if found["quiet"] else "the canary found skill in shuffled labels"
        told.append(f"canary {estimate(of_evidence(found['auc']))}")
    leads = [figures.lead(section, figures.horizons[0], VOLATILITY) for section in (LONG, SHORT)]
    told.append(f"leads on {name(VOLATILITY)}: " + ", ".join(estimate(lead, sign=True) for lead in leads))
    sure = all(lead is not None and lead.low > 0 for lead in leads)
    return _joined(told), _joined([canary, "" if sure else f"no sure lead on {name(VOLATILITY)} on both sides"])


def rules(figures: Figures) -> Told:
    """The regime rules' Sharpe ratio less the fixed ones'."""
    found = listed(figures)["Sharpe +20 %"]
    return found.measured or NOT_RUN, found.reason


def _joined(parts: list[str]) -> str:
    return "; ".join(dict.fromkeys(part for part in parts if part))
