"""Stage goldens: a few real rows as they were at every stage when the set was made, from candles to probability.

One file of the set, so that a wrong answer can be followed back to the stage at which it went wrong. It is a long
table (stage, name, at, value), in this order: ``candles`` and ``funding`` that the rows can be computed from, the
scaler's ``center`` and ``scale`` by feature, ``features`` and ``scaled`` inputs of the rows, the same of a finer
timeframe (``finer candles`` and on) and the ``companion candles`` where the set reads them, raw ``outputs`` of each
member's file, ``trained`` networks' own before they were exported, ``stacked`` logits and calibrated ``probability``.
`at` is the row's open time, UTC ms.
"""

from __future__ import annotations

from models.stages.checking import CHAIN, LIMITS, Drift, check, openable
from models.stages.kept import FILE, Reading, Stages, read, recorded
from models.stages.making import COUNT, SPAN, record, rows_of

__all__ = [
    "CHAIN",
    "COUNT",
    "FILE",
    "LIMITS",
    "SPAN",
    "Drift",
    "Reading",
    "Stages",
    "check",
    "openable",
    "read",
    "record",
    "recorded",
    "rows_of",
]
