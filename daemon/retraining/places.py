"""Places where jobs run: the sections `retraining.local`, `.ssh` and `.ray`."""

from __future__ import annotations

import ipaddress
import os
from pathlib import Path
from typing import Annotated, Literal
from urllib.parse import urlsplit

from pydantic import Field, field_validator

from daemon.section import Seconds, Section

PathThere = Annotated[str, Field(pattern=r"^[^\x00-\x1f]+$")]
"""A path on another machine; what does not begin with / is taken from where the text says."""
AbsoluteThere = Annotated[str, Field(pattern=r"^/[^\x00-\x1f]*$")]


class Local(Section):
    """This machine; the job is never a child of the daemon."""

    supervise: Literal["process", "systemd", "unit"] = Field(
        "process",
        description="process: of its own session, for a daemon without systemd. systemd: a transient unit of the "
        "user's systemd. unit: regimen-retrain.path starts a service for it, which a daemon under systemd needs.",
    )


class Ssh(Section):
    """A machine with this program in it, reached over ssh, such as a GPU box."""

    host: str = Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_.:-]*$", description="Its name or address.")
    port: int = Field(22, ge=1, le=65_535)
    user: str = Field(pattern=r"^[a-z_][a-z0-9_.-]*\$?$", description="User there; it should own nothing else.")
    known_hosts: Path = Field(
        description="File with the host's key, as ssh-keyscan writes it and you checked it; relative to this file. "
        "A host whose key is not in it is not spoken to."
    )
    key: Path | None = Field(
        None, description="File of the private key, readable by the daemon alone; relative to this file."
    )
    key_name: str = Field(
        "REGIMEN_SSH_KEY",
        description="Without `key`: environment variable, or systemd credential, that holds the private key.",
    )
    checkout: PathThere = Field(
        "regimen", description="Folder of this program there; from the user's home unless it begins with /."
    )
    python: PathThere = Field(".venv/bin/python", description="Its python there; from the checkout.")
    jobs: PathThere = Field("var/jobs", description="Folder of jobs there; from the checkout.")
    supervise: Literal["systemd", "process"] = Field(
        "systemd",
        description="systemd: the user's systemd there supervises jobs (needs `loginctl enable-linger`). process: a "
        "process of its own session.",
    )
    keep_jobs: int = Field(5, ge=1, le=1_000, description="Finished jobs that stay there.")
    connect_s: Seconds = Field(20, description="Connecting and logging in, at most.")
    answer_s: Seconds = Field(60, description="An answer of the machine, at most.")
    keepalive_s: Seconds = Field(
        5, description="After so long without a word it is asked; three silences end the line."
    )
    poll_s: Seconds = Field(0.5, description="Between two looks at a job's log.")

    def located(self, folder: Path) -> Ssh:
        """The section with its relative paths of this machine taken from `folder`."""
        key = None if self.key is None else (folder / self.key.expanduser()).resolve()
        return self.model_copy(update={"known_hosts": (folder / self.known_hosts.expanduser()).resolve(), "key": key})


class Artifacts(Section):
    """A folder that this machine and the cluster's both see, such as an NFS mount; here it is only read."""

    here: Path = Field(description="Its path on this machine; relative to this file.")
    there: AbsoluteThere = Field(description="Its path on the cluster's machines.")
    late_s: Seconds = Field(60, description="How much later than there a file may be seen here.")


class Ray(Section):
    """A Ray cluster, whose jobs are asked for over HTTP."""

    address: str = Field(pattern=r"^https?://[^/\s@]+/?$", description="Its dashboard, e.g. http://127.0.0.1:8265.")
    token_name: str = Field(
        "REGIMEN_RAY_TOKEN", description="Environment variable, or systemd credential, that holds the cluster's token."
    )
    authority: Path | None = Field(
        None, description="Certificate (PEM) of the authority behind https, if not a public one; relative to this file."
    )
    python: AbsoluteThere = Field(description="The python there that this program runs with.")
    checkout: AbsoluteThere = Field(description="Folder of this program there.")
    artifacts: Artifacts = Field(description="Where results come from: Ray itself brings no files back.")
    keep_jobs: int = Field(5, ge=1, le=1_000, description="Finished jobs that stay in the folder of artefacts.")
    answer_s: Seconds = Field(30, description="An answer of the dashboard, at most.")
    poll_s: Seconds = Field(2, description="Between two looks at a job's log, which Ray gives whole each time.")

    @field_validator("address")
    @classmethod
    def _private(cls, value: str) -> str:
        parts = urlsplit(value)
        try:
            public = parts.scheme == "http" and ipaddress.ip_address(parts.hostname or "").is_global
        except ValueError:
            public = False  # a name, which may be private
        if public:
            raise ValueError(
                f"{value} would carry the token in the clear through a public network; use https, or a tunnel by ssh"
            )
        return value

    def located(self, folder: Path) -> Ray:
        """The section with its relative paths of this machine taken from `folder`."""
        artifacts = self.artifacts.model_copy(
            update={"here": Path(os.path.normpath(folder / self.artifacts.here.expanduser()))}
        )
        authority = None if self.authority is None else (folder / self.authority.expanduser()).resolve()
        return self.model_copy(update={"artifacts": artifacts, "authority": authority})
