"""The sets that lie ready before the proof begins: the first champion, one that will decay, and a bad one.

All are made by `python -m training run` on what was known before the market is served. The bad one is the decaying
one with bent calibrators: whole by every hash and golden answer, and wrong in all it says.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

from models.modelset import CHAMPION, ModelSet, pointed
from tests.gate.worlds import bent, derived
from tests.lifecycle import recipes
from tests.lifecycle.market import Served
from tests.local_exchange import ROOT

QUIET = {"OMP_WAIT_POLICY": "passive", "ORT_DISABLE_TELEMETRY": "1"}
REASON = "the proof's first champion: there has to be one to be better than"


class NotMade(Exception):
    """A command of the preparation failed; the message holds its last words."""


@dataclass(frozen=True)
class Planted:
    """Ids of the sets in the store at `root`; those that were not asked for are None."""

    root: Path
    first: str
    decaying: str | None = None
    bad: str | None = None


def plant(served: Served, root: Path, specs: Path, whole: bool = True) -> Planted:
    """Train the sets and promote the first champion; `whole` False leaves out those that come to grief.

    Raises
    ------
    NotMade
        If training or promotion fails.
    """
    recipe = {"first": recipes.BLIND} | ({"trusting": recipes.TRUSTING} if whole else {})
    running = {name: _training(served, root, recipes.write(specs, name, reads)) for name, reads in recipe.items()}
    made = {name: _made(name, child) for name, child in running.items()}
    first = made["first"]
    _run("models", "promote", first, "--force", "--reason", REASON, "--root", str(root))
    assert pointed(CHAMPION, root / "sets") == first
    if not whole:
        return Planted(root, first)
    origin = ModelSet.load(root / "sets" / made["trusting"])
    bad = derived(origin, bent(origin.manifest), root / "sets")
    return Planted(root, first, origin.id, bad.id)


def _training(served: Served, root: Path, spec: Path) -> subprocess.Popen[str]:
    command = ["training", "run", "--spec", str(spec), "--data", str(served.known), "--out", str(root / "sets")]
    command += ["--funding", str(served.known_funding), "--threads", "1", "--quiet", "--json"]
    return subprocess.Popen(
        [sys.executable, "-m", *command],
        cwd=ROOT, env=os.environ | QUIET, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip


def _made(name: str, child: subprocess.Popen[str]) -> str:
    said, complaint = child.communicate()
    if child.returncode:
        raise NotMade(f"training {name} ended with {child.returncode}: {complaint[-600:]}")
    return str(json.loads(said)["model_set"])


def _run(*command: str) -> None:
    done = subprocess.run(
        [sys.executable, "-m", *command], cwd=ROOT, env=os.environ | QUIET, capture_output=True, text=True, check=False
    )
    if done.returncode:
        raise NotMade(f"python -m {' '.join(command)} ended with {done.returncode}: {done.stderr[-600:]}")
