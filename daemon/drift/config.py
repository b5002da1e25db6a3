"""The section `drift` of a daemon's configuration: what is looked at, and what is done about it."""

from __future__ import annotations

from daemon.section import Section


class Drift(Section):
    """What is looked at for drift."""
