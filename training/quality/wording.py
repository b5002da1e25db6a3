"""Wording: numbers, intervals, names and tables, as every page of the report writes them."""

from __future__ import annotations

import math
import shlex
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from models.metrics import Interval

NOTHING = "–"
"""What is shown where there is no value; never a 0."""
NOT_RUN = "*not run*"
SECTIONS = {"profitable_long": "long pays", "profitable_short": "short pays", "direction": "price rises"}
NAMES = {
    "stack": "**stack**",
    "average": "plain average",
    "lightgbm": "LightGBM",
    "lstm": "LSTM",
    "tft": "TFT",
    "transformer": "Transformer",
    "lstm15m": "15m LSTM",
    "student": "distilled student",
    "minus_24h_return": "minus 24 h return",
    "volatility_and_clock": "volatility and hour only",
    "logistic": "logistic regression",
    "base_rate": "base rate",
    "har_and_calendar": "HAR + calendar",
}


def name(key: str) -> str:
    """What is written for a member, a baseline, or anything else that has a name of its own."""
    return NAMES.get(key, key.replace("_", " "))


def number(value: float | None, digits: int = 3, sign: bool = False) -> str:
    """As the field writes shares, without the zero before the point: ``.559``, ``−.010``, ``+1.20``."""
    if value is None or not math.isfinite(value):
        return NOTHING
    text = f"{value:{'+' if sign else ''}.{digits}f}"
    if float(text) == 0:
        text = text.replace("-", "" if not sign else "+")
    return text.replace("0.", ".", 1).replace("-", "−") if abs(float(text)) < 1 and digits else text.replace("-", "−")


def estimate(found: Interval | None, digits: int = 3, sign: bool = False) -> str:
    """A value with its interval: ``.559 [.536, .584]``."""
    if found is None or not math.isfinite(found.value):
        return NOTHING
    value = number(found.value, digits, sign)
    if not (math.isfinite(found.low) and math.isfinite(found.high)):
        return value
    return f"{value} [{number(found.low, digits, sign)}, {number(found.high, digits, sign)}]"


def interval(entry: Any, value: str, bounds: str) -> Interval | None:
    """What `evaluate` wrote as ``{value: …, bounds: [low, high]}``; None where it has no value."""
    if not entry or entry.get(value) is None:
        return None
    low, high = entry.get(bounds) or (None, None)
    return Interval(float(entry[value]), *(math.nan if b is None else float(b) for b in (low, high)))


def of_evidence(entry: Any) -> Interval | None:
    """What a manifest keeps as ``{value, low, high}``."""
    if not entry or entry.get("value") is None:
        return None
    return Interval(
        float(entry["value"]), *(math.nan if entry.get(b) is None else float(entry[b]) for b in ("low", "high"))
    )


def table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A Markdown table; a bar in a cell is escaped."""
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join("| " + " | ".join(cell.replace("|", "\\|") for cell in line) + " |" for line in lines) + "\n"


def command_of(text: str) -> str:
    """A command without the folders of files that are not the project's own."""
    parts = []
    for part in shlex.split(text):
        outside = part.startswith(("/", "../", "~")) or (part.endswith(".parquet") and "/" in part)
        parts.append(",".join(Path(each).name for each in part.split(",")) if outside else part)
    return shlex.join(parts)
