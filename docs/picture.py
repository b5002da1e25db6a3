"""Draws `docs/terminal.svg`: the live view after a stretch of a rehearsal, as the README shows it. `make picture`."""

from __future__ import annotations

import asyncio
import io
import tempfile
from pathlib import Path

from rich.console import Console

from daemon.alerts import Alerts
from daemon.app import Daemon
from daemon.config import load_config
from daemon.inference import MARGIN_CANDLES
from daemon.journal import Journal
from daemon.rehearsal import exchange_options, local_exchange
from daemon.view import LiveView
from models.inference import Predictor
from models.modelset import resolve
from strategy.live_config import load_rules

ROOT = Path(__file__).resolve().parent.parent
CANDLES = 144
WIDTH = 132


async def draw(folder: Path) -> str:
    """The SVG of the view once `CANDLES` candles are decided."""
    config = load_config(ROOT / "configs" / "sandbox.yaml")
    predictor = Predictor.load(resolve("starter", config.model_sets))
    options = exchange_options([], list(config.symbols), [], config.decision, predictor.lookback + MARGIN_CANDLES + 1)
    async with local_exchange([*options, "--speed", "14400", "--seed", "1"], folder / "exchange.log") as url:
        told = {"exchange": config.exchange.model_copy(update={"url": url}), "state_dir": folder}
        config = config.model_copy(update=told)
        journal = Journal(folder)
        daemon = Daemon(config, load_rules(config.rules), predictor, journal, Alerts([], "critical"), CANDLES)
        console = Console(record=True, width=WIDTH, file=io.StringIO(), force_terminal=True)
        view = LiveView(daemon, console)
        daemon.watchers.append(view)
        await daemon.run()
        console.print(view.picture())
        return console.export_svg(title="make run")


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as scratch:
        (ROOT / "docs" / "terminal.svg").write_text(asyncio.run(draw(Path(scratch))))
