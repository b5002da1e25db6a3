"""The backend that the configuration chooses; what the others need is not imported."""

from __future__ import annotations

from pathlib import Path

from configs import ConfigError
from daemon.retraining.backend import Backend
from daemon.retraining.config import Retraining
from daemon.retraining.job_folders import jobs_folder


def backend(config: Retraining, state_dir: Path) -> Backend:
    """The place that `retraining.backend` names.

    Parameters
    ----------
    config : Retraining
        With the section of that place, if it needs one.
    state_dir : Path
        The daemon's; jobs lie in ``<state_dir>/jobs/training``.

    Raises
    ------
    ConfigError
        If the place's section is missing, or a secret is nowhere.
    """
    if config.backend == "local":
        from daemon.retraining.local import LocalJobs

        return LocalJobs(config.local, jobs_folder(state_dir))
    if config.backend == "ssh":
        if config.ssh is None:
            raise ConfigError(["retraining.ssh is missing; say which machine to reach, or set backend: local"])
        from daemon.retraining.ssh import SshJobs

        return SshJobs(config.ssh)
    if config.ray is None:
        raise ConfigError(["retraining.ray is missing; say which cluster to reach, or set backend: local"])
    from daemon.retraining.ray import RayJobs

    return RayJobs(config.ray)
