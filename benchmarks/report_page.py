"""The report page of five years of hours beside a champion: its size, the time to make it, the time to open it."""

from __future__ import annotations

import statistics
import sys
import tempfile
import time
from pathlib import Path

import psutil

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from backtest import page
from tests.backtest.five_years import frame, played, with_champion
from tests.browser import chromium

OPENED = 9


def browser_seconds() -> float:
    """Processor time of this process's descendants, the browser's."""
    return sum(sum(p.cpu_times()[:2]) for p in psutil.Process().children(recursive=True))


def main() -> None:
    """Print each figure on a line."""
    inputs = with_champion(played(frame("BTCUSDT", seed=7)), seed=8)
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "judged.html"
        began = time.process_time()
        page.write(file, inputs)
        took = time.process_time() - began
        print(
            f"page of {inputs.result.bars:,} bars: {file.stat().st_size / 1e6:.2f} MB, made in {took:.2f} CPU seconds"
        )
        with chromium() as browser:
            seconds, busy = [], []
            for _ in range(OPENED):
                before = browser_seconds()
                opened = browser.new_page(viewport={"width": 1280, "height": 860})
                began = time.perf_counter()
                opened.goto(file.as_uri())
                opened.wait_for_selector("body[data-ready]", state="attached")
                seconds.append(time.perf_counter() - began)
                busy.append(browser_seconds() - before)
                opened.close()
    print(
        f"opened and drawn in Chromium: median {statistics.median(seconds):.2f} s, worst {max(seconds):.2f} s, "
        f"{statistics.median(busy):.2f} CPU seconds in all its processes"
    )


if __name__ == "__main__":
    main()
