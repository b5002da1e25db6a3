"""A Ray cluster that is gone: what its job wrote of its end holds, though no head answers any more."""

from __future__ import annotations

from pathlib import Path

import pytest

from daemon.retraining.backend import BackendError, JobStatus, Phase
from daemon.retraining.places import Artifacts, Ray
from daemon.retraining.ray import RayJobs
from models.jobs.request import RESULT, Result
from tests.ray_cluster import free_ports

RUN = "20261124t160000-0009"
WHEN = "2026-11-24T15:00:00Z"


@pytest.mark.parametrize("outcome", ["interrupted", "done"])
async def test_the_end_that_a_job_wrote_holds_though_the_cluster_shut_down_with_it(
    outcome: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("REGIMEN_RAY_TOKEN", "0" * 64)
    config = Ray(
        address=f"http://127.0.0.1:{free_ports(1)[0]}", python="/usr/bin/python3", checkout="/opt/regimen",
        token_name="REGIMEN_RAY_TOKEN", artifacts=Artifacts(here=tmp_path, there="/there"),
    )  # fmt: skip
    ray = RayJobs(config)
    try:
        with pytest.raises(BackendError, match="no Ray dashboard answers"):
            await ray.status(RUN)  # nothing of it is here, so nothing is known of it
        text = "SIGTERM ended it" if outcome == "interrupted" else ""
        result = Result.model_validate({"id": RUN, "outcome": outcome, "started": WHEN, "ended": WHEN, "text": text})
        (tmp_path / RUN).mkdir()
        (tmp_path / RUN / RESULT).write_text(result.model_dump_json())
        phase = Phase.DONE if outcome == "done" else Phase.FAILED
        assert await ray.status(RUN) == JobStatus(phase, text, lasting=False), "another run takes its place"
    finally:
        await ray.close()
