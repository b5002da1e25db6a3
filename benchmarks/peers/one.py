"""One engine, one frame, one process: ``python -m benchmarks.peers.one ENGINE FRAME.npz ANSWER.json``.

The answer goes to a file, since some engines print. The packages an engine needs are imported here and nowhere else.
"""

from __future__ import annotations

import json
import sys
from importlib import import_module
from pathlib import Path

from benchmarks.peers.engines import ENGINES
from benchmarks.peers.frame import Frame


def main(name: str, frame: str, answer: str) -> None:
    """Measure the engine `name` on the saved frame."""
    engine = ENGINES[name]
    module = import_module(f"benchmarks.peers.engines.{engine.module}")
    measured = getattr(module, engine.function)(Frame.load(Path(frame)))
    Path(answer).write_text(json.dumps(measured.written()))


if __name__ == "__main__":
    main(*sys.argv[1:])
