"""The launcher: imports the daemon once, and forks a process for each life (`python -m tests.crash.launcher`).

Importing takes seconds and a life in this harness about as long, so a fork pays for five hundred of them. It reads one
JSON object a line: ``{"config": path, "log": path, "crossed": path, "plan": {...} or null}``, and tells of each life's
`pid`, of the point that ended it (`struck`), and of its `ended`. When its standard input closes it ends what it forked.
"""

from __future__ import annotations

import gc
import json
import os
import selectors
import signal
import sys
from pathlib import Path
from typing import Any

import lightgbm  # noqa: F401  (imported once, for every fork)
import onnxruntime  # noqa: F401

from daemon.config import load_config
from daemon.runner import Ended, run_daemon
from tests.crash.points import Plan, Points, line, wrap_seams


def main() -> None:
    """Serve until standard input closes."""
    gc.collect()
    gc.freeze()  # what is shared by all lives is not copied by a collection in one of them
    tell = os.dup(1)
    os.set_blocking(0, False)
    lives: dict[int, int] = {}
    os.write(tell, line({"ready": os.getpid()}))
    unread = b""
    with selectors.DefaultSelector() as waits:
        waits.register(0, selectors.EVENT_READ)
        while True:
            for key, _ in waits.select():
                if key.fd in lives:
                    waits.unregister(key.fd)
                    _bury(tell, key.fd, lives.pop(key.fd))
                    continue
                more = os.read(0, 65_536)
                if not more:
                    for handle, pid in lives.items():
                        os.kill(pid, signal.SIGKILL)
                        _bury(tell, handle, pid)
                    return
                *asked, unread = (unread + more).split(b"\n")
                for text in asked:
                    pid = _fork(tell, json.loads(text))
                    handle = os.pidfd_open(pid)
                    lives[handle] = pid
                    waits.register(handle, selectors.EVENT_READ)


def _bury(tell: int, handle: int, pid: int) -> None:
    _, status = os.waitpid(pid, 0)
    os.close(handle)
    os.write(tell, line({"ended": pid, "code": os.waitstatus_to_exitcode(status)}))


def _fork(tell: int, asked: dict[str, Any]) -> int:
    pid = os.fork()
    if pid:
        os.write(tell, line({"pid": pid}))
        return pid
    code = 1
    try:
        code = _live(tell, asked)
    except BaseException:
        sys.excepthook(*sys.exc_info())
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)


def _live(tell: int, asked: dict[str, Any]) -> int:
    log = os.open(asked["log"], os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    nothing = os.open(os.devnull, os.O_RDONLY)
    for old, new in ((nothing, 0), (log, 1), (log, 2)):
        os.dup2(old, new)

    def told(message: dict[str, Any]) -> None:
        if "crossed" in message:
            Path(asked["crossed"]).write_text(json.dumps(message.pop("crossed")))
        os.write(tell, line(message | {"pid": os.getpid()}))

    points = Points(Plan(**asked["plan"]) if asked["plan"] else None, told)
    wrap_seams(points)
    try:
        return run_daemon(load_config(Path(asked["config"])), None, True)
    except Ended as ended:
        print(ended, file=sys.stderr)  # noqa: T201 (this process's log)
        return ended.exit_code
    finally:
        told({"rested": True, "crossed": dict(points.crossed)})


if __name__ == "__main__":
    main()
