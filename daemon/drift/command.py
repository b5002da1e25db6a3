"""``python -m daemon drift``: what the last look found, and what is done about it; ``drift reset`` begins anew."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import click
from click.core import ParameterSource

from daemon import control
from daemon.options import ask, book_of, config_option, json_option, rehearsal_option, state_dir
from market.timeframes import utc_text

SHOWN = 6
"""Statistics shown of a symbol: those farthest beyond their limits, or nearest to them."""


@click.group(invoke_without_command=True)
@config_option
@rehearsal_option
@json_option
@click.option("-n", "count", type=click.IntRange(1), default=1, show_default=True, help="How many looks, newest first.")
@click.pass_context
def drift(context: click.Context, path: Path, as_json: bool, count: int) -> None:
    """What the last look for drift found, and what is done about it; works without a running daemon."""
    given = context.get_parameter_source("path") is not ParameterSource.DEFAULT
    context.obj = path if given else None
    if context.invoked_subcommand is not None:
        return
    from daemon.drift import rows

    with book_of(path) as book:
        looks = rows.newest(book, count)
    now, nobody = _now(state_dir(path))
    if as_json:
        click.echo(json.dumps({"now": now, "looks": looks}))
        return
    click.echo(nobody if now is None else _standing(now))
    found = [look for look in looks if now is None or not now["unjudged"] or look["symbol"]]
    if found and (now is None or now["unjudged"]):
        click.echo("what was found before:")
    for look in found:
        click.echo(_look(look))
    if not found and not (now and now["unjudged"]):
        click.echo("nothing was looked at yet")


@drift.command()
@config_option
@rehearsal_option
@click.pass_context
def reset(context: click.Context, path: Path) -> None:
    """Forget what was seen: entries at their full size, looks counted anew; what drifts still is found again."""
    reply = ask(context.obj or path, "drift-reset", section="drift")
    click.echo(f"level {reply['level']}; looks are counted anew")


def _now(folder: Path) -> tuple[dict[str, Any] | None, str]:
    """What a running daemon says of it; None, and why, where nobody looks."""
    try:
        reply = control.request(folder, "drift")
    except (control.NotRunning, control.NoAnswer) as error:
        return None, str(error)
    if str(reply.get("error")).startswith(control.UNKNOWN):
        return None, "the running daemon does not look for drift: its configuration has no section drift"
    return (None, str(reply["error"])) if "error" in reply else (reply, "")


def _standing(now: dict[str, Any]) -> str:
    if now["unjudged"]:
        return f"drift is not judged: {now['unjudged']}"
    alarms = now["false_alarms"]
    rate = f"; a false alarm in {alarms['rate']:.0%} of {alarms['candles']} candles at most" if alarms else ""
    rows = f"{now['beyond_in_a_row']} looks in a row beyond a limit, {now['calm_in_a_row']} within"
    return f"level {now['level']} for {now['model_set']}; {rows}{rate}"


def _look(look: dict[str, Any]) -> str:
    body = look["body"]
    when = utc_text(look["bar"] if look["bar"] >= 0 else look["at_ms"])
    lines = [f"{when} {look['symbol'] or 'all symbols'}, level {look['level']}: {body['text']}"]
    for name, (value, limit) in list(body.get("statistics", {}).items())[:SHOWN]:
        lines.append(f"  {'beyond' if value > limit else 'within'}  {name:40} {value:10.4f}  limit {limit:10.4f}")
    lines += [f"  waits   {group}: {why}" for group, why in body.get("waiting", {}).items()]
    lines += [f"  missing {what}: not judged since {utc_text(at)}" for what, at in body.get("missing", {}).items()]
    return "\n".join(lines)


COMMANDS = (drift,)
