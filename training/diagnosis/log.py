"""The training log: did the network learn, or only end? From the facts that the manifest keeps of its fitting."""

from __future__ import annotations

import math
from typing import Any

from training.diagnosis.finding import BROKEN, OK, SUSPECT, Figure, Finding, not_known
from training.diagnosis.subject import Subject

TRAINING = "training"
LEAST_FALL = 1e-4
"""Nats by which the training loss of a network that learns falls below its first epoch's."""
LEAST_GRADIENT = 1e-8


def training(subject: Subject) -> Finding:
    """Does the loss fall, is it a number throughout, and did the kept epoch know anything?"""
    facts = subject.facts
    if subject.network is None:
        trees = facts.get("trees")
        if not isinstance(trees, dict):
            return not_known(TRAINING, "how many trees were kept was not recorded")
        least = min((int(t) for t in trees.values() if isinstance(t, int)), default=0)
        figures: dict[str, Figure] = {"fewest_trees": least}
        if least < 1:
            return Finding(TRAINING, BROKEN, "a booster has no tree", "give it more rows a leaf can split", figures)
        return Finding(TRAINING, OK, f"every booster has trees, the smallest {least}", figures=figures)
    if not facts.get("train_loss"):
        return not_known(TRAINING, "its losses were not recorded")
    losses, stops = _numbers(facts.get("train_loss")), _numbers(facts.get("stop_loss"))
    aucs, gradients = _numbers(facts.get("stop_auc")), _numbers(facts.get("gradient_norm"))
    best, not_finite = facts.get("best_epoch"), facts.get("not_finite")
    figures = {
        "epochs": len(losses),
        "best_epoch": best if isinstance(best, int) else "not recorded",
        "train_loss": _ends(losses),
        "stop_loss": _ends(stops) if stops else "not recorded",
        "stop_auc": _at(aucs, best) if aucs else "not recorded",
        "gradient_norm": _ends(gradients) if gradients else "not recorded",
        "not_finite_steps": not_finite if isinstance(not_finite, int) else "not recorded",
    }
    broken = _broken(losses, stops, gradients)
    if broken:
        return Finding(TRAINING, BROKEN, *broken, figures)
    doubts = _doubts(losses, stops, _at(aucs, best), best, not_finite)
    if doubts:
        return Finding(TRAINING, SUSPECT, "; ".join(doubts), "train longer, or with other settings", figures)
    fall = losses[0] - min(losses)
    told = f"the training loss fell by {fall:.2g} nats in {len(losses)} epochs, the best one was {best}"
    return Finding(TRAINING, OK, told, figures=figures)


def _broken(losses: list[float], stops: list[float], gradients: list[float]) -> tuple[str, str] | None:
    """What makes the network one that was not trained, and the remedy."""
    for name, values in (("training", losses), ("early-stop", stops)):
        if not all(map(math.isfinite, values)):
            epoch = next(at for at, value in enumerate(values, 1) if not math.isfinite(value))
            return (
                f"the {name} loss is no number from epoch {epoch} on",
                "look for NaN in its inputs and labels, lower the learning rate, and train again",
            )
    if gradients and max(gradients, key=lambda g: g if math.isfinite(g) else 0.0) < LEAST_GRADIENT:
        return "no gradient reaches its weights", "look for a detached or frozen layer, and train again"
    if len(losses) > 1 and losses[0] - min(losses[1:]) < LEAST_FALL:
        return (
            f"it was not trained: the training loss did not fall ({losses[0]:.4f} to {min(losses[1:]):.4f} nats)",
            "raise the learning rate or the epochs, see that its weights are given to the optimiser, and train again",
        )
    return None


def _doubts(losses: list[float], stops: list[float], auc: Figure, best: Any, not_finite: Any) -> list[str]:
    """What a trained network should not show."""
    found = []
    if isinstance(not_finite, int) and not_finite:
        found.append(f"{not_finite} steps had a loss that is no number, and were skipped")
    if len(losses) == 1:
        found.append("it was trained for one epoch alone")
    elif best == 1 and stops and min(stops[1:]) > stops[0]:
        found.append("its early-stop loss was best after the first epoch: what it learnt later did not hold")
    if isinstance(auc, float) and auc < 0.5:
        found.append(f"the kept epoch's early-stop AUC is {auc:.3f}, no better than chance")
    return found


def _numbers(listed: Any) -> list[float]:
    """Figures of each epoch; what is no number in the manifest (null) is NaN."""
    if not isinstance(listed, list):
        return []
    return [float(value) if isinstance(value, int | float) else math.nan for value in listed]


def _ends(values: list[float]) -> Figure:
    return [values[0], values[-1]]


def _at(values: list[float], epoch: Any) -> Figure:
    return values[epoch - 1] if isinstance(epoch, int) and 1 <= epoch <= len(values) else None
