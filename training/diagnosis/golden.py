"""Golden vectors at each stage: raw candles, features, scaled inputs, outputs, stacked logits, probability."""

from __future__ import annotations

from models import stages as goldens
from training.diagnosis.finding import BROKEN, OK, Figure, Finding, not_known
from training.diagnosis.subject import Subject

STAGES = "golden stages"
_REMEDY = "the set's files or this version compute it otherwise than when it was made; train the set again"


def stages(subject: Subject) -> Finding:
    """Is every stage what it was when the set was made, given what was recorded of the one before?"""
    if subject.stages is None:
        return not_known(STAGES, "the set has no sound stage goldens; one trained now has them")
    drifts = goldens.check(subject.manifest, subject.model_set.contents, subject.stages)
    figures: dict[str, Figure] = {d.stage: d.largest if d.known else "not known" for d in drifts}
    for drift in drifts:
        if drift.broken:
            sentence = (
                f"the stage {drift.stage} is the first that is not what it was when the set was made: {drift.worst} "
                f"is {drift.largest:.2g} off (limit {drift.limit:g})"
            )
            return Finding(STAGES, BROKEN, sentence, _REMEDY, figures)
    known = [drift.stage for drift in drifts if drift.known]
    rows = len(subject.stages.times)
    return Finding(STAGES, OK, f"{rows} rows are as they were, at {', '.join(known)}", figures=figures)
