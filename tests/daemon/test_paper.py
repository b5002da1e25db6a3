"""Paper trading end to end: a daemon, the mirror it starts, and a second local exchange as the live one."""

from __future__ import annotations

import itertools
import json
import sqlite3
import subprocess
import sys
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

from click.testing import CliRunner

from daemon.config import Mode, load_config
from market.__main__ import market
from tests.local_exchange import PATIENCE, ROOT, LocalExchange

Exchange = Callable[..., LocalExchange]
Configure = Callable[..., Path]


def paper(config: Path, *options: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "daemon", "paper", "--config", str(config), *options],
        cwd=ROOT, capture_output=True, text=True, check=False, timeout=120 * PATIENCE,
    )  # fmt: skip


def test_the_example_configuration_is_one_of_paper_trading() -> None:
    config = load_config(ROOT / "configs" / "paper.yaml")
    assert (config.mode, config.phase) == (Mode.PAPER, "paper")
    assert config.rules.is_file()


def test_a_daemon_trades_on_a_mirror_and_goes_on_where_it_was(exchange: Exchange, configure: Configure) -> None:
    upstream = exchange(timeframe="1h", warmup=200, speed=5_400)
    config = configure(upstream.url, mode="paper", timeframes=["1h"])
    ended = paper(config, "--mirror", upstream.url, "--candles", "5", "--json")
    assert ended.returncode == 0, ended.stderr
    told = json.loads(ended.stdout)
    assert told["candles"] >= 5
    state = config.parent / "state"
    with closing(sqlite3.connect(f"file:{state / 'journal.sqlite'}?mode=ro", uri=True)) as journal:
        (bars,) = journal.execute("SELECT count(DISTINCT bar) FROM decisions").fetchone()
        times = [bar for (bar,) in journal.execute("SELECT DISTINCT bar FROM settled ORDER BY bar")]
    assert bars >= 5
    assert all(later - earlier == 3_600_000 for earlier, later in itertools.pairwise(times))
    assert told["trades"] > 0
    again = paper(config, "--mirror", upstream.url, "--candles", "2", "--json")
    assert again.returncode == 0, again.stderr
    with closing(sqlite3.connect(f"file:{state / 'account.sqlite'}?mode=ro", uri=True)) as account:
        (fills,) = account.execute("SELECT count(*) FROM fills").fetchone()
    assert fills >= told["trades"] + json.loads(again.stdout)["trades"]
    # what the daemon recorded is what the exchange gives as its history
    out = config.parent / "BTCUSDT.parquet"
    for words in (("--source", "api", "--api-url", upstream.url), ("--join", str(state))):
        joined = CliRunner().invoke(market, ["history", "--out", str(out), "--json", *words], catch_exceptions=False)
        assert joined.exit_code == 0, joined.output
    compared = json.loads(joined.stdout)
    assert compared["compared"] >= 6
    assert (compared["differing"], compared["joined"], compared["known_to_one_side"]) == (0, 0, 0)
    # the exchange that was followed knows nothing of it: the account was the mirror's
    assert (upstream.state()["fills"], upstream.state()["orders"]) == (0, 0)


def test_paper_trading_needs_a_configuration_that_says_so(configure: Configure) -> None:
    ended = paper(configure("http://127.0.0.1:1"))
    assert (ended.returncode, "paper trading is mode: paper" in ended.stderr) == (4, True)
