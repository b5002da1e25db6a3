"""The section `retraining` of a daemon's configuration: when, where and on what new sets are trained."""

from __future__ import annotations

from daemon.section import Section


class Retraining(Section):
    """When, where and on what new sets are trained; without the section none are."""
