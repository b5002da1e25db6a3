"""The section `swapping` of the configuration: how long a new set is shadowed and watched, and by what limits."""

from __future__ import annotations

from daemon.section import Section


class Swapping(Section):
    """How a new set comes into service."""
