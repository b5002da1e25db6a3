"""The campaign: kill after kill, each followed by mischief at the exchange, a restart, and a look at the invariants."""

from __future__ import annotations

import json
import random
import shutil
import time
from collections.abc import Callable, Iterable
from contextlib import suppress
from dataclasses import asdict, dataclass, field
from pathlib import Path
from threading import Timer
from typing import Any

import yaml

from daemon import control
from market import synthetic
from market.instruments import cash
from models.modelset import save as save_set
from strategy.live_config import Rules, load_rules
from tests.crash.invariants import broken, unprotected
from tests.crash.lives import HarnessError, Launcher, Life
from tests.crash.points import START, TRADE, Plan
from tests.crash.truth import Account, settled
from tests.daemon.conftest import FEATURES, RULES
from tests.local_exchange import PATIENCE, LocalExchange
from tests.models.small_sets import HOUR, Market, make_set

WARMUP, BARS = 150, 4_000
REHEARSED_BARS = 8
MOST_BARS = 6
"""How many bars are played for a life to reach its point before it is killed at a random instant instead."""
REST_S = 40.0
"""How long a restarted daemon may take to rest: an order that never arrived is only known lost after six seconds."""
LOOK_S = 0.02
ANY = "at any instant"
MISCHIEF = (
    ("nothing", 45), ("a bar passes", 15), ("two bars pass", 10), ("bars pass until the stop fills", 12),
    ("closed by hand", 7), ("stop cancelled by hand", 9), ("liquidated", 5), ("deleveraged", 4),
)  # fmt: skip
TWICE = 0.2
"""Share of lives that are killed while they start, before the kill before was recovered from."""


@dataclass
class Kill:
    """One kill and what came of it; seconds count from the restart, None where another kill came first.

    `naked` tells whether a position had no stop when the daemon was restarted, `naked_s` how long from the restart
    until it had one (or was closed). `violations` stand at the last of several kills in a row.
    """

    number: int
    point: str
    planned: str
    mischief: str = ""
    naked: bool = False
    naked_s: float | None = None
    protected_s: float | None = None
    trading_s: float | None = None
    rest_s: float | None = None
    violations: list[str] = field(default_factory=list)


class Season:
    """One exchange and one state directory, for as many kills as its market lasts.

    Parameters
    ----------
    folder : Path
        Where configuration, state and logs of it go; kept when something was violated.
    models : Path
        Folder with a model set in its store.
    seed : int
        Of the market and of every choice.
    """

    def __init__(self, folder: Path, models: Path, symbols: tuple[str, ...], seed: int) -> None:
        self.folder, self.symbols, self.seed = folder, symbols, seed
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
        (folder / "rules.yaml").write_text(yaml.safe_dump(RULES))
        self.rules: Rules = load_rules(folder / "rules.yaml")
        self.launcher = Launcher(folder)
        self.place = LocalExchange(symbols=symbols, warmup=WARMUP, bars=BARS, seed=seed)
        self.deposit = cash(self.place.state()["cash"])
        self.account = Account(self.place)
        self.config = folder / "daemon.yaml"
        self.config.write_text(yaml.safe_dump(self._keys(models)))
        self.state = folder / "state"

    def close(self) -> None:
        """End the exchange and every daemon."""
        self.launcher.close()
        self.place.stop()

    @property
    def worn(self) -> bool:
        """Whether too little of the market is left for another kill."""
        return int(self.place.state()["bars_left"]) < 60

    def rehearse(self) -> dict[str, int]:
        """Live once from nothing and once from a position, in good order; how often each point was crossed."""
        points: dict[str, int] = {}
        for _ in range(2):
            life = self.launcher.begin(self.config, None)
            self._rest(life, [])
            for _ in range(REHEARSED_BARS):
                if not self._play(life):
                    raise HarnessError(f"the daemon ended in the rehearsal; see {self.folder / 'daemon.log'}")
            self._stop(life)
            for point, times in life.points().items():
                points[point] = max(points.get(point, 0), times)
        return points

    def kills(self, plans: Iterable[tuple[int, Plan]], done: Callable[[Kill], None]) -> None:
        """Kill by each numbered plan; every kill is told of once it was recovered from.

        Ends early once something was violated or the market is worn: what follows would stand on broken ground.
        """
        owed: list[Kill] = []
        broke = False
        for number, plan in plans:
            choice = random.Random(f"{self.seed} {number}")
            life = self.launcher.begin(self.config, plan)
            self._rest(life, owed)
            if life.code is None:
                for kill in owed:
                    done(kill)
                    broke |= bool(kill.violations)
                owed = []
                self._live_on(life, choice)
            kill = Kill(number, life.struck or ANY, plan.point)
            if life.code != -9:
                kill.violations.append(f"the daemon ended by itself, with {life.code}; see {self.folder}/daemon.log")
            kill.mischief = self._mischief(choice)
            owed.append(kill)
            if broke or self.worn:
                break
        life = self.launcher.begin(self.config, None)
        self._rest(life, owed)
        for kill in owed:
            done(kill)
        self._stop(life)

    def _live_on(self, life: Life, choice: random.Random) -> None:
        """Play until the point is reached, or end it between two of them."""
        for _ in range(MOST_BARS):
            if not self._play(life):
                return
        end = Timer(choice.uniform(0, 0.25), lambda: _quietly(life.kill))
        end.start()
        self.place.advance()
        end.join()
        self._until_over(life)

    def _play(self, life: Life) -> bool:
        """One bar, until it is settled; False if the life ended."""
        opened = int(self.place.state()["market_time"])
        self.place.advance()
        deadline = time.monotonic() + REST_S * PATIENCE
        while settled(self.state) < opened:
            self.launcher.listen(LOOK_S / 4)
            if life.code is not None:
                return False
            if time.monotonic() > deadline:
                raise HarnessError(f"the candle of {opened} ms was never settled; see {self.folder / 'daemon.log'}")
        self.launcher.listen()
        return life.code is None

    def _rest(self, life: Life, owed: list[Kill]) -> None:
        """Wait until the life trades and every invariant holds; what does not in time is a violation."""
        last = owed[-1] if owed else None
        naked = unprotected(self.place.state()) if last else set()
        if last:
            last.naked = bool(naked)
        wrong: list[str] = ["never looked"]
        deadline = life.began_at + REST_S * PATIENCE
        while life.code is None and time.monotonic() < deadline:
            self.launcher.listen(LOOK_S)
            truth = self.place.state()
            since = round(time.monotonic() - life.began_at, 3)
            naked &= unprotected(truth)
            if last and last.naked and last.naked_s is None and not naked:
                last.naked_s = since
            done = settled(self.state)  # a journal that has settled nothing yet owes nothing
            if life.trading_at is None or 0 <= done < int(truth["market_time"]) - self.account.bar_ms:
                wrong = ["it never traded again, or did not settle the last candle"]
                continue
            self.account.count(self.symbols)
            with suppress(control.NotRunning, control.NoAnswer):
                status = control.request(self.state, "status")
                wrong = broken(self.place.state(), status, self.state, self.account, self.rules, self.deposit)
                if not wrong:
                    break
        self.launcher.listen()
        if life.code is None and last:
            last.violations += wrong
            last.rest_s = round(time.monotonic() - life.began_at, 3)
            last.trading_s = round(life.trading_at - life.began_at, 3) if life.trading_at else None
            last.protected_s = last.naked_s if last.naked else 0.0
        elif life.code is None and wrong:
            raise HarnessError(f"not at rest before any kill: {wrong}; see {self.folder / 'daemon.log'}")

    def _mischief(self, choice: random.Random) -> str:
        """What the exchange does while the daemon is dead; in words."""
        kind = choice.choices([name for name, _ in MISCHIEF], [weight for _, weight in MISCHIEF])[0]
        truth = self.place.state()
        match kind:
            case "a bar passes":
                self.place.advance()
            case "two bars pass":
                self.place.advance(2)
            case "bars pass until the stop fills" if truth["positions"]:
                for _ in range(8):
                    self.place.advance()
                    if len(self.place.state()["positions"]) < len(truth["positions"]):
                        break
            case "closed by hand" if truth["positions"]:
                symbol = choice.choice(sorted(truth["positions"]))
                self.account.close_by_hand(symbol, truth["positions"][symbol]["quantity"])
            case "liquidated" if truth["positions"]:
                self.place.hand("liquidate", symbol=choice.choice(sorted(truth["positions"])))
            case "deleveraged" if truth["positions"]:
                self.place.hand("adl", symbol=choice.choice(sorted(truth["positions"])))
            case "stop cancelled by hand" if truth["stops"]:
                self.account.cancel_stop_by_hand(choice.choice(truth["stops"])["client_id"])
            case _:
                return "nothing"
        return kind

    def _stop(self, life: Life) -> None:
        life.end()
        self._until_over(life)

    def _until_over(self, life: Life) -> None:
        deadline = time.monotonic() + REST_S * PATIENCE
        while life.code is None:
            self.launcher.listen(LOOK_S)
            if time.monotonic() > deadline:
                raise HarnessError(f"process {life.pid} does not end; see {self.folder / 'daemon.log'}")

    def _keys(self, models: Path) -> dict[str, Any]:
        return {
            "mode": "sandbox",
            "exchange": {"url": self.place.url, "key": "local", "secret": "local"},
            "symbols": list(self.symbols),
            "model_set": "latest",
            "model_sets": str(models),
            "rules": "rules.yaml",
            "state_dir": "state",
        }


def choose(seed: int, number: int, points: dict[str, int]) -> Plan:
    """Where a life ends, by seed and number alone: any stage alike, then any point of it; in trade more often."""
    choice = random.Random(f"{seed} {number}")
    phase = START if choice.random() < TWICE else TRADE
    stages = sorted({p.rpartition(": ")[0] for p in points if p.startswith(phase)})
    stage = choice.choice(stages)
    point = choice.choice(sorted(p for p in points if p.startswith(f"{stage}: ")))
    nth = choice.randint(1, min(points[point], 4))
    return Plan(point, nth, choice.uniform(0, 0.004))


def store(folder: Path) -> Path:
    """A folder made anew, with one small trained model set in its store."""
    shutil.rmtree(folder, ignore_errors=True)
    made = make_set(Market(*synthetic.generate("BTCUSDT", bars=1000, timeframe=HOUR, seed=7)), FEATURES)
    save_set(made.manifest, made.files, folder / "sets")
    return folder


def _quietly(act: Callable[[], None]) -> None:
    with suppress(ProcessLookupError):
        act()


def save(kill: Kill, file: Path) -> None:
    """Append a kill to a file of JSON lines."""
    with file.open("a") as out:
        out.write(json.dumps(asdict(kill)) + "\n")


def saved(file: Path) -> list[Kill]:
    """The kills of such a file, oldest first."""
    if not file.exists():
        return []
    return [Kill(**json.loads(line)) for line in file.read_text().splitlines() if line]
