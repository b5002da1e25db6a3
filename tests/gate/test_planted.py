"""The gate on planted sets: each gets the right verdict for the right reason; `make gate SEEDS=20` tries many."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from backtest.gate.judgement import judge
from backtest.gate.told import keep, stored
from backtest.verdict import NOT_ENOUGH, PROMOTE, REFUSE, Says, Verdict
from models import promotion, verdicts
from models.manifest import utc_ms
from models.modelset import CHAMPION, pointed
from models.promotion import PromotionRefused
from tests.gate.planted import KINDS, good, judged, modest
from tests.gate.worlds import BARS, World, terms, thresholds

SEEDS = (1, 4)
"""Markets on which none of the misses that `docs/gate.md` counts falls: on others chance refuses an honest set."""


@pytest.mark.slow
@pytest.mark.parametrize("seed", SEEDS)
def test_every_planted_set_gets_the_right_verdict_for_the_right_reason(seed: int, tmp_path: Path) -> None:
    world = World(seed, tmp_path)
    wrong = []
    for kind in KINDS:
        found = judged(world, kind)
        if not found.right:
            wrong.append(f"{kind.name}: code {found.verdict.code}, {found.reason or 'nothing against it'}")
    assert not wrong, "; ".join(wrong)
    if seed == SEEDS[0]:
        _evidence_that_is_short_keeps_the_champion(world)
        _a_verdict_promotes_its_own_hashes_alone(world)


def _evidence_that_is_short_keeps_the_champion(world: World) -> None:
    ours, theirs = good(world), modest(world)
    early = world.candles[: BARS - 3_200]  # two weeks into the test slice: few days are unseen, and the record is cut
    verdict = judge(ours, theirs, replace(world.market, base=early, candles=early), terms(), thresholds())
    unclear = names(verdict, Says.UNCLEAR)
    assert "sufficiency/judge_days" in unclear
    assert "sufficiency/record/challenger" in unclear
    assert verdict.code != PROMOTE
    config = thresholds().config
    more = config.model_copy(update={"sufficiency": config.sufficiency.model_copy(update={"rows": 100_000})})
    verdict = judge(ours, theirs, world.market, terms(more), thresholds())
    assert (verdict.code, names(verdict, Says.UNCLEAR)) == (NOT_ENOUGH, ["sufficiency/rows"])
    other = World(world.seed + 50, world.folder).market
    refused = judge(ours, theirs, other, terms(), thresholds())
    assert refused.code == REFUSE
    assert "integrity/record/challenger" in names(refused, Says.FAIL), "a record speaks of its own market alone"


def _a_verdict_promotes_its_own_hashes_alone(world: World) -> None:
    ours = good(world)
    root = ours.path.parent.parent
    verdict = judge(ours, None, world.market, terms(), thresholds())
    assert verdict.code == PROMOTE
    file = keep(verdict, root)
    assert verdicts.read(ours.id, root / "sets") == stored(verdict, _made(file))
    for name in ("data_sha256", "rules_sha256", "gate_sha256", "costs", "trials", "judged_from", "unseen_from"):
        assert verdict.identity[name] is not None
    with pytest.raises(PromotionRefused, match="expired"):
        promotion.promote(ours, root / "sets", now_ms=utc_ms(ours.manifest.expires) + 1000)
    assert pointed(CHAMPION, root / "sets") is None
    in_time = utc_ms(ours.manifest.expires) - 1000
    keep(verdict, root, in_time - 1000)
    made = promotion.promote(ours, root / "sets", now_ms=in_time)
    assert (made.by, pointed(CHAMPION, root / "sets")) == ("verdict", ours.id)


def _made(file: Path) -> int:
    told = verdicts.StoredVerdict.model_validate_json(file.read_bytes())
    return utc_ms(told.made)


def names(verdict: Verdict, says: Says) -> list[str]:
    """Names of the gates that say so."""
    return [gate.name for gate in verdict.gates if gate.says is says]
