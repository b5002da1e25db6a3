"""Naming: which set `model_set` stands for when a daemon starts, and what a swap means where it pins one.

The daemon follows `champion`. Where the configuration pins an id, `latest` or `starter`, a swap holds for the life that
made it, and the next start loads what is pinned; whoever swaps is told so.
"""

from __future__ import annotations

from pathlib import Path

from daemon.config import DaemonConfig, Mode
from models.modelset import CHAMPION, STARTER, ModelSetError, pointed, resolve


def named(config: DaemonConfig) -> Path:
    """The folder of the set that a daemon of this configuration starts with.

    In the sandbox the starter set stands in where nothing was promoted yet; elsewhere nobody does.

    Raises
    ------
    ModelSetError
        If there is none.
    """
    vacant = config.model_set == CHAMPION and pointed(CHAMPION, config.store) is None
    return resolve(STARTER if vacant and config.mode is Mode.SANDBOX else config.model_set, config.model_sets)


def follows(config: DaemonConfig) -> bool:
    """Whether a restart loads what was swapped in."""
    return config.model_set == CHAMPION


def after_a_restart(config: DaemonConfig) -> str:
    """What the next start will load, in words."""
    if follows(config):
        return "the next start loads it too: model_set is champion"
    try:
        loads = named(config).name
    except ModelSetError as error:
        loads = f"nothing ({error.what})"
    return f"the next start loads {loads}: {config.file} says model_set: {config.model_set}; write champion to follow"
