"""`python -m backtest job`: judging that was asked for by a folder."""

from __future__ import annotations

from models.jobs.command import group

job = group("backtest")
