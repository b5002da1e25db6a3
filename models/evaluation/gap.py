"""The gap between what a set promised and what it does here: recorded out-of-fold AUC less the AUC on these bars.

The two samples have nothing to do with each other, so each is resampled by itself. An interval that holds 0 says that
the gap may be luck: half a year of hours does not tell .55 from .53.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from scipy.stats import norm

from models import walkforward
from models.evaluation.outcomes import SECTIONS, SIDES, UP, of_returns
from models.evaluation.sample import STACK, Sample, week
from models.inference import Predictor
from models.manifest import Manifest
from models.resampling import CONFIDENCE, Drawn, Resamples
from models.walkforward import WalkForward

Json = dict[str, Any]
INCONCLUSIVE, WEAKER, STRONGER = "inconclusive", "weaker than recorded", "stronger than recorded"
_OTHER_SEED = 7919
_SIGMAS = float(norm.ppf((1 + CONFIDENCE) / 2))
"""Half of such an interval in standard deviations; evidence is recorded at the same confidence."""


def figures(
    predictor: Predictor,
    sample: Sample,
    resamples: Resamples,
    draws: int,
    seed: int,
    doing: Callable[[str], None] = lambda _: None,
) -> Json:
    """``{section: {horizon: {oof, oof_ci, test, test_ci, gap, ci, inconclusive, says}}, source, reason}``."""
    promised, source, reason = _promised(predictor, draws, seed + _OTHER_SEED)
    found: Json = {section: {} for section in SECTIONS} | {"source": source, "reason": reason}
    for section, kind in SECTIONS.items():
        for h in predictor.manifest.horizons:
            key = f"{h}/{kind}"
            if key not in promised:
                continue
            doing(f"{section} over {h} bars")
            here = resamples.auc(sample.outcomes[key], sample.said[STACK][key])
            found[section][str(h)] = _compared(promised[key], here)
    return found


def _compared(before: Drawn, here: Drawn) -> Json:
    gap = before.minus(here).interval()
    inconclusive = not (gap.low > 0 or gap.high < 0)
    oof, test = before.interval(), here.interval()
    return {
        "oof": oof.value,
        "oof_ci": [oof.low, oof.high],
        "test": test.value,
        "test_ci": [test.low, test.high],
        "gap": gap.value,
        "ci": [gap.low, gap.high],
        "inconclusive": inconclusive,
        "says": INCONCLUSIVE if inconclusive else WEAKER if gap.low > 0 else STRONGER,
    }


def _promised(predictor: Predictor, draws: int, seed: int) -> tuple[dict[str, Drawn], str, str]:
    """Recorded AUC by question, where it is from, and why there is none."""
    if predictor.manifest.walkforward is not None:
        record = walkforward.read(predictor.model_set)
        return _of_record(record, predictor, draws, seed), "the set's walk-forward record, pairs within a fold", ""
    told = _of_evidence(predictor.manifest, draws, seed)
    if told:
        return told, "the set's evidence: out-of-fold AUC, its interval taken as a normal one's", ""
    return {}, "none", "the set carries neither a walk-forward record nor an out-of-fold AUC; train it again"


def _of_record(record: WalkForward, predictor: Predictor, draws: int, seed: int) -> dict[str, Drawn]:
    """AUC of what the recipe said of rows it had not seen, over pairs within a fold; the test slice is left out.

    Folds lie at different levels of scores and of outcomes, which says nothing of ranking (`metrics.auc_within`).
    """
    manifest, stack = predictor.manifest, record.logits[STACK]
    by_fold: dict[str, list[tuple[float, Drawn]]] = {}
    for fold in np.unique(record.part[record.part != walkforward.TEST]).tolist():
        resamples: Resamples | None = None
        for h in manifest.horizons:
            scores = {f"{h}/{side}": stack[f"{h}/{side}"] for side in SIDES}
            scores[f"{h}/{UP}"] = stack[f"{h}/long"] - stack[f"{h}/short"]
            came = of_returns(record.returns[h], h, manifest.data.labels.cost)
            rows = (record.part == fold) & np.isfinite(record.returns[h])
            if not rows.any():
                continue
            if resamples is None or resamples.count != rows.sum():
                resamples = Resamples(int(rows.sum()), week(predictor.timeframe), draws, seed + fold)
            for key, score in scores.items():
                outcome = came[key][rows]
                pairs = float(np.sum(outcome != 0) * np.sum(outcome == 0))
                if pairs:
                    by_fold.setdefault(key, []).append((pairs, resamples.auc(outcome, score[rows])))
    return {key: _together(folds) for key, folds in by_fold.items()}


def _together(folds: list[tuple[float, Drawn]]) -> Drawn:
    """The folds' AUC, each weighing as many pairs as it has."""
    weights = np.array([pairs for pairs, _ in folds]) / sum(pairs for pairs, _ in folds)
    value = float(sum(w * d.value for w, (_, d) in zip(weights, folds, strict=True)))
    return Drawn(value, np.sum([w * d.draws for w, (_, d) in zip(weights, folds, strict=True)], axis=0))


def _of_evidence(manifest: Manifest, draws: int, seed: int) -> dict[str, Drawn]:
    """Out-of-fold AUC that an older set's evidence gives, with draws that spread as its interval does."""
    generator = np.random.default_rng(seed)
    heads: Any = manifest.evidence.get("heads")
    found: dict[str, Drawn] = {}
    for key in manifest.ensemble.stackers:
        try:
            told = heads[key]["validation"]["out_of_fold"]["auc"]
            value, low, high = (float(told[name]) for name in ("value", "low", "high"))
        except (KeyError, TypeError, ValueError):
            continue
        spread = (high - low) / (2 * _SIGMAS)
        found[key] = Drawn(value, (low + high) / 2 + spread * generator.standard_normal(draws))
    return found
