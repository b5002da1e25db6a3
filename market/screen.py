"""The screen: standard output for tables, as wide as the terminal is, and wide enough where there is none."""

from __future__ import annotations

from rich.console import Console

PIPED = 140
"""Columns where nobody's terminal sets a limit: in a pipe or a file a table is not cut."""


def screen() -> Console:
    """A console on standard output."""
    console = Console()
    return console if console.is_terminal else Console(width=PIPED)
