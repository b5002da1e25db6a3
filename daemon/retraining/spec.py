"""The training spec: whether it can be trained, and whether a set made by it could serve this daemon.

Training is not imported here: `python -m training check` reads the spec as a run would, in a second and without torch.
"""

from __future__ import annotations

import stat
import subprocess
import sys
from pathlib import Path

from pydantic import ValidationError

from daemon.config import DaemonConfig
from daemon.swapping.fitness import same_venue
from market.timeframes import Timeframe
from models.jobs.environment import listed
from models.jobs.running import CHECKOUT
from models.parts import Part

WRONG = 4
"""Exit code of the check for a spec that cannot be trained."""
PATIENCE_S = 60.0


class SpecError(Exception):
    """The spec cannot be trained; `lines` says why, one line a mistake, with the file's own name."""

    def __init__(self, lines: list[str]) -> None:
        super().__init__("\n".join(lines))
        self.lines = lines


class NotChecked(Exception):
    """Nobody knows: the check itself could not be made."""


class Spec(Part):
    """What a spec asks for, as far as it concerns who trades by it.

    Attributes
    ----------
    finer : str or None
        The shorter candles that a member reads beside those of `timeframe`.
    cost : float
        Return a trade must exceed to count as profitable.
    """

    name: str
    members: tuple[str, ...]
    venue: str
    timeframe: str
    finer: str | None
    cost: float


def read(file: Path) -> Spec:
    """What the spec in a file asks for. Blocks for a second.

    Raises
    ------
    SpecError
        If it is not there, or cannot be trained.
    NotChecked
        If the check could not be made.
    """
    try:
        there = stat.S_ISREG(file.stat().st_mode)
    except FileNotFoundError:
        there = False
    except OSError as error:
        raise SpecError([f"{file}: {error.strerror}, for the daemon's user; see retraining.spec"]) from error
    if not there:
        raise SpecError([f"{file}: no such file; see retraining.spec"])
    line = [sys.executable, "-m", "training", "check", "--json", "--spec", str(file)]
    try:
        done = subprocess.run(
            line, cwd=CHECKOUT, env=listed() | {"OMP_NUM_THREADS": "1"}, stdin=subprocess.DEVNULL,
            capture_output=True, text=True, timeout=PATIENCE_S,
        )  # fmt: skip
        if done.returncode == 0:
            return Spec.model_validate_json(done.stdout)
    except (OSError, subprocess.TimeoutExpired, ValidationError) as error:
        raise NotChecked(f"{file} could not be checked: {error}") from error
    words = [text.removeprefix("training: ") for text in done.stderr.splitlines() if text.strip()]
    if done.returncode == WRONG:
        raise SpecError(words)
    raise NotChecked(f"{file} could not be checked: {words[-1] if words else f'exit code {done.returncode}'}")


def misfits(spec: Spec, config: DaemonConfig) -> list[str]:
    """Why sets that this spec makes would never come into service here, though it can be trained."""
    assert config.retraining is not None
    found = []
    if Timeframe.parse(spec.timeframe) != config.decision:
        found.append(f"data.timeframe is {spec.timeframe}, and decisions are made at {config.decision}")
    brought = [Timeframe.parse(text).ms for text in config.retraining.history.timeframes]
    if spec.finer is not None and min(brought) > Timeframe.parse(spec.finer).ms:
        found.append(f"lstm15m reads {spec.finer} candles: add {spec.finer} to retraining.history.timeframes")
    if not same_venue(spec.venue, config):
        found.append(f"data.venue is {spec.venue}, and this daemon trades at {config.exchange.id}")
    if spec.cost < (both_ways := 2 * config.swapping.taker_fee):
        found.append(f"labels.cost is {spec.cost:g}, and fees alone are {both_ways:g} (twice swapping.taker_fee)")
    return found
