"""A job's request and result: the contract between who asks for work and who does it."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from models.parts import FileName, Part, Sha256, UtcText
from models.trials import Trial

REQUEST, RESULT, LOG, INPUTS, SETS = "request.json", "result.json", "log", "inputs", "sets"
RunId = Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9-]{0,62}$")]
"""A name for folders, systemd units and Ray submissions alike."""


class Training(Part):
    """Train a set; every file is one of the inputs."""

    kind: Literal["training"] = "training"
    spec: FileName
    data: tuple[FileName, ...] = Field(min_length=1, max_length=2, description="Decision klines, then finer ones.")
    funding: FileName | None = None
    companion: FileName | None = None
    executor: Literal["serial", "process", "ray"] = "process"
    workers: int | None = Field(None, ge=1)
    device: Literal["auto", "cpu", "cuda"] = "auto"
    parent: str | None = Field(None, description="Id of the set it is made to replace.")
    trials: FileName | None = Field(None, description="The store's ledger of trials, which the training counts on.")


class Judging(Part):
    """Have the gate judge a set of the store at `root` against the champion (null: against being flat)."""

    kind: Literal["judging"] = "judging"
    challenger: str
    champion: str | None
    root: str = Field(description="Folder that holds the stores; the verdict is kept in it.")
    data: tuple[FileName, ...] = Field(min_length=1, max_length=2)
    funding: FileName | None = None
    companion: FileName | None = None
    rules: str = Field(description="Path of the trading rules.")
    gate: str | None = Field(None, description="Path of the thresholds; null: the committed ones.")


class Request(Part):
    """What shall be done."""

    format: Literal[1] = 1
    id: RunId
    made: UtcText
    who: str
    work: Annotated[Training | Judging, Field(discriminator="kind")]
    inputs: dict[FileName, Sha256]
    timeout_s: int = Field(ge=1, description="After so long the job is ended, and has failed.")


class Result(Part):
    """How a job ended. `files` are the made set's, each with its hash, so that a copy can be verified.

    `canceled` it is by who asked for it; `interrupted` by whatever else ended its process, such as a machine that shut
    down: nothing is wrong with it, and it may be asked for again.
    """

    format: Literal[1] = 1
    id: RunId
    outcome: Literal["done", "failed", "timeout", "canceled", "interrupted"]
    code: int | None = Field(None, description="Exit code of the work, if it ended by itself.")
    started: UtcText
    ended: UtcText
    set_id: str | None = None
    files: dict[FileName, Sha256] = Field(default_factory=dict)
    trials: tuple[Trial, ...] = Field((), description="What the store's ledger gains by it.")
    text: str = Field("", description="Why it failed: its last words.")
