"""What a person sees: the live picture of a real daemon, the lines off a terminal, and the summary's arithmetic."""

from __future__ import annotations

import asyncio
import io
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import pytest
from rich.console import Console
from rich.errors import MarkupError
from rich.panel import Panel

from daemon.alerts import Alerts
from daemon.app import Daemon
from daemon.config import load_config
from daemon.journal import Journal
from daemon.summary import Stopwatch, percentile_ms
from daemon.view import Lines, LiveView, sparkline
from models.inference import Predictor
from models.modelset import resolve
from strategy.live_config import load_rules
from tests.daemon.conftest import until
from tests.local_exchange import LocalExchange


async def test_the_picture_shows_price_outlook_position_stop_and_the_last_decision(
    exchange: Callable[..., LocalExchange], configure: Callable[..., Path]
) -> None:
    place = exchange(warmup=150, bars=100)
    config = load_config(configure(place.url))
    predictor = Predictor.load(resolve(config.model_set, config.model_sets))
    journal = Journal(config.state_dir)
    daemon = Daemon(config, load_rules(config.rules), predictor, journal, Alerts([], "info"), candles=6)
    screen, paper = io.StringIO(), io.StringIO()
    view = LiveView(daemon, Console(file=screen, force_terminal=True, width=140, height=50))
    lines = Lines(daemon, Console(file=paper, width=10_000))
    daemon.watchers += [view, lines]
    drawing = asyncio.create_task(view.run())
    running = asyncio.create_task(daemon.run())
    await until(lambda: place.state()["listening"], "the daemon listening")
    for number in range(1, 7):
        await place.turn(1)
        await until(lambda number=number: daemon.settled == number, f"{number} candles")
    plain = Console(file=io.StringIO(), width=140, height=50)
    plain.print(view.picture())
    picture = plain.file.getvalue()
    summary = await running
    drawing.cancel()
    await asyncio.gather(drawing, return_exceptions=True)
    assert summary["candles"] == 6
    told = f"Regimen|sandbox|rules TEST|{predictor.id}|equity|BTCUSDT|price|regime|position|stop|read back|decision"
    for word in (*told.split("|"), "long ", "short ", "5h ━", "12h ━", "signal", "(held for the longest time)"):
        assert word in picture, f"{word} is not in\n{picture}"
    assert "\x1b[" in screen.getvalue()
    lines.close()
    decided = [line for line in paper.getvalue().splitlines() if " · equity " in line]
    assert len(decided) == summary["decisions"]


class Failing(LiveView):
    """A view that fails to make its first pictures, and whose terminal then fails to take some."""

    made = 0

    def picture(self) -> Panel:
        self.made += 1
        if self.made <= 2:
            raise ZeroDivisionError("no such picture")
        return Panel("[/nothing]" if self.made <= 4 else f"picture {self.made}")


async def test_a_picture_that_fails_is_told_once_and_the_next_one_is_drawn(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    screen = io.StringIO()
    daemon = SimpleNamespace(config=SimpleNamespace(store=tmp_path / "sets"))
    view = Failing(daemon, Console(file=screen, force_terminal=True, width=120, height=20))  # type: ignore[arg-type]
    drawing = asyncio.create_task(view.run())
    await until(lambda: "picture 5" in screen.getvalue() or drawing.done(), "a picture after those that failed")
    assert not drawing.done()
    drawing.cancel()
    await asyncio.gather(drawing, return_exceptions=True)
    assert "the picture could not be drawn (the log says where): ZeroDivisionError" in screen.getvalue()
    told = [record.exc_info[0] for record in caplog.records if record.name == "daemon.view" and record.exc_info]
    assert told == [ZeroDivisionError, MarkupError], "each kind of failure once"


def test_a_sparkline_rises_and_falls_with_the_values() -> None:
    assert sparkline([1.0, 2.0, 3.0, 2.0, 1.0]) == "▁▅█▅▁"
    assert sparkline([5.0, 5.0]) == "▁▁"
    assert sparkline([5.0]) == ""


def test_percentiles_are_samples_and_none_without_any() -> None:
    assert percentile_ms([], 0.5) is None
    assert percentile_ms([n * 1_000_000 for n in range(100, 0, -1)], 0.99) == 100.0
    assert percentile_ms([3_000_000], 0.99) == 3.0


def test_a_candles_latency_is_to_its_first_order_and_from_its_last_frame() -> None:
    watch = Stopwatch()
    watch.frame(1_000, 10)
    watch.frame(1_000, 20)
    watch.ordered(1_000, 50)
    watch.ordered(1_000, 90)
    watch.ordered(2_000, 99)
    assert watch.orders_ns == [30]
