"""Windows trained on a second: our loop beside the usual one, a DataLoader in float32, for each network.

Same network, same batch, same matrix, in turns, each in a process of its own. "side by side" is what a training run
does with folds and seeds: one fit with one thread on each core. Ratios are of the same turn, so what else the machine
does meets both; windows a second of the processors' time are beside those by the clock. On a GPU also the share of the
epoch that its own best matrix product would take.
"""

from __future__ import annotations

import json
import multiprocessing
import os
import statistics
import sys
import time
from collections.abc import Iterator, Mapping
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import click
import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.functional import binary_cross_entropy_with_logits
from torch.utils.data import DataLoader, Dataset
from torch.utils.flop_counter import FlopCounterMode

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from models import networks
from training import loop
from training.devices import precision_on

FEATURES, HEADS, SEED = 80, 6, 1


@dataclass(frozen=True)
class Case:
    """A network, the bars it reads, how many windows an epoch has, and a step."""

    kind: str
    options: Mapping[str, object]
    window: int
    windows: int
    batch: int

    def network(self) -> nn.Module:
        """A fresh one, the same each time."""
        torch.manual_seed(SEED)
        return networks.build(self.kind, FEATURES, HEADS, **self.options)

    def data(self) -> tuple[loop.Matrix, loop.Matrix]:
        """A scaled matrix and targets, the same each time."""
        draws, rows = np.random.default_rng(SEED), self.window + self.windows
        targets = (draws.random((rows, HEADS)) < 0.5).astype(np.float32)
        return draws.normal(size=(rows, FEATURES)).astype(np.float32), targets


LSTM = {"bidirectional": True, "layers": 2, "pooling": "attention", "dropout": 0.4}
CASES = {
    "lstm": Case("lstm", {"hidden": 96, **LSTM}, 48, 4096, 256),
    "tft": Case("tft", {"hidden": 32}, 96, 512, 64),
    "transformer": Case("transformer", {"width": 128, "length": 96}, 96, 512, 128),
}
"""At half width, as on a CPU."""
FULL = Case("lstm", {"hidden": 192, **LSTM}, 48, 26_213, 256)


class Windows(Dataset[tuple[Tensor, Tensor]]):
    """What the usual script feeds: a window sliced out at each index."""

    def __init__(self, matrix: loop.Matrix, targets: loop.Matrix, window: int) -> None:
        self.matrix, self.targets, self.window = torch.from_numpy(matrix), torch.from_numpy(targets), window

    def __len__(self) -> int:
        return len(self.matrix) - self.window

    def __getitem__(self, index: int) -> tuple[Tensor, Tensor]:
        end = index + self.window
        return self.matrix[index + 1 : end + 1], self.targets[end]


def plain(case: Case, device: str) -> None:
    """An epoch of the usual script."""
    network = case.network().to(device).train()
    optimizer = torch.optim.AdamW(network.parameters(), lr=5e-4, weight_decay=1e-2)
    total = 0.0
    for inputs, targets in DataLoader(Windows(*case.data(), case.window), batch_size=case.batch, shuffle=True):
        optimizer.zero_grad()
        loss = binary_cross_entropy_with_logits(network(inputs.to(device)), targets.to(device))
        loss.backward()
        nn.utils.clip_grad_norm_(network.parameters(), 1.0)
        optimizer.step()
        total += loss.item()


def ours(case: Case, device: str) -> None:
    """An epoch of our loop, with a word from the early-stop slice at its end."""
    rows = np.arange(case.window, case.window + case.windows)
    schedule = loop.Schedule(epochs=1, patience=1, batch=case.batch, learning_rate=5e-4, weight_decay=1e-2)
    loop.fit(case.network(), *case.data(), rows, rows[-32:], case.window, schedule, SEED, device=device)


@dataclass(frozen=True)
class Took:
    """Seconds of an epoch, by the clock and of the processors."""

    wall: float
    processor: float


def _epoch(way: str, case: Case, device: str, threads: int) -> Took:
    torch.set_num_threads(threads)
    began, before = time.perf_counter(), time.process_time()
    (plain if way == "plain" else ours)(case, device)
    return Took(time.perf_counter() - began, time.process_time() - before)


class Lanes:
    """Processes that stay, so that no turn pays for an import: one for the plain loop, and one a core for ours."""

    def __init__(self, cores: int) -> None:
        self.cores = cores
        context = multiprocessing.get_context("spawn")
        self.plain, *self.ours = [ProcessPoolExecutor(1, mp_context=context) for _ in range(1 + cores)]

    def turn(self, way: str, case: Case, device: str) -> tuple[float, float]:
        """Windows a second by the clock, and of the processors' time."""
        side = way == "side by side"
        pools = [self.plain] if way == "plain" else self.ours if side else self.ours[:1]
        began = time.perf_counter()
        asked = [pool.submit(_epoch, way, case, device, 1 if side else self.cores) for pool in pools]
        took = [each.result() for each in asked]
        wall = time.perf_counter() - began
        windows = case.windows * len(pools)
        return windows / wall, windows / sum(each.processor for each in took)

    def close(self) -> None:
        """End them."""
        for pool in (self.plain, *self.ours):
            pool.shutdown()


def compare(case: Case, device: str, rounds: int, lanes: Lanes) -> dict[str, Any]:
    """Medians, and ratios to the plain loop turn by turn."""
    ways = ["plain", "ours"] + (["side by side"] if device == "cpu" and lanes.cores > 1 else [])
    small = replace(case, windows=2 * case.batch)
    for way in ways:
        lanes.turn(way, small, device)  # the first call of everything
    turns: dict[str, list[tuple[float, float]]] = {way: [] for way in ways}
    for number in range(rounds):
        for way in ways if number % 2 == 0 else reversed(ways):
            turns[way].append(lanes.turn(way, case, device))
    figures: dict[str, Any] = {
        "windows": case.windows,
        "window": case.window,
        "batch": case.batch,
        "options": dict(case.options),
    }
    for way, measured in turns.items():
        figures[way] = {
            "windows_per_second": round(statistics.median(wall for wall, _ in measured), 1),
            "windows_per_cpu_second": round(statistics.median(processor for _, processor in measured), 1),
        }
        if way != "plain":
            for index, name in enumerate(("ratio", "cpu_ratio")):
                ratios = [one[index] / base[index] for one, base in zip(measured, turns["plain"], strict=True)]
                figures[way][name] = [round(pick(ratios), 2) for pick in (statistics.median, min, max)]
    if device == "cuda":
        ideal = 3 * flops(case) * case.windows / product_flops()
        figures["share_of_ideal"] = round(ideal / (case.windows / figures["ours"]["windows_per_second"]), 3)
    return figures


def same(case: Case) -> dict[str, float]:
    """Largest difference between both loops' logits of the same batch, in float32 and in what ours trains in."""
    network, (matrix, targets) = case.network().eval(), case.data()
    sliced = torch.stack([Windows(matrix, targets, case.window)[index][0] for index in range(case.batch)])
    gathered = loop.windows(torch.from_numpy(matrix), torch.arange(case.window, case.window + case.batch), case.window)
    device = torch.device("cpu")
    with torch.no_grad():
        expected = network(sliced)
        exact = network(gathered)
        with torch.autocast("cpu", torch.bfloat16, precision_on(device, "auto", network) == torch.bfloat16):
            trained = network(gathered).float()
    return {
        "float32": float((exact - expected).abs().max()),
        "as_trained": float((trained - expected).abs().max()),
    }


def flops(case: Case) -> float:
    """Multiplications and additions of one window's forward pass."""
    network = case.network().eval()
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        network(torch.zeros(1, case.window, FEATURES))
    recurrent = [module for module in network.modules() if isinstance(module, nn.LSTM)]
    weights = sum(weight.numel() for module in recurrent for weight in module.parameters() if weight.ndim == 2)
    return float(counter.get_total_flops()) + 2.0 * weights * case.window


def product_flops(size: int = 8192, times: int = 20) -> float:
    """What the GPU reaches in its best case, a large bfloat16 product, in operations a second."""
    a = torch.randn(size, size, device="cuda", dtype=torch.bfloat16)
    for _ in range(3):
        a @ a
    torch.cuda.synchronize()
    began = time.perf_counter()
    for _ in range(times):
        a @ a
    torch.cuda.synchronize()
    return times * 2 * size**3 / (time.perf_counter() - began)


def _lines(said: Mapping[str, Any]) -> Iterator[str]:
    yield f"{said['device']}, {said['cores']} cores, torch {said['torch']}"
    for name, figures in said["networks"].items():
        yield f"{name} {figures['options']}"
        yield f"  {figures['windows']:,} windows of {figures['window']} bars, {figures['batch']} a step"
        for way in ("plain", "ours", "side by side"):
            if way not in figures:
                continue
            of = figures[way]
            line = f"  {way:13} {of['windows_per_second']:10,.0f}/s {of['windows_per_cpu_second']:10,.0f}/CPU s"
            if way != "plain":
                wall, processor = of["ratio"], of["cpu_ratio"]
                line += f"   {wall[0]:.2f}x ({wall[1]:.2f} to {wall[2]:.2f}) by the clock"
                line += f", {processor[0]:.2f}x ({processor[1]:.2f} to {processor[2]:.2f}) by CPU time"
            yield line
        apart = figures["difference"]
        yield f"  logits apart  {apart['float32']:.1e} in float32, {apart['as_trained']:.1e} as trained"
        if "share_of_ideal" in figures:
            yield f"  of the ideal  {figures['share_of_ideal']:.1%}"


@click.command()
@click.option("--only", default="", help=f"Of {', '.join(CASES)}; commas between.")
@click.option("--full", is_flag=True, help="The LSTM alone, at full size, on 26,213 windows of 48 bars x 80 features.")
@click.option("--windows", type=click.IntRange(512), help="Windows of an epoch, in place of each network's own number.")
@click.option("--batch", type=click.IntRange(1), help="Windows in a step, in place of each network's own number.")
@click.option("--rounds", type=click.IntRange(1), default=3, show_default=True, help="Turns of each.")
@click.option("--device", type=click.Choice(["auto", "cpu", "cuda"]), default="auto", show_default=True)
@click.option("--json", "as_json", is_flag=True, help="One JSON object.")
def main(
    only: str, full: bool, windows: int | None, batch: int | None, rounds: int, device: str, as_json: bool
) -> None:
    """Train an epoch with both loops in turns and compare."""
    names = [name.strip() for name in only.split(",") if name.strip()] or list(CASES)
    if unknown := [name for name in names if name not in CASES]:
        raise click.BadParameter(f"no network {', '.join(unknown)}; there are {', '.join(CASES)}", param_hint="--only")
    try:
        where = loop.device_of(device).type
    except loop.LoopError as missing:
        raise click.UsageError(str(missing)) from None
    cases = {"lstm (full)": FULL} if full else {name: CASES[name] for name in names}
    cases = {
        name: replace(case, windows=windows or case.windows, batch=batch or case.batch) for name, case in cases.items()
    }
    lanes = Lanes(len(os.sched_getaffinity(0)))
    said: dict[str, Any] = {
        "device": torch.cuda.get_device_name() if where == "cuda" else "cpu",
        "cores": lanes.cores,
        "torch": torch.__version__,
        "networks": {},
    }
    try:
        for name, case in cases.items():
            click.echo(f"{name} ...", err=True)
            said["networks"][name] = compare(case, where, rounds, lanes) | {"difference": same(case)}
    finally:
        lanes.close()
    click.echo(json.dumps(said, indent=1) if as_json else "\n".join(_lines(said)))


if __name__ == "__main__":
    main()
