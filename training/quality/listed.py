"""The list's numbers: what the scripts that this replaces claimed, beside what the same recipe gives here.

They were measured on other data (ETHUSDT, hours), on holdouts that early stopping had spent, and without intervals. An
AUC is compared where the list has it: does a long pay, over the shortest horizon?
"""

from __future__ import annotations

from typing import Any

from models.evaluation.sample import STACK
from training.quality.aims import (
    GAP,
    Aim,
    Condition,
    Verdict,
    finer,
    gaps,
    place,
    reach,
    reaching,
    weight_conditions,
)
from training.quality.figures import LONG, SHORTEST, Figures
from training.quality.wording import SECTIONS, estimate, interval, name, number


def listed(figures: Figures) -> dict[str, Aim]:
    """Name of a number -> what became of it, in the list's order."""
    at = figures.spell(SHORTEST)
    regime: Any = figures.told["regime"]
    accuracy = reaching("accuracy", interval(regime, "accuracy", "accuracy_ci"), 0.60, "no regime", figures.weeks)
    return {
        "LightGBM holdout .58": Aim("AUC ≥ .58", (_member(figures, "lightgbm", 0.58),)),
        "LSTM .56": Aim("AUC ≥ .56", (_member(figures, "lstm", 0.56),)),
        "multi-horizon .60": Aim("AUC ≥ .60", (_member(figures, "lstm", 0.60), _horizons(figures, "lstm"))),
        "Transformer .60": Aim("AUC ≥ .60", (_member(figures, "transformer", 0.60),)),
        "distilled .57": Aim("AUC ≥ .57", (_member(figures, "student", 0.57),)),
        "15m .52–.54": Aim("AUC ≥ .52", finer(figures, 0.52)),
        "regime 60 %": Aim("accuracy ≥ .60", (accuracy,)),
        "Sharpe +20 %": Aim("20 % above fixed rules", (_rules(figures),)),
        "stacking gap .02": Aim(f"|out of fold − test| ≤ {number(GAP, 2)}, {at}", tuple(gaps(figures))),
        "TFT range": Aim("outputs within [.3, .7]", (_range(figures, "tft"),)),
        "TFT weight": Aim("weight not negative", tuple(weight_conditions(figures, "tft"))),
    }


def _member(figures: Figures, member: str, bar: float) -> Condition:
    """A member's AUC where the list measured it: does a long pay, over the shortest horizon?"""
    found = figures.auc(LONG, SHORTEST, member)
    absent = f"the set has no {name(member)}" if SHORTEST in figures.horizons else f"the set has no {SHORTEST}-bar head"
    condition = reaching(SECTIONS[LONG], found, bar, absent, figures.weeks)
    stack = figures.auc(LONG, SHORTEST, STACK)
    if condition.reason and found is not None and stack is not None and stack.value < bar:
        return Condition(
            condition.verdict, condition.figure, f"{condition.reason}; the stack has {number(stack.value)}"
        )
    return condition


def _horizons(figures: Figures, member: str) -> Condition:
    """The other horizons' AUC, told and not judged: the best of several is none's."""
    told = [
        f"{figures.spell(h)} {estimate(auc)}"
        for h in figures.horizons
        if h != SHORTEST and (auc := figures.auc(LONG, h, member)) is not None
    ]
    return Condition(Verdict.MET, ", ".join(told))


def _rules(figures: Figures) -> Condition:
    if figures.rules is None:
        return Condition(Verdict.NOT_RUN, "", "docs/results/regime-rules.md is missing")
    low, high = (float(bound.replace("−", "-")) for bound in figures.rules.split("[")[1].rstrip("]").split(","))
    text = f"Sharpe less fixed {figures.rules} a year"
    if low > 0:
        return Condition(Verdict.INCONCLUSIVE, text, "better than fixed; by how much, the page says")
    verdict = Verdict.NOT_MET if high <= 0 else Verdict.INCONCLUSIVE
    return Condition(verdict, text, "no evidence of a gain; see [the regime rules, judged](results/regime-rules.md)")


def _range(figures: Figures, member: str) -> Condition:
    found = {k.partition("/")[2]: v for k, v in figures.outputs.items() if k.startswith(f"{member}/")}
    if not found:
        return Condition(Verdict.NOT_RUN, "", f"the set has no {name(member)}")
    text = ", ".join(f"{key} {reach(quantiles)}" for key, quantiles in found.items())
    outside = [f"{key} {place(q)}" for key, q in found.items() if place(q) != "inside"]
    return Condition(Verdict.NOT_MET if outside else Verdict.MET, text, ", ".join(outside))
