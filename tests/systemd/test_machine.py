"""The service under a real systemd: it starts, reloads, is killed when it hangs, stops crashing, and keeps its secrets.

One machine is booted for all of them, with Regimen installed in it as an operator installs it; the daemon trades on the
local exchange, moved bar by bar, by rules that are always in the market. Each test leaves the daemon running.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

from tests.daemon.conftest import RULES
from tests.systemd.machine import PYTHON, CannotBoot, Failed, Machine

ETC = "/etc/regimen"
STATE = "/var/lib/regimen"
SERVICE = "regimen.service"
SECRET = "unreadable-to-others-4711"


@pytest.fixture(scope="module")
def machine(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Machine]:
    """A machine on which the daemon trades, and holds a position."""
    try:
        made = Machine(tmp_path_factory.mktemp("machine"))
    except CannotBoot as error:
        pytest.skip(str(error))
    try:
        made.install()
        made.write(f"{ETC}/environment", "REGIMEN_EXCHANGE_OPTIONS=--speed manual\n")
        made.write(f"{ETC}/demo_config.yaml", yaml.safe_dump(RULES))
        made.write(f"{ETC}/credentials/ALERT_URL", SECRET, mode=0o600)
        made.drop_in(SERVICE, "[Service]\nWatchdogSec=5\nRestartSec=100ms\n", "quick")
        made.run("systemctl", "enable", "--now", "regimen-exchange.service", "regimen-backtest.path")
        made.run("systemctl", "enable", "--now", SERVICE, seconds=120)
        for _ in range(8):
            turn(made)
            if made.exchange("state")["positions"]:
                break
        else:
            raise AssertionError(f"nothing was opened: {made.journal(SERVICE)[-4000:]}")
        yield made
    finally:
        made.close()


def turn(machine: Machine) -> None:
    """Play one bar, and wait until the daemon has settled it."""
    machine.until(lambda: machine.exchange("state")["listening"], "the daemon listening")
    before = machine.status()["settled"]
    machine.exchange("advance", {"bars": 1})
    machine.until(lambda: machine.status()["settled"] != before, "a candle settled")


def held(machine: Machine) -> tuple[object, set[tuple[str, str, str]]]:
    """What the exchange holds of the account: positions, and where stops of which size rest."""
    state = machine.exchange("state")
    return state["positions"], {(s["side"], s["trigger"], s["quantity"]) for s in state["stops"]}


def pid(machine: Machine) -> int:
    return int(machine.show(SERVICE, "MainPID"))


def test_it_says_that_it_trades_and_on_what(machine: Machine) -> None:
    assert machine.show(SERVICE, "ActiveState") == "active"
    told = "trading · active · settled 2"
    machine.until(lambda: machine.show(SERVICE, "StatusText").startswith(told), f"the status {told}…")
    machine.until(lambda: "· 1 position" in machine.show(SERVICE, "StatusText"), "the position in the status")
    assert machine.regimen("status")["phase"] == "trading"


def test_its_exposure_is_small(machine: Machine) -> None:
    """1.5 at most; a bare unit has 9.6."""
    told = machine.run("systemd-analyze", "security", "--no-pager", "--threshold=15", SERVICE)
    assert "Overall exposure level for regimen.service: 1." in told


def test_a_reload_takes_up_other_rules_and_keeps_the_position(machine: Machine) -> None:
    before, process = held(machine), pid(machine)
    machine.write(f"{ETC}/demo_config.yaml", yaml.safe_dump(RULES | {"name": "OTHER"}))
    machine.run("systemctl", "reload", SERVICE)
    assert machine.status()["rules"] == "OTHER"
    assert (held(machine), pid(machine)) == (before, process)
    machine.until(lambda: machine.show(SERVICE, "ActiveState") == "active", "running again")


def test_a_reload_that_cannot_be_done_fails_with_its_reason_and_changes_nothing(machine: Machine) -> None:
    whole = machine.read(f"{ETC}/daemon.yaml")
    machine.write(f"{ETC}/daemon.yaml", whole.replace("[BTCUSDT]", "[ETHUSDT]").replace("protect", "flatten"))
    try:
        with pytest.raises(Failed):
            machine.run("systemctl", "reload", SERVICE)
        assert "symbols: cannot change while the daemon runs" in machine.journal(SERVICE)
        assert machine.show(SERVICE, "ActiveState") == "active"
    finally:
        machine.write(f"{ETC}/daemon.yaml", whole)
    machine.run("systemctl", "reload", SERVICE)


def test_credentials_are_the_services_alone(machine: Machine) -> None:
    place = f"/run/credentials/{SERVICE}/REGIMEN_ALERT_URL"
    assert machine.read(place) == SECRET  # root may
    others = ("setpriv", "--reuid=nobody", "--regid=nogroup", "--clear-groups")
    for path in (place, f"{ETC}/credentials/ALERT_URL", f"{STATE}/journal.sqlite"):
        with pytest.raises(Failed, match="Permission denied"):
            machine.run(*others, "cat", path)
    assert SECRET not in machine.run("systemctl", "show", SERVICE)
    assert SECRET not in machine.read(f"/proc/{pid(machine)}/environ")


def test_an_operators_alert_and_doctor_have_the_credentials_too(machine: Machine) -> None:
    whole = machine.read(f"{ETC}/daemon.yaml")
    machine.write(f"{ETC}/daemon.yaml", whole.replace("urls: []", 'urls: ["env:REGIMEN_ALERT_URL"]'))
    try:
        for verb in ("alert", "doctor"):
            _, out, err = machine.tried("/opt/regimen/bin/regimen", verb)
            assert "is not set" not in out + err  # it was read, and is no address
            assert "alerts.urls" in out + err
            assert SECRET not in out + err
    finally:
        machine.write(f"{ETC}/daemon.yaml", whole)


def test_a_hung_loop_is_killed_and_comes_back_into_the_same_position(machine: Machine) -> None:
    before, process = held(machine), pid(machine)
    assert before[0]
    machine.run("kill", "-STOP", str(process))
    machine.until(lambda: pid(machine) not in (0, process), "another process")
    machine.until(lambda: machine.show(SERVICE, "ActiveState") == "active", "ready again", 120)
    assert held(machine) == before
    assert "Watchdog timeout" in machine.journal(SERVICE)
    position = machine.status()["positions"]
    assert [p["protected"] for p in position] == [True]
    turn(machine)
    assert int(machine.show(SERVICE, "NRestarts")) == 1


def test_it_stops_in_good_order_and_leaves_the_position_with_its_stop(machine: Machine) -> None:
    before = held(machine)
    machine.run("systemctl", "stop", SERVICE)
    assert machine.show(SERVICE, "Result") == "success"
    assert held(machine) == before
    assert before[1]
    machine.run("systemctl", "start", SERVICE, seconds=120)
    turn(machine)


def test_a_damaged_lifecycle_keeps_it_from_the_loop_and_not_from_its_position(machine: Machine) -> None:
    """What runs before it only tells: whether it can do without the file, the daemon decides."""
    book, before = f"{STATE}/lifecycle.sqlite", held(machine)
    assert before[1]
    machine.run("systemctl", "stop", SERVICE)
    machine.run("sh", "-c", f"mkdir /run/whole && mv {book}* /run/whole")
    machine.write(book, "no database\n", owner="regimen")
    try:
        machine.run("systemctl", "start", SERVICE, seconds=120)
        turn(machine)
        assert held(machine)[1] == before[1]
        off = machine.status()["loop_off"]
        assert "the loop is off" in off
        assert book in off
        assert f"warning: {book} cannot be read" in machine.journal(SERVICE)  # before the start
        machine.until(lambda: "the loop is off (no retraining" in machine.journal(SERVICE), "the alert")
        assert machine.read(book) == "no database\n"
        with pytest.raises(Failed, match="lifecycle"):
            machine.run("/opt/regimen/bin/regimen", "migrate")
    finally:
        machine.run("systemctl", "stop", SERVICE)
        machine.run("sh", "-c", f"rm -f {book}*; mv /run/whole/* {STATE}")
        machine.run("systemctl", "start", SERVICE, seconds=120)
    assert machine.status()["loop_off"] is None


def test_a_crash_loop_ends_and_is_told(machine: Machine) -> None:
    """Five starts in ten minutes; then it stays down, and the alert unit is started."""
    whole = machine.read(f"{ETC}/daemon.yaml")
    machine.run("systemctl", "stop", SERVICE)
    machine.drop_in(SERVICE, "[Service]\nExecStartPre=\nExecStart=\nExecStart=/bin/false\n", "crash")
    machine.run("systemctl", "reset-failed", SERVICE)
    try:
        machine.write(f"{ETC}/daemon.yaml", whole + "\nnonsense: true\n")  # which may be why it fails
        with pytest.raises(Failed):
            machine.run("systemctl", "start", SERVICE)
        machine.until(lambda: machine.show(SERVICE, "ActiveState") == "failed", "given up")
        assert machine.show(SERVICE, "NRestarts") == "5"
        alert = f"regimen-alert@{SERVICE}.service"
        machine.until(lambda: "nobody was told" in machine.journal(alert), "the alert unit's word")
        assert f"{SERVICE} failed for good (exit-code, 1)" in machine.journal(alert)
        assert "Start request repeated too quickly" in machine.journal(SERVICE)
    finally:
        machine.write(f"{ETC}/daemon.yaml", whole)
        machine.run("rm", "-f", f"/etc/systemd/system/{SERVICE}.d/crash.conf")
        machine.run("systemctl", "daemon-reload")
        machine.run("systemctl", "reset-failed", SERVICE)
        machine.run("systemctl", "start", SERVICE, seconds=120)


def test_a_job_that_waits_is_carried_out_in_a_slice_of_its_own(machine: Machine) -> None:
    """Not by the daemon and not below it: by its path unit, with none of the daemon's secrets."""
    seen = f"{STATE}/jobs/judging/seen"
    notes = f"{STATE}/jobs/judging/waiting"
    work = f"cat /proc/self/cgroup; ls /run/credentials; touch {STATE}/journal.sqlite; rm -r {notes}/*"
    machine.drop_in(
        "regimen-backtest.service",
        f"[Service]\nExecStart=\nExecStart=/bin/sh -c '{{ {work}; }} >{seen} 2>&1; sleep 300'\nUMask=0022\n",
    )
    machine.write(f"{notes}/20261124t155000-3f9a", "", owner="regimen")
    machine.until(lambda: "journal.sqlite" in machine.tried("cat", seen)[1], "the job under way")
    told = machine.read(seen)
    assert "/regimen.slice/regimen-work.slice/regimen-backtest.service" in told
    assert "cannot open directory '/run/credentials': Permission denied" in told
    assert "journal.sqlite': Read-only file system" in told
    job, daemon = int(machine.show("regimen-backtest.service", "MainPID")), pid(machine)
    assert machine.run("ps", "-o", "ppid=,cls=", "-p", str(job)).split() == ["1", "IDL"]
    assert machine.show("regimen-work.slice", "CPUWeight") == "20"
    machine.run("systemctl", "restart", SERVICE, seconds=120)
    assert pid(machine) != daemon
    assert int(machine.show("regimen-backtest.service", "MainPID")) == job
    machine.run("systemctl", "stop", "regimen-backtest.service")


def test_jobs_may_compile_which_the_daemon_may_not(machine: Machine) -> None:
    """The commands of both units as they are; then torch and numba under the hardening of the one that trains."""
    for unit in ("regimen-retrain.service", "regimen-backtest.service"):
        machine.run("rm", "-rf", f"/etc/systemd/system/{unit}.d")
    machine.run("systemctl", "daemon-reload")
    for unit in ("regimen-retrain.service", "regimen-backtest.service"):
        machine.run("systemctl", "start", unit, seconds=120)
    code = "import numba, torch; torch.nn.LSTM(2, 2)(torch.ones(3, 2)); print(numba.njit(lambda x: x + 1)(41))"
    machine.drop_in("regimen-retrain.service", f"[Service]\nExecStart=\nExecStart={PYTHON} -c '{code}'\n")
    machine.run("systemctl", "start", "regimen-retrain.service", seconds=120)
    assert "42" in machine.journal("regimen-retrain.service").splitlines()


def test_ssh_and_inference_work_under_the_daemons_hardening(machine: Machine) -> None:
    """A unit with every restriction of regimen.service: a real sshd, a real set, and a child that gives way."""
    if machine.tried("test", "-x", "/usr/sbin/sshd")[0]:
        pytest.skip("there is no /usr/sbin/sshd; install openssh-server")
    machine.run("mkdir", "-p", "/run/sshd", "/etc/ssh-test")
    for key in ("host", "client"):
        machine.run("ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", f"/etc/ssh-test/{key}")
    machine.write(
        "/etc/ssh-test/config",
        "Port 2222\nListenAddress 127.0.0.1\nHostKey /etc/ssh-test/host\nPidFile none\nUsePAM no\n"
        "PasswordAuthentication no\nStrictModes no\nAuthorizedKeysFile /etc/ssh-test/client.pub\n",
    )
    machine.run("cp", "/etc/ssh-test/client", f"{ETC}/credentials/SSH_KEY")
    machine.run("systemd-run", "--unit=sshd-test", "/usr/sbin/sshd", "-D", "-e", "-f", "/etc/ssh-test/config")
    known = "[127.0.0.1]:2222 " + machine.read("/etc/ssh-test/host.pub")
    machine.write("/etc/known_hosts_test", known)
    unit = machine.read(f"/etc/systemd/system/{SERVICE}")
    dropped = ("ExecStart", "ExecReload", "Watchdog", "Restart", "StartLimit", "OnFailure", "Type=")
    lines = [line for line in unit.splitlines() if not line.startswith(dropped)]
    probe = f"ExecStart={PYTHON} /opt/source/tests/systemd/probe.py {STATE}/models/starter /etc/known_hosts_test"
    lines.insert(lines.index("[Service]") + 1, f"Type=oneshot\nEnvironment=PYTHONPATH=/opt/source\n{probe}")
    machine.write("/etc/systemd/system/regimen-probe.service", "\n".join(lines))
    machine.run("systemctl", "daemon-reload")
    code, _, _ = machine.tried("systemctl", "start", "regimen-probe.service", seconds=120)
    told = machine.journal("regimen-probe.service")
    assert code == 0, told
    said = json.loads(next(line for line in told.splitlines() if line.startswith('{"ssh"')))
    assert said["ssh"] == "root"
    assert said["writable_and_executable"] == "refused"
    assert 0 < said["p_long"] < 1
    assert said["child"] == "behind"


LATE = """\
import pathlib, time
print("here", flush=True)
while not pathlib.Path("/run/go").exists():
    time.sleep(0.05)
from daemon import version
print(version.NAME, flush=True)
"""


def test_an_upgrade_leaves_a_daemon_that_runs_its_own_version_until_it_is_restarted(machine: Machine) -> None:
    """Also what it has not imported yet, which a process in the same folder shows."""
    parts = (
        "Makefile pyproject.toml constraints.txt configs market models strategy training backtest daemon docs systemd"
    )
    machine.run("sh", "-c", f"mkdir /opt/next && cd /opt/source && cp -r {parts} /opt/next", seconds=120)

    def upgrade(name: str) -> str:
        machine.write("/opt/next/daemon/version.py", f"NAME = {name!r}\n")
        machine.write("/opt/next/daemon/late.py", LATE)
        machine.run("make", "-s", "-C", "/opt/next", "install", f"INTERPRETER={PYTHON}", seconds=120)
        return machine.run("readlink", "-f", "/opt/regimen/lib/regimen").strip()

    def folder() -> str:
        return machine.run("readlink", f"/proc/{pid(machine)}/cwd").strip()

    first = upgrade("first")
    machine.run("systemctl", "restart", SERVICE, seconds=120)
    assert folder() == first
    there = "--property=WorkingDirectory=/opt/regimen/lib/regimen"
    machine.run("systemd-run", "--unit=late", there, PYTHON, "-m", "daemon.late")
    machine.until(lambda: "here" in machine.journal("late").splitlines(), "a process of the first version")
    assert upgrade("second") != first
    third = upgrade("third")  # and the first, which is run, is not removed as too old
    assert folder() == first
    machine.write("/run/go", "")
    machine.until(lambda: "first" in machine.journal("late").splitlines(), "its own version imported")
    turn(machine)
    machine.run("systemctl", "restart", SERVICE, seconds=120)
    assert folder() == third
    turn(machine)
    upgrade("third")
    assert machine.tried("test", "-e", first)[0]  # nobody runs it any more


def test_libraries_are_not_changed_under_a_daemon_that_runs(machine: Machine) -> None:
    before = machine.run("readlink", "/opt/regimen/lib/regimen")
    with pytest.raises(Failed, match=r"wants other libraries, and regimen.service runs with those .*; stop it first"):
        machine.run("make", "-s", "-C", "/opt/source", "install", "EXTRAS=cpu,train")
    assert machine.run("readlink", "/opt/regimen/lib/regimen") == before
    assert machine.regimen("status")["phase"] == "trading"


def test_nothing_is_changed_under_a_job_that_runs(machine: Machine) -> None:
    """A job is one command: for systemd it is activating for as long as it runs, and never active."""
    job = "regimen-backtest.service"
    machine.drop_in(job, "[Service]\nExecStart=\nExecStart=sleep infinity\n")
    machine.run("systemctl", "stop", SERVICE)
    machine.run("systemctl", "start", "--no-block", job)
    try:
        machine.until(lambda: machine.show(job, "MainPID") != "0", "the job under way")
        for what in (("install", "EXTRAS=cpu,train"), ("uninstall",)):
            with pytest.raises(Failed, match=rf"{job} (is running|runs) .*\(activating\); stop it first"):
                machine.run("make", "-s", "-C", "/opt/source", *what)
        assert machine.show(job, "ActiveState") == "activating"
    finally:
        machine.run("systemctl", "stop", job)
        machine.run("rm", "-r", f"/etc/systemd/system/{job}.d")
        machine.run("systemctl", "daemon-reload")
        machine.run("systemctl", "start", SERVICE, seconds=120)


def test_it_is_taken_out_again_and_leaves_what_is_the_operators(tmp_path: Path, machine: Machine) -> None:
    """Last: nothing is left to test after it."""
    with pytest.raises(Failed, match="stop it first"):
        machine.run("make", "-s", "-C", "/opt/source", "uninstall")
    machine.run("systemctl", "stop", SERVICE)
    assert "stay" in machine.run("make", "-s", "-C", "/opt/source", "uninstall")
    assert machine.tried("systemctl", "cat", SERVICE)[0]
    assert "journal.sqlite" in machine.run("ls", STATE)
    assert "daemon.yaml" in machine.run("ls", ETC)
