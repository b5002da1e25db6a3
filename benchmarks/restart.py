"""From the restart of a killed daemon to trading again: real process, imports included, real exchange on loopback.

Each time it is killed while it holds a position, in half of them with the stop cancelled meanwhile, so that it comes
back to a naked one. `--json` for one object; `--times N` for more restarts.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from statistics import median
from typing import Any

import click

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from daemon import control
from tests.crash.campaign import Season, store
from tests.crash.invariants import unprotected
from tests.crash.truth import settled
from tests.local_exchange import PATIENCE, ROOT


class Restarts:
    """A daemon that is killed and started again, process by process."""

    def __init__(self, season: Season) -> None:
        self.season, self.daemon = season, None  # type: subprocess.Popen[bytes] | None
        self.protected: list[float] = []
        self.trading: list[float] = []

    def start(self) -> float:
        """Start it anew; the instant."""
        began = time.monotonic()
        log = (self.season.folder / "restarts.log").open("ab")
        command = [sys.executable, "-m", "daemon", "run", "--config", str(self.season.config), "--json"]
        environment = os.environ | {"OMP_WAIT_POLICY": "passive", "ORT_DISABLE_TELEMETRY": "1"}
        with log:
            self.daemon = subprocess.Popen(command, cwd=ROOT, stdout=log, stderr=log, env=environment)
        return began

    def kill(self) -> None:
        assert self.daemon is not None
        self.daemon.send_signal(signal.SIGKILL)
        self.daemon.wait()

    def until_trading(self, began: float) -> tuple[float | None, float]:
        """Seconds until every position was protected (None if it always was), and until it traded."""
        place, naked, protected = self.season.place, bool(unprotected(self.season.place.state())), None
        while time.monotonic() < began + 60 * PATIENCE:
            if naked and protected is None and not unprotected(place.state()):
                protected = time.monotonic() - began
            safe = protected is not None or not naked
            if safe and place.state()["listening"] and self._status().get("phase") == "trading":
                return protected, time.monotonic() - began
            time.sleep(0.005)
        raise click.ClickException(f"it did not trade again; see {self.season.folder / 'restarts.log'}")

    def bar(self) -> None:
        """Play one bar and wait until it is settled."""
        opened = int(self.season.place.state()["market_time"])
        self.season.place.advance()
        deadline = time.monotonic() + 60 * PATIENCE
        while settled(self.season.state) < opened:
            if time.monotonic() > deadline:
                raise click.ClickException(f"a bar did not settle; see {self.season.folder / 'restarts.log'}")
            time.sleep(0.005)

    def _status(self) -> dict[str, Any]:
        try:
            return control.request(self.season.state, "status")
        except (control.NotRunning, control.NoAnswer):
            return {}


@click.command()
@click.option("--times", default=20, show_default=True, help="Restarts.")
@click.option("--json", "as_json", is_flag=True, help="One JSON object.")
def main(times: int, as_json: bool) -> None:
    """Measure the seconds from restart to protected and to trading again."""
    with tempfile.TemporaryDirectory() as scratch:
        work = Path(scratch)
        season = Season(work / "season", store(work / "models"), ("BTCUSDT",), seed=1)
        restarts = Restarts(season)
        try:
            restarts.until_trading(restarts.start())
            for number in range(times):
                while number == 0 or not season.place.state()["positions"]:
                    restarts.bar()
                    if season.place.state()["positions"]:
                        break
                restarts.kill()
                if number % 2:
                    season.account.cancel_stop_by_hand(season.place.state()["stops"][0]["client_id"])
                protected, trading = restarts.until_trading(restarts.start())
                restarts.trading.append(trading)
                if protected is not None:
                    restarts.protected.append(protected)
                restarts.bar()
        finally:
            if restarts.daemon is not None and restarts.daemon.poll() is None:
                restarts.kill()
            season.close()
    figures = {
        "restart_to_trading_s": _spread(restarts.trading),
        "restart_to_protected_s": _spread(restarts.protected),
        "restarts": times,
    }
    if as_json:
        click.echo(json.dumps(figures))
        return
    for name, value in figures.items():
        click.echo(f"{name:28} {value}")


def _spread(seconds: list[float]) -> dict[str, float | int] | None:
    """Median and worst of the samples."""
    if not seconds:
        return None
    return {"median": round(median(seconds), 3), "worst": round(max(seconds), 3), "samples": len(seconds)}


if __name__ == "__main__":
    main()
