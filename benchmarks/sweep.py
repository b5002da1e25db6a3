"""1,000 variants of the rules on five years of hourly bars: variants a second, and the whole command's wall time.

The command is run twice as a user would run it, on the synthetic market and the starter set: the first run predicts and
compiles what is not in the cache yet, the second is what a user waits for from then on.
"""

from __future__ import annotations

import argparse
import json
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from market import history, synthetic
from market.timeframes import Timeframe

ROOT = Path(__file__).resolve().parent.parent
GRID = ROOT / "configs" / "sweep.yaml"
YEARS = 5
BARS = YEARS * 365 * 24 + 200
"""And a little for the set's lookback."""


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--json", action="store_true", help="One JSON object on standard output.")
    arguments.add_argument("--executor", default="threads")
    asked = arguments.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        klines, funding = Path(folder) / "BTCUSDT-1h.parquet", Path(folder) / "funding.parquet"
        made = synthetic.generate("BTCUSDT", bars=BARS, timeframe=Timeframe.parse("1h"), seed=11)
        for series, file in zip(made, (klines, funding), strict=True):
            history.write(series, file)
        runs = [_run(klines, funding, asked.executor) for _ in range(2)]
    (first, _, _), (second, processor, said) = runs
    figures = {
        "variants": len(said["variants"]),
        "bars": said["bars"],
        "variants_per_second": len(said["variants"]) / said["seconds"],
        "bars_per_second": len(said["variants"]) * said["bars"] / said["seconds"],
        "command_seconds": second,
        "command_cpu_seconds": processor,
        "first_command_seconds": first,
        "pbo": said["pbo"]["probability"],
        "deflated_sharpe": said["deflated_sharpe"] and said["deflated_sharpe"]["probability"],
    }
    if asked.json:
        print(json.dumps(figures, indent=2))
        return
    print(
        f"sweep: {figures['variants']:,} variants of {figures['bars']:,} bars, "
        f"{figures['variants_per_second']:,.0f} variants a second; "
        f"the whole command, with PBO and deflated Sharpe ratio, {second:.1f} s "
        f"({processor:.1f} s of the processors' time; {first:.1f} s the first time)"
    )


def _run(klines: Path, funding: Path, executor: str) -> tuple[float, float, dict[str, Any]]:
    """Wall time of the command and its processors' time (s), and what it said."""
    command = (
        sys.executable, "-m", "backtest", "sweep", "--model-set", "starter", "--grid", GRID, "--data", klines,
        "--funding", funding, "--executor", executor, "--json",
    )  # fmt: skip
    began, before = time.perf_counter(), resource.getrusage(resource.RUSAGE_CHILDREN)
    out = subprocess.run(command, cwd=ROOT, stdout=subprocess.PIPE, check=True).stdout
    took, after = time.perf_counter() - began, resource.getrusage(resource.RUSAGE_CHILDREN)
    processor = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return took, processor, json.loads(out)


if __name__ == "__main__":
    main()
