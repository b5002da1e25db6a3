"""The journal: what happened, what was intended before it was done, what was decided and why. One SQLite file.

From the bottom up: `schema` is the file, `steps` turns a step into rows, `journal` takes steps in and reads them back.
A thread of its own does the writing, so that a slow disk or a locked file never holds up the daemon's loop.
"""

from daemon.journal.journal import Journal
from daemon.journal.schema import FILE, JournalError
from daemon.journal.steps import HARMLESS

__all__ = ["FILE", "HARMLESS", "Journal", "JournalError"]
