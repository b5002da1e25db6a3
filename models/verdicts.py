"""Stored verdicts: what the gate said of a set, kept beside the sets, for `promote` to read.

One file a challenger, ``<store>/verdicts/<id>.json``, the latest judgement alone, replaced as a whole.
"""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any, Literal

from pydantic import Field, JsonValue, ValidationError

from models.modelset import ModelSetError, replace_file
from models.parts import Finite, Part, Sha256, UtcText

FOLDER = "verdicts"
GATE_FILE = Path(__file__).resolve().parent.parent / "configs" / "gate.yaml"
"""The thresholds a verdict must have been reached by."""

Word = Literal["promote", "refuse", "not enough evidence"]


class StoredGate(Part):
    """One gate as it was."""

    name: str
    question: str
    says: Literal["pass", "fail", "not enough evidence", "warning"]
    threshold: str
    champion: Finite | None = None
    challenger: Finite | None = None
    difference: Finite | None = None
    interval: tuple[Finite, Finite] | None = None
    why: str = ""


class StoredVerdict(Part):
    """A judgement: `champion` is None where the challenger was judged against being flat."""

    format: Literal[1] = 1
    made: UtcText
    challenger: str
    champion: str | None
    verdict: Word
    exit_code: Literal[0, 6, 7]
    gate_sha256: Sha256
    max_age_days: int = Field(ge=1)
    identity: dict[str, JsonValue]
    gates: tuple[StoredGate, ...] = Field(min_length=1)

    def named(self, says: str) -> list[str]:
        """Names of the gates that say so."""
        return [gate.name for gate in self.gates if gate.says == says]


def file_of(set_id: str, store: Path | str) -> Path:
    """Where the verdict on a set is kept."""
    return Path(store) / FOLDER / f"{set_id}.json"


def write(verdict: StoredVerdict, store: Path | str) -> Path:
    """Keep a verdict, replacing the one before."""
    file = file_of(verdict.challenger, store)
    file.parent.mkdir(parents=True, exist_ok=True)
    text = json.dumps(verdict.model_dump(mode="json"), indent=2, ensure_ascii=False, allow_nan=False) + "\n"
    replace_file(file, text.encode())
    return file


def read(set_id: str, store: Path | str) -> StoredVerdict | None:
    """The verdict on a set, None if it was never judged.

    Raises
    ------
    ModelSetError
        If the file is damaged.
    """
    file = file_of(set_id, store)
    try:
        content = file.read_bytes()
    except FileNotFoundError:
        return None
    remedy = "judge the set again"
    try:
        found = StoredVerdict.model_validate_json(content)
    except ValidationError as error:
        first: Any = error.errors(include_url=False)[0]
        where = ".".join(map(str, first["loc"])) or "the whole"
        raise ModelSetError(f"no verdict: {where}: {first['msg']}", file, remedy) from error
    if found.challenger != set_id:
        raise ModelSetError(f"this is the verdict on {found.challenger}", file, remedy)
    return found


def gate_sha256(file: Path = GATE_FILE) -> str:
    """SHA-256 of the thresholds as they are now."""
    return hashlib.sha256(file.read_bytes()).hexdigest()
