"""`python -m models`: list the model sets, show one, verify, evaluate and audit them."""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path
from typing import Any

import click
from rich import box
from rich.console import Console
from rich.table import Table

from market.history import HistoryError
from models import audit_command, catalogue, features, options, promotion_command
from models.audit import AuditError
from models.evaluation.command import evaluate
from models.evaluation.data import DataError
from models.features import schema as feature_schema
from models.inference import Predictor
from models.manifest import Manifest, utc_ms
from models.modelset import ModelSet, ModelSetError
from models.options import path_of
from models.promotion import PromotionRefused

FAILURE, BAD_DATA, INTERRUPTED = 1, 7, 130


@click.group(context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
def models() -> None:
    """Model sets on disk.

    \b
    NAME is latest, champion, starter, an id, or the path of a set's folder.

    Exit codes: 0 done, 1 out of date, 2 usage, 7 model set missing or broken, 130 interrupted.
    """


@models.command("list")
@options.root
@options.as_json
def list_(root: Path, as_json: bool) -> None:
    """List the sets, the newest last, with the pointers that name them."""
    found, faults = catalogue.entries(root), catalogue.broken_pointers(root)
    if as_json:
        click.echo(json.dumps({"sets": [_entry(e) for e in found], "faults": faults}, indent=2))
    else:
        _show_list(found)
    for fault in (*faults, *(e.fault for e in found if e.fault)):
        click.echo(f"models: {fault}", err=True)
    if faults or any(e.fault for e in found):
        sys.exit(BAD_DATA)


@models.command()
@click.argument("name", default="latest")
@options.root
@options.as_json
def show(name: str, root: Path, as_json: bool) -> None:
    """Show what a set says about itself; its files are verified first."""
    found = ModelSet.load(path_of(name, root))
    if as_json:
        click.echo(json.dumps({"path": str(found.path), **found.manifest.model_dump(mode="json")}, indent=2))
    else:
        _show(found)


@models.command()
@click.argument("names", nargs=-1)
@click.option("--provider", type=click.Choice(["auto", "cpu", "cuda"]), default="auto", help="Where networks run.")
@options.root
@options.as_json
def verify(names: tuple[str, ...], provider: Any, root: Path, as_json: bool) -> None:
    """Verify sets to the last byte, open their models, and ask them their golden inputs. Without NAMES: all of them."""
    paths = [path_of(n, root) for n in names] if names else [e.path for e in catalogue.entries(root)]
    if not paths:
        raise ModelSetError("there are no model sets", root, "train one with `make train`")
    told = []
    for path in paths:
        began = time.perf_counter()
        fault, golden, providers = None, 0, dict[str, str]()
        try:
            predictor = Predictor.load(path, provider)
            golden = predictor.manifest.golden.count if predictor.manifest.golden else 0
            providers = predictor.providers
        except ModelSetError as error:
            fault = str(error)
        took = time.perf_counter() - began
        told.append({"id": path.name, "path": str(path), "ok": fault is None, "fault": fault} | {
            "golden": golden, "providers": providers, "seconds": round(took, 3)
        })  # fmt: skip
        if not as_json:
            click.echo(f"{path.name}: " + (f"ok, {golden} golden answers, {took:.2f} s" if fault is None else "BROKEN"))
        if fault is not None:
            click.echo(f"models: {fault}", err=True)
    if as_json:
        click.echo(json.dumps(told, indent=2))
    if not all(t["ok"] for t in told):
        sys.exit(BAD_DATA)


@models.command()
@click.option("--check", is_flag=True, help="Write nothing; exit 1 if the file is not current.")
def schema(check: bool) -> None:
    """Write models/features/schema.json, the committed list of the features."""
    if not check:
        feature_schema.write()
        listed = features.REGISTRY.features
        click.echo(f"{len(listed)} features, {features.required_lookback()} candles, {feature_schema.FILE}")
        return
    found = feature_schema.differences()
    for line in found:
        click.echo(f"models: {line}", err=True)
    if found:
        click.echo("models: run `python -m models schema`", err=True)
        sys.exit(FAILURE)


models.add_command(evaluate)
models.add_command(audit_command.commands)
for _command in promotion_command.COMMANDS:
    models.add_command(_command)


def _entry(entry: catalogue.Entry) -> dict[str, Any]:
    m = entry.manifest
    about = {} if m is None else {
        "created": m.identity.created, "expires": m.expires, "symbols": list(m.data.symbols),
        "timeframe": m.data.timeframe, "source": m.data.source, "models": [x.name for x in m.models],
        "features": len(m.features.names), "lookback": m.lookback, "weights": dict(m.ensemble.weights),
        "finer": m.finer and m.finer.timeframe, "finer_lookback": m.finer_lookback,
        "pair": m.features.pair and list(m.features.pair), "without": list(m.ensemble.without),
    }  # fmt: skip
    return {
        "id": entry.id, "path": str(entry.path), "store": entry.store, "names": list(entry.names),
        "bytes": entry.bytes, "fault": entry.fault, **about,
    }  # fmt: skip


def _show_list(found: list[catalogue.Entry]) -> None:
    console = Console()
    if not found:
        console.print("no model sets; train one with `make train`")
        return
    table = _table("id", "named", "made of", "models", "expires", "")
    for e in found:
        m = e.manifest
        about = (
            ("", "", "")
            if m is None
            else (f"{','.join(m.data.symbols)} {m.data.timeframe}", str(len(m.models)), _expiry(m))
        )
        table.add_row(e.id, ", ".join(e.names), *about, "[red]broken[/red]" if e.fault else "")
    console.print(table)


def _show(found: ModelSet) -> None:
    console, m = Console(), found.manifest
    console.print(f"[bold]{found.id}[/bold]  {found.path}", soft_wrap=True, highlight=False)
    table = _table("", "")
    data, ensemble = m.data, m.ensemble
    weights = ", ".join(f"{h} bars {ensemble.weights[str(h)]:.2f}" for h in m.horizons)
    rows = {
        "made": f"{m.identity.created}, {m.identity.name}, seed {m.identity.seed}",
        "by": m.identity.command,
        "commit": m.identity.git_commit or "-",
        "of": f"{', '.join(data.symbols)} {data.timeframe}, {data.venue}, {data.source}",
        "bars": f"{data.rows:,}, {data.gaps} gaps",
        **{f"  {n}": f"{r.start} to {r.end}, {r.rows:,} rows" for n, r in data.splits.items()},
        "features": f"{len(m.features.names)}, {m.lookback} candles for one prediction",
        **_besides(m),
        "profitable": f"beyond {data.labels.cost:.2%}",
        "weights": f"{weights}; held {m.decision.max_hold_bars} bars at most",
        "regime edges": ", ".join(f"{e:.3%} a bar" for e in ensemble.regime_edges),
        "golden": f"{m.golden.count} answers" if m.golden else "none",
        "expires": _expiry(m),
    }
    for name, text in rows.items():
        table.add_row(name, text)
    console.print(table)
    parts = _table("model", "kind", "heads", "rows read", "size", "sha256")
    for x in m.models:
        heads = ", ".join(x.heads)
        parts.add_row(x.name, x.kind, heads, str(x.window), f"{x.bytes / 1024:,.0f} KiB", x.sha256[:12])
    console.print(parts)
    _show_heads(console, m)


def _besides(manifest: Manifest) -> dict[str, str]:
    """What a set reads beside its symbol's candles, and what it does where a member gives no number."""
    told = {}
    if manifest.finer is not None:
        many, timeframe = len(manifest.finer.features.names), manifest.finer.timeframe
        told["finer"] = f"{many} features, {manifest.finer_lookback} candles of {timeframe}"
    if manifest.features.pair is not None:
        told["compared"] = " with ".join(manifest.features.pair)
    if manifest.ensemble.without:
        told["without"] = f"answers without {' or '.join(manifest.ensemble.without)}, one at a time"
    return told


def _show_heads(console: Console, manifest: Manifest) -> None:
    """The evidence of each head, as far as the set's training recorded some."""
    heads = manifest.evidence.get("heads")
    if not isinstance(heads, dict) or not heads:
        return
    table = _table("head", "AUC on unseen bars", "90 % interval", "paid, share of bars")
    for key, told in heads.items():
        auc: Any = told.get("auc") if isinstance(told, dict) else None
        rate: Any = told.get("base_rate") if isinstance(told, dict) else None
        if isinstance(auc, dict) and auc.get("value") is not None:
            known = auc.get("low") is not None and auc.get("high") is not None
            bounds = f"{auc['low']:.3f} to {auc['high']:.3f}" if known else "-"
            table.add_row(key, f"{auc['value']:.3f}", bounds, f"{rate['test']:.3f}" if isinstance(rate, dict) else "-")
    console.print(table)


def _expiry(manifest: Manifest) -> str:
    past = utc_ms(manifest.expires) <= time.time() * 1000
    return manifest.expires[:10] + (" [yellow](past)[/yellow]" if past else "")


def _table(*columns: str) -> Table:
    table = Table(box=box.SIMPLE_HEAD, padding=(0, 1, 0, 0), show_edge=False, show_header=any(columns))
    for name in columns:
        table.add_column(name, overflow="fold", no_wrap=name == "id")
    return table


def main() -> None:
    """Run the command, turning each kind of error into its exit code."""
    try:
        models.main(prog_name="python -m models", standalone_mode=False)
    except click.Abort:
        sys.exit(INTERRUPTED)
    except click.ClickException as error:
        error.show()
        sys.exit(error.exit_code)
    except (ModelSetError, HistoryError, DataError, AuditError, PromotionRefused) as error:
        click.echo(f"models: {error}", err=True)
        sys.exit(error.exit_code)


if __name__ == "__main__":
    main()
