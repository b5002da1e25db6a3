"""A GPU box in the machine, without the GPU: a user that owns nothing else, Debian's sshd, and this checkout."""

from __future__ import annotations

from pathlib import Path

from daemon.retraining.places import Ssh
from tests.systemd.machine import PYTHON, Machine

USER = "trainer"
LOGINS = {"with pam": (22, "yes"), "without pam": (2222, "no")}
"""How sshd logs in -> port and `UsePAM`. Without PAM nobody makes a session, nor XDG_RUNTIME_DIR."""
NEEDED = ("/usr/sbin/sshd", "/usr/bin/dbus-daemon", "/lib/systemd/system/user@.service")
PAM = "/usr/lib/*/security/pam_systemd.so"


def lacking(machine: Machine) -> str | None:
    """What of Debian's packages the box lacks, None if it has all."""
    missing = [path for path in NEEDED if machine.tried("test", "-e", path)[0]]
    if machine.tried("sh", "-c", f"ls {PAM}")[0]:
        missing.append("pam_systemd.so")
    told = "on Debian: apt-get install openssh-server dbus libpam-systemd"
    return f"{', '.join(missing)} missing; {told}" if missing else None


class GpuBox:
    """The box; `folder` is of this host, for keys.

    Attributes
    ----------
    jobs : str
        Folder of jobs there.
    uid : int
        The user's number there.
    """

    def __init__(self, machine: Machine, folder: Path) -> None:
        self.machine, self.jobs = machine, f"/home/{USER}/jobs for $5"
        machine.run("useradd", "--create-home", "--shell", "/bin/sh", "--password", "*", USER)
        self.uid = int(machine.run("id", "-u", USER))
        machine.run("mkdir", "-p", "/run/sshd", "/etc/ssh")
        machine.run("ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", "/etc/ssh/host")
        machine.run("ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", "/etc/ssh/client")
        machine.write(
            f"/home/{USER}/.ssh/authorized_keys", "restrict " + machine.read("/etc/ssh/client.pub"), 0o600, USER
        )
        machine.run("chown", USER, f"/home/{USER}/.ssh")
        self._key, self._known_hosts = folder / "key", folder / "known_hosts"
        self._key.touch(mode=0o600)
        self._key.write_text(machine.read("/etc/ssh/client"))
        host = machine.read("/etc/ssh/host.pub")
        self._known_hosts.write_text("".join(f"[127.0.0.1]:{port} {host}" for port, _ in LOGINS.values()))
        with self._known_hosts.open("a") as known:
            known.write(f"127.0.0.1 {host}")
        for port, pam in LOGINS.values():
            machine.write(
                f"/etc/ssh/config-{port}",
                f"Port {port}\nListenAddress 127.0.0.1\nHostKey /etc/ssh/host\nPidFile none\nUsePAM {pam}\n"
                "PasswordAuthentication no\nKbdInteractiveAuthentication no\nSubsystem sftp internal-sftp\n",
            )
            machine.run(
                "systemd-run", f"--unit=sshd-{port}", "--property=KillMode=process",
                "/usr/sbin/sshd", "-D", "-e", "-f", f"/etc/ssh/config-{port}",
            )  # fmt: skip
            told = f"sshd-{port}.service"
            machine.until(lambda told=told: "Server listening" in machine.journal(told), "sshd listening")  # type: ignore[misc]

    def ssh(self, login: str = "with pam") -> Ssh:
        """The section `retraining.ssh` that reaches it."""
        return Ssh(
            host="127.0.0.1", port=LOGINS[login][0], user=USER, key=self._key, known_hosts=self._known_hosts,
            checkout="/opt/source", python=PYTHON, jobs=self.jobs, poll_s=0.05,
        )  # fmt: skip

    def cut(self) -> int:
        """Kill every connection's own sshd, as a box does that loses its network; gives how many."""
        told = self.machine.tried("pgrep", "--euid", USER, "--exact", "sshd")[1].split()
        for pid in told:
            self.machine.tried("kill", "-KILL", pid)
        return len(told)

    def own(self, *command: str) -> str:
        """What `systemctl --user …` says to the user itself."""
        enter = ("setpriv", f"--reuid={self.uid}", "--regid=users", "--clear-groups")
        return self.machine.run(*enter, "env", f"XDG_RUNTIME_DIR=/run/user/{self.uid}", "systemctl", "--user", *command)

    def unit(self, run_id: str, name: str) -> str:
        """A property of a job's unit."""
        return self.own("show", "--property", name, "--value", f"regimen-{run_id}").strip()

    def processes(self, run_id: str) -> list[str]:
        """What runs of a job, by the numbers there: a line each."""
        told = self.machine.run("ps", "-eo", "pid=,args=")
        return [line for line in told.splitlines() if f"{self.jobs}/{run_id}/" in line + "/"]
