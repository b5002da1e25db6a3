"""Every way of saying no is explained, and the document says what the code says."""

from __future__ import annotations

import re
from collections.abc import Mapping
from enum import Enum

import pytest

from daemon import refusals
from daemon.approval import Denial
from daemon.events import Meaning
from daemon.refusals import Note
from market.exchange.refusals import Code
from strategy.plan import Reason


@pytest.mark.parametrize(
    ("members", "notes"),
    [
        (Reason, refusals.REASONS),
        (Denial, refusals.DENIALS),
        (Meaning, refusals.MEANINGS),
        (Code, refusals.CODES),
    ],
)
def test_every_member_is_explained(members: type[Enum], notes: Mapping[Enum, Note]) -> None:
    missing = set(members) - set(notes)
    assert not missing, f"say what it means and what to do, in daemon/refusals.py: {missing}"


def test_the_document_is_current() -> None:
    assert refusals.current(), "run `python -m daemon schema`"


def test_the_document_names_every_code_once_and_no_table_is_broken() -> None:
    text = refusals.document()
    last = text.split("## Codes of the local exchange")[1]
    assert sorted(int(c) for c in re.findall(r"^\| (-\d+) \|", last, re.MULTILINE)) == sorted(int(c) for c in Code)
    for table in re.findall(r"(?:^\|.*\n)+", text, re.MULTILINE):
        widths = {len(re.findall(r"(?<!\\)\|", line)) for line in table.splitlines()}
        assert len(widths) == 1
