"""The commands that the units run beside ``run``: ``python -m daemon reload`` and ``python -m daemon alert``."""

from __future__ import annotations

import asyncio
import json
import os
import socket
from pathlib import Path

import click
from pydantic import ValidationError

from configs import ConfigError
from configs.loading import file_text, keys_with_values
from daemon.alerts import AlertsError, channels
from daemon.config import Alerts, alert_urls, load_config
from daemon.options import CONFIGURATION, FAILURE, Told, ask, config_option, json_option

TIMEOUT_S = 30.0


@click.command()
@config_option
@json_option
def reload(path: Path, as_json: bool) -> None:
    """Have a running daemon read its configuration again (as SIGHUP does): all that changed is taken up, or nothing."""
    reply = ask(path, "reload")
    if as_json:
        click.echo(json.dumps(reply))
    if refused := reply.get("refused"):
        raise Told("\n".join(["nothing was changed:", *refused]), CONFIGURATION)
    if not as_json:
        click.echo(f"in force: {', '.join(reply['changed'])}" if reply["changed"] else "nothing has changed")


@click.command()
@config_option
@click.option("--unit", help="The unit that failed; how it ended is taken from systemd's environment.")
@click.option("--text", help="What to tell instead, e.g. to try the addresses.")
def alert(path: Path, unit: str | None, text: str | None) -> None:
    """Tell the addresses of `alerts.urls`, whatever their level; for OnFailure= of a unit, or to try them."""
    told = text or (f"{unit} failed for good{_how()}" if unit else "this is how an alert looks")
    try:
        urls = alert_urls(_alerts(path))
        made = channels(urls)
    except (ConfigError, AlertsError) as error:
        raise Told(str(error), CONFIGURATION) from error
    if not urls:
        click.echo(f"alerts.urls in {path} is empty, nobody was told: {told}", err=True)
        return

    async def send() -> bool:
        async with asyncio.timeout(TIMEOUT_S):
            title = f"Regimen on {socket.gethostname()}"
            return bool(await made.async_notify(body=told, title=title, notify_type="failure"))

    try:
        sent = asyncio.run(send())
    except TimeoutError:
        sent = False
    if not sent:
        raise Told(f"not every address of alerts.urls in {path} could be told: {told}", FAILURE)
    click.echo(f"told: {told}")


def _alerts(path: Path) -> Alerts:
    """The addresses; of a file with mistakes elsewhere, which may be why the unit failed, that section alone."""
    try:
        return load_config(path).alerts
    except ConfigError as error:
        section = keys_with_values(file_text(path), str(path), "alerts").data.get("alerts")
        try:
            return Alerts.model_validate_json(json.dumps(section), strict=True)
        except ValidationError:
            raise error from None


def _how() -> str:
    """How the unit ended, as systemd tells those whom OnFailure= starts."""
    result, status = os.environ.get("MONITOR_SERVICE_RESULT"), os.environ.get("MONITOR_EXIT_STATUS")
    return f" ({result}, {status})" if result and status else f" ({result})" if result else ""


COMMANDS = (reload, alert)
