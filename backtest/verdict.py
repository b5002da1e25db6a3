"""Verdicts: what the gate says of one question, and of a set as a whole. Written by the gate, shown by the report."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum

from pydantic import JsonValue

PROMOTE, REFUSE, NOT_ENOUGH = 0, 6, 7
"""Exit codes of a judgement."""


class Says(StrEnum):
    """What one gate says."""

    PASS = "pass"
    FAIL = "fail"
    UNCLEAR = "not enough evidence"
    WARNING = "warning"
    """Told, and held against nobody."""


@dataclass(frozen=True)
class Gate:
    """One gate: the question, what was measured, and what follows from it.

    Attributes
    ----------
    name : str
        Short and stable, e.g. ``auc/5/long``; what a test or a program looks for.
    question : str
        In words.
    says : Says
        The verdict.
    threshold : str
        What is demanded, in words and numbers of the gate's file.
    champion, challenger, difference : float or None
        What was measured of each and between them; None where it does not apply.
    interval : tuple of float or None
        Bounds of the difference, or of the challenger's figure where there is no champion.
    why : str
        One sentence: what decided.
    """

    name: str
    question: str
    says: Says
    threshold: str
    champion: float | None = None
    challenger: float | None = None
    difference: float | None = None
    interval: tuple[float, float] | None = None
    why: str = ""


@dataclass(frozen=True)
class Verdict:
    """All gates of a judgement, and what it was a judgement of.

    `identity` holds every hash it depends on: the sets, the data, the rules, the thresholds, the commit.
    """

    challenger: str
    champion: str | None
    gates: tuple[Gate, ...]
    identity: dict[str, JsonValue] = field(default_factory=dict)

    @property
    def code(self) -> int:
        """`REFUSE` if any gate fails, else `NOT_ENOUGH` if any is unclear, else `PROMOTE`."""
        said = {gate.says for gate in self.gates}
        return REFUSE if Says.FAIL in said else NOT_ENOUGH if Says.UNCLEAR in said else PROMOTE
