"""Ablation: what each loss, augmentation and option is worth, as an ablation run wrote it down."""

from __future__ import annotations

from pathlib import Path

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from models.metrics import Interval
from models.parts import Finite

COMMAND = "python -m training ablate"


class AblationError(Exception):
    """A file that is no ablation; the message says what is wrong with it, and what to do."""


class Part(BaseModel):
    """Read-only; keys of later versions are let through."""

    model_config = ConfigDict(frozen=True)


class Estimate(Part):
    """A value with its interval."""

    value: Finite
    low: Finite | None = None
    high: Finite | None = None

    @property
    def interval(self) -> Interval:
        """As the metrics have it; a bound that is not known is NaN."""
        low, high = (float("nan") if bound is None else bound for bound in (self.low, self.high))
        return Interval(self.value, low, high)


class Row(Part):
    """One variant; the first row, or one without a difference, is what the others differ from."""

    name: str
    what: str = Field(description="What was changed, in words.")
    auc: Estimate
    difference: Estimate | None = Field(None, description="AUC less the unchanged one's, paired.")
    log_loss: Finite | None = None
    seconds: Finite | None = None


class Ablation(Part):
    """Variants of one model on one question, of one spec."""

    spec: str
    model: str
    question: str
    rows: tuple[Row, ...] = Field(min_length=1)
    where: str = Field("out of fold", description="On which rows it was measured.")


PLAIN = "plain"
EXPECTED = {
    "focal": "focal loss (α .25, γ 2)",
    "auc": "AUC-margin loss with its PESG-type optimiser",
    "divers": "head-diversity penalty",
    "augment": "augmentation",
    "funding": "funding features",
    "companion": "features of the companion symbol",
    PLAIN: "LightGBM plain against regularised",
}
"""What the task list asks to be told apart: a word that names it in a row's name, and what to call it."""


def read(file: Path) -> Ablation:
    """The ablation in a file.

    Raises
    ------
    AblationError
        If there is no such file, or it holds no ablation.
    """
    try:
        return Ablation.model_validate_json(file.read_bytes())
    except OSError as error:
        raise AblationError(
            f"{file}: {error.strerror or error}; `{COMMAND}` writes it, or leave --ablation out"
        ) from error
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"]) or "the file"
        raise AblationError(f"{file}: {where}: {first['msg']}; write it again by `{COMMAND}`") from error


def not_run(ablations: tuple[Ablation, ...], plain_lightgbm: bool = False) -> list[str]:
    """What the task list asks for and no row tells; a set may itself tell of plain LightGBM."""
    told = [row.name.lower() for ablation in ablations for row in ablation.rows]
    return [
        what
        for word, what in EXPECTED.items()
        if not any(word in name for name in told) and not (word == PLAIN and plain_lightgbm)
    ]
