"""The section `backup` of a daemon's configuration: backups that the running daemon takes of its own state."""

from __future__ import annotations

from pathlib import Path

from pydantic import Field

from daemon.section import Section


class Backup(Section):
    """Backups that the running daemon takes; without the section, none but those asked for."""

    every_hours: float = Field(24.0, gt=0, le=8_760, description="Time between two, hours.")
    keep: int = Field(14, ge=1, le=10_000, description="The newest so many of this deployment stay in the folder.")
    folder: Path | None = Field(
        None,
        description="Where to, better on another disk; relative to this file. Empty: backups in the state directory.",
    )
    candles: bool = Field(False, description="Whether the recorded candles go along; they can be downloaded again.")

    def located(self, folder: Path) -> Backup:
        """The section with its relative path taken from `folder`."""
        return self.model_copy(update={"folder": self.folder and (folder / self.folder.expanduser()).resolve()})
