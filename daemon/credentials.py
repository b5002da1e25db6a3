"""Secrets: a systemd credential of a name, or an environment variable of that name; never from a configuration file."""

from __future__ import annotations

import os
from pathlib import Path

from configs import ConfigError


def secret(name: str) -> str:
    """What the systemd credential or the environment variable `name` holds, without white space around it.

    Raises
    ------
    ConfigError
        If neither is there.
    """
    folder = os.environ.get("CREDENTIALS_DIRECTORY")
    if folder and (Path(folder) / name).is_file():
        return (Path(folder) / name).read_text().strip()
    if value := os.environ.get(name, "").strip():
        return value
    raise ConfigError([f"{name} is not set; export it, or hand it over as a systemd credential of that name"])
