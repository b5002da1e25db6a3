"""The ladder: up after so many looks in a row, down likewise, and never by one look alone."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from daemon.drift.ladder import Ladder
from daemon.events import DriftLevel


def after(looks: str, top: DriftLevel = DriftLevel.RETRAIN) -> DriftLevel:
    """Where so many looks lead, 3 up and 4 down: x beyond a limit, . within."""
    ladder = Ladder()
    for look in looks:
        ladder = ladder.look(look == "x", 3, 4, top)
    return ladder.level


def test_it_climbs_a_step_for_each_row_of_looks() -> None:
    assert [after("x" * n) for n in (2, 3, 6, 9, 30)] == [
        DriftLevel.NONE, DriftLevel.SHRINK, DriftLevel.STOP, DriftLevel.RETRAIN, DriftLevel.RETRAIN,
    ]  # fmt: skip


def test_a_look_within_begins_the_row_anew() -> None:
    assert after("xx.xx.xx") is DriftLevel.NONE


def test_it_comes_down_as_slowly() -> None:
    assert [after("x" * 6 + "." * n) for n in (3, 4, 8)] == [DriftLevel.STOP, DriftLevel.SHRINK, DriftLevel.NONE]
    assert after("xxx...x....") is DriftLevel.NONE


def test_where_nobody_trains_it_ends_at_the_stop() -> None:
    assert after("x" * 30, DriftLevel.STOP) is DriftLevel.STOP


@given(st.text("x.", max_size=200))
def test_it_moves_by_one_step_at_a_time(looks: str) -> None:
    ladder = Ladder()
    for look in looks:
        before, ladder = ladder, ladder.look(look == "x", 3, 4)
        assert abs(ladder.level.rank - before.level.rank) <= 1
        assert ladder.level.rank <= before.level.rank or look == "x"
