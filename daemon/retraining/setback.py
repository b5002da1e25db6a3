"""A setback: a step of a run that failed, and whether trying again can help."""

from __future__ import annotations


class Setback(Exception):
    """A step failed; `lasting`: trying again cannot help; `job`: the job itself failed, and another has to be made."""

    def __init__(self, message: str, lasting: bool = False, job: bool = False) -> None:
        super().__init__(message)
        self.lasting, self.job = lasting, job
