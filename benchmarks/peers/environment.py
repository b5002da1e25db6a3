"""The peers' own virtual environment: their pins exclude ours (numpy, pandas), and nothing here may depend on them.

``python -m benchmarks.peers.environment`` makes it in var/peers, as `make peers` does.
"""

from __future__ import annotations

import hashlib
import json
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import click

ROOT = Path(__file__).resolve().parents[2]
REQUIREMENTS = Path(__file__).with_name("requirements.txt")
HOME = ROOT / "var" / "peers"


@dataclass(frozen=True)
class Environment:
    """The environment in the folder `home`; `refused` says why a package could not be installed, by its name."""

    home: Path
    refused: dict[str, str]

    @property
    def python(self) -> Path:
        """Its interpreter."""
        return self.home / "bin" / "python"

    @property
    def usable(self) -> bool:
        """Whether it is there."""
        return self.python.exists()


def found(home: Path) -> Environment:
    """What is there, as it is."""
    try:
        return Environment(home, json.loads(_record(home).read_text())["refused"])
    except FileNotFoundError:
        return Environment(home, {})


def made(home: Path) -> Environment:
    """Make the environment, or bring it to the requirements; one that is up to date is left alone.

    Where all of them together do not install, each is tried by itself, and what fails is remembered with pip's reason.
    """
    wanted = hashlib.sha256(REQUIREMENTS.read_bytes()).hexdigest()
    if _up_to_date(home, wanted):
        return found(home)
    click.echo(f"installing the peers into {home} (once; a few minutes)", err=True)
    environment = Environment(home, {})
    why = _told([sys.executable, "-m", "venv", str(home)])
    if why:
        return Environment(home, {_name(line): why for line in _lines()})
    if _install(environment, ["--requirement", str(REQUIREMENTS)]):
        for line in _lines():
            why = _install(environment, ["--constraint", str(REQUIREMENTS), line])
            if why:
                environment.refused[_name(line)] = why
                click.echo(f"{line} cannot be installed: {why}", err=True)
    _record(home).write_text(json.dumps({"requirements": wanted, "refused": environment.refused}, indent=1))
    return environment


def _up_to_date(home: Path, wanted: str) -> bool:
    """What was refused is tried again: the network may have been the reason."""
    if not _record(home).exists() or not Environment(home, {}).usable:
        return False
    record = json.loads(_record(home).read_text())
    return record["requirements"] == wanted and not record["refused"]


def _record(home: Path) -> Path:
    return home / "installed.json"


def _lines() -> list[str]:
    lines = (line.partition("#")[0].strip() for line in REQUIREMENTS.read_text().splitlines())
    return [line for line in lines if line]


def _name(requirement: str) -> str:
    return requirement.partition("==")[0]


def _install(environment: Environment, what: list[str]) -> str:
    options = ["--disable-pip-version-check", "--quiet", "--no-input"]
    return _told([str(environment.python), "-m", "pip", "install", *options, *what])


def _told(command: list[str]) -> str:
    """Run it: its last complaint if it failed, else nothing."""
    run = subprocess.run(command, capture_output=True, text=True)
    if run.returncode == 0:
        return ""
    errors = [line for line in run.stderr.splitlines() if line.startswith("ERROR")] or run.stderr.splitlines()
    return errors[-1] if errors else f"{' '.join(command)} ended with {run.returncode}"


if __name__ == "__main__":
    complaints = made(HOME).refused
    sys.exit(1 if complaints else 0)
