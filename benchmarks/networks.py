"""Speed of every network at its full size and at half: one answer as ONNX on one thread, and a training step.

All in milliseconds of the processor for each window, so that other work beside it matters little: answers at batch 1
(live) and at batch 64 (a history), and training in float32. `batch` is what the set's member asks at once, 1 where an
answer would depend on its neighbours. `--json` for one object.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click
import numpy as np
import torch
from torch.nn.functional import binary_cross_entropy_with_logits

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from models import networks
from models.manifest import Features, Member, Scaler
from models.members import OnnxMember
from models.modelset import digest
from training import export, loop

FEATURES, ROWS = 60, 1000
# name: (kind, bars, heads, options)
SIZES: dict[str, tuple[str, int, int, dict[str, Any]]] = {
    "lstm": ("lstm", 48, 6, {"hidden": 192, "layers": 2, "bidirectional": True, "pooling": "attention"}),
    "lstm 15m": ("lstm", 192, 2, {"hidden": 128}),
    "lstm regime": ("lstm", 48, 3, {"hidden": 128, "bidirectional": True, "pooling": "attention"}),
    "tft": ("tft", 96, 6, {}),
    "transformer": ("transformer", 96, 6, {}),
    "lstm half": ("lstm", 48, 6, {"hidden": 96, "layers": 2, "bidirectional": True, "pooling": "attention"}),
    "tft half": ("tft", 96, 6, {"hidden": 32, "embedding": 8}),
    "transformer half": ("transformer", 96, 6, {"width": 128, "attention_heads": 4}),
    "transformer half, patches of 4": ("transformer", 96, 6, {"width": 128, "attention_heads": 4, "patch": 4}),
}


def median_ms(work: Callable[[], object], runs: int) -> float:
    """Median milliseconds of the processor's time over so many runs, after one that warms up."""
    took = []
    for _ in range(runs + 1):
        began = time.process_time()
        work()
        took.append(time.process_time() - began)
    return float(np.median(took[1:])) * 1e3


def training_ms(network: torch.nn.Module, matrix: loop.Matrix, bars: int, heads: int, batch: int) -> float:
    """The least milliseconds of the processor that a window costs in a step of training, one thread."""
    network.train()
    optimizer = torch.optim.AdamW(network.parameters(), fused=True)
    rows = torch.randint(bars, len(matrix), (batch,))
    window, targets = loop.windows(torch.from_numpy(matrix), rows, bars), torch.rand(batch, heads).round()
    took = []
    for _ in range(3):
        began = time.process_time()
        optimizer.zero_grad()
        binary_cross_entropy_with_logits(network(window), targets).backward()
        optimizer.step()
        took.append(time.process_time() - began)
    return min(took) * 1e3 / batch


def measured(kind: str, bars: int, heads: int, options: dict[str, Any], batch: int) -> dict[str, float]:
    """All figures of one network."""
    torch.manual_seed(1)
    network = networks.build(kind, FEATURES, heads, **options)
    matrix = np.random.default_rng(1).normal(size=(ROWS, FEATURES)).astype(np.float32)
    cost = training_ms(network, matrix, bars, heads, batch)
    exported = export.export(network, matrix, np.arange(bars, ROWS), bars)
    spec = Member(
        name="measured", kind="onnx", role="direction", file="measured.onnx", sha256=digest(exported.onnx),
        bytes=len(exported.onnx), window=bars, heads=tuple(map(str, range(heads))), output="logit", opset=export.OPSET,
    )  # fmt: skip
    scaler = Scaler(center=(0.0,) * FEATURES, scale=(1.0,) * FEATURES, clip=10.0, fitted_on="train")
    names = tuple(f"f{i}" for i in range(FEATURES))
    features = Features(names=names, schema_hash="0" * 64, lookback=1, scaler=scaler)
    member = OnnxMember(spec, exported.onnx, features, Path(spec.file), "cpu")
    whole = matrix.astype(np.float64)
    return {
        "parameters": networks.count_parameters(network),
        "parity": max(exported.parity.values()),
        "batch": member.batch,
        "ms_alone": round(median_ms(lambda: member.answer(whole, np.array([ROWS - 1])), 40), 3),
        "ms_in_64": round(median_ms(lambda: member.answer(whole, np.arange(ROWS - 64, ROWS)), 3) / 64, 3),
        "training_ms": round(cost, 2),
    }


@click.command()
@click.option("--only", default="", help="Networks whose names begin so, such as tft.")
@click.option("--batch", default=128, show_default=True, help="Windows in a training step.")
@click.option("--json", "as_json", is_flag=True, help="One JSON object.")
def main(only: str, batch: int, as_json: bool) -> None:
    """Measure each network by itself."""
    torch.set_num_threads(1)
    figures = {}
    for name, (kind, bars, heads, options) in SIZES.items():
        if name.startswith(only):
            click.echo(f"{name} ...", err=True)
            figures[name] = measured(kind, bars, heads, options, batch)
    if as_json:
        click.echo(json.dumps(figures))
        return
    click.echo(f"{'':31}parameters    parity  batch  ms alone  ms in 64  training ms")
    for name, f in figures.items():
        click.echo(
            f"{name:31}{f['parameters']:10,}  {f['parity']:8.1e}  {f['batch']:5}  {f['ms_alone']:8.2f}"
            f"  {f['ms_in_64']:8.2f}  {f['training_ms']:11.2f}"
        )


if __name__ == "__main__":
    main()
