"""The probabilities ask for a side, or for the end of a position."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from strategy import regime, signals

PPB = signals.PPB
probabilities = st.integers(0, PPB)


def wanted(p_long: float, p_short: float, long: float = 0.55, short: float = 0.55, edge: float = 0.02) -> int:
    return signals.side_wanted(*(round(x * PPB) for x in (p_long, p_short, long, short, edge)))


def test_a_side_is_wanted_when_it_passes_its_threshold_and_leads_by_the_edge() -> None:
    assert wanted(0.56, 0.40) == 1
    assert wanted(0.40, 0.56) == -1
    assert wanted(0.55, 0.53) == 1, "reaching the threshold and the edge is enough"


def test_neither_side_is_wanted_below_its_threshold() -> None:
    assert wanted(0.5499, 0.10) == 0
    assert wanted(0.10, 0.5499) == 0


def test_one_minus_the_other_is_not_a_signal() -> None:
    assert wanted(0.10, 0.30) == 0, "a small P(long profitable) is quiet, not short"


def test_both_sides_probable_without_a_lead_is_volatility_and_no_signal() -> None:
    assert wanted(0.60, 0.59) == 0
    assert signals.lacks_edge(*(round(x * PPB) for x in (0.60, 0.59, 0.55, 0.55, 0.02)))
    assert wanted(0.60, 0.60, edge=0.0) == 0, "a tie is no lead, whatever the edge"


def test_the_leader_wins_when_both_pass() -> None:
    assert wanted(0.60, 0.57) == 1
    assert wanted(0.57, 0.60) == -1


@given(probabilities, probabilities, probabilities, probabilities, probabilities)
def test_sides_are_mirror_images(p: int, q: int, long: int, short: int, edge: int) -> None:
    assert signals.side_wanted(p, q, long, short, edge) == -signals.side_wanted(q, p, short, long, edge)


@given(probabilities, probabilities, probabilities, probabilities, probabilities)
def test_a_wanted_side_always_passes_its_threshold_and_leads(p: int, q: int, long: int, short: int, edge: int) -> None:
    side = signals.side_wanted(p, q, long, short, edge)
    if side == 1:
        assert p >= long
        assert p - q >= edge
    if side == -1:
        assert q >= short
        assert q - p >= edge
    assert not (side and signals.lacks_edge(p, q, long, short, edge))


def test_the_signal_is_gone_below_the_held_sides_own_exit_threshold() -> None:
    assert signals.signal_gone(1, 47, 90, 48, 48)
    assert not signals.signal_gone(1, 48, 90, 48, 48), "the other side's probability does not matter"
    assert signals.signal_gone(-1, 90, 47, 48, 48)
    assert not signals.signal_gone(-1, 10, 48, 48, 48)


def test_time_is_up_at_the_close_of_the_last_allowed_candle() -> None:
    hour = 3_600_000
    assert signals.time_up(bar=0, bar_ms=hour, entry_bar=0, max_hold_bars=1)
    assert not signals.time_up(bar=0, bar_ms=hour, entry_bar=0, max_hold_bars=2)
    assert signals.time_up(bar=11 * hour, bar_ms=hour, entry_bar=0, max_hold_bars=12)
    assert not signals.time_up(bar=10 * hour, bar_ms=hour, entry_bar=0, max_hold_bars=12)


def test_a_missing_probability_is_missing_and_never_zero() -> None:
    assert signals.probability(float("nan")) == -1
    assert signals.probability(1.2) == -1
    assert signals.probability(-0.1) == -1
    assert signals.probability(0.0) == 0


def test_a_probability_is_rounded_to_1e_9_before_a_threshold() -> None:
    assert signals.probability(0.55 - 1e-12) == signals.probability(0.55) == 550_000_000


def settle_all(observations: list[int], confirm: int = 2) -> list[int]:
    state, forces = (regime.NONE, regime.NONE, 0), []
    for observed in observations:
        state = regime.settle(*state, observed, confirm)
        forces.append(state[0])
    return forces


def test_a_regime_comes_into_force_after_two_candles_in_a_row() -> None:
    assert settle_all([0, 0, 2, 2, 1, 1]) == [-1, 0, 0, 2, 2, 1]


def test_one_odd_candle_changes_nothing() -> None:
    assert settle_all([0, 0, 2, 0, 2, 0, 1, 2, 1]) == [-1, 0, 0, 0, 0, 0, 0, 0, 0]


def test_the_first_regime_also_needs_two_sightings() -> None:
    assert settle_all([0, 1, 2, 2]) == [-1, -1, -1, 2]


def test_a_candle_without_a_word_breaks_the_row() -> None:
    assert settle_all([0, 0, 2, -1, 2, 2]) == [-1, 0, 0, 0, 0, 2]


@given(st.lists(st.integers(-1, 2), max_size=60), st.integers(1, 4))
def test_a_regime_in_force_was_always_seen_so_often_in_a_row(observations: list[int], confirm: int) -> None:
    forces = settle_all(observations, confirm)
    for i, now in enumerate(forces):
        if now != (forces[i - 1] if i else -1):
            assert observations[i + 1 - confirm : i + 1] == [now] * confirm
