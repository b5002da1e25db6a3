"""Diagnosis: why does this model output 0.0, or a constant, or nonsense? Answered in one sentence.

The checks run in the order in which such faults are found soonest; the first one that is broken is the verdict, for
what comes after it is mostly its consequence. Nothing here needs torch.
"""

from __future__ import annotations

import numpy as np

from training.diagnosis import answers, exported, golden, inputs, log, weights
from training.diagnosis.finding import BROKEN, Check, Diagnosis, Finding, not_known
from training.diagnosis.subject import Subject

CHECKS: dict[str, Check] = {
    answers.SCALE: answers.scale_of_the_answer,
    answers.HEADS: answers.heads,
    inputs.SCALING: inputs.scaling,
    inputs.ORDER: inputs.order,
    exported.MODE: exported.mode,
    exported.BATCH: exported.batch,
    exported.PARITY: exported.torch_against_onnx,
    log.TRAINING: log.training,
    golden.STAGES: golden.stages,
    answers.RANGE: answers.spread,
    weights.WEIGHT: weights.stack,
}
"""Name -> the question, in the order asked."""


def diagnose(subject: Subject) -> Diagnosis:
    """Every check of the subject, in order."""
    findings: list[Finding] = []
    stopped = ""
    for name, check in CHECKS.items():
        with np.errstate(invalid="ignore", divide="ignore", over="ignore"):  # nonsense is what it is for
            found = not_known(name, f"{stopped} comes first") if stopped else check(subject)
        findings.append(found)
        if found.final and found.status == BROKEN:
            stopped = name
    return Diagnosis(subject.model_set.id, subject.family, tuple(findings), subject.source)
