"""Variants: the stored sets that the challenger was chosen among, for the probability that the choice was luck."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np

from backtest.gate.evidence import Contender, Evidence, recorded, walk
from backtest.gate.recipe import match
from models.inference import Predictor
from models.modelset import ModelSet, ModelSetError, stored

MOST = 12
"""Played at most, the newest first: each takes seconds."""


def chosen_among(evidence: Evidence, store: Path) -> Evidence:
    """The evidence with the daily returns of every set of the store that was made of the very same data.

    A retrain on later data is no variant: nobody chose between the two by their results on one history. Days are those
    that any of them recorded; 0 where one had nothing to say.
    """
    played = [s.walked for s in _siblings(evidence, store)]
    mine = evidence.challenger.walked
    rivals = [p for p in played if p is not None]
    if mine is None or not rivals:
        return evidence
    every = [mine, *rivals]
    days = np.unique(np.concatenate([p.days for p in every]))
    columns = np.zeros((len(days), len(every)))
    for column, one in zip(columns.T, every, strict=True):
        column[np.searchsorted(days, one.days)] = one.daily
    return replace(evidence, variants=columns)


def _siblings(evidence: Evidence, store: Path) -> list[Contender]:
    ours, terms = evidence.challenger, evidence.terms
    found: list[Contender] = []
    for path in reversed(stored(store)):
        if path.name == ours.predictor.id or len(found) >= MOST - 1:
            continue
        try:
            other = ModelSet.load(path)
            if other.manifest.data.sha256 != ours.manifest.data.sha256 or other.manifest.walkforward is None:
                continue
            predictor = Predictor.load(other)
            recipe = recorded(predictor)
        except ModelSetError:
            continue  # a damaged set was not chosen against
        if recipe is None:
            continue
        matched = match(recipe, evidence.market.candles)
        cut = replace(ours, predictor=predictor, recipe=recipe.at(matched.covered), matched=matched)
        found.append(replace(cut, judged=None, walked=walk(cut, evidence.market, terms)))
    return found
