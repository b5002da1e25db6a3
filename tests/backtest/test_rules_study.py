"""The study of the regime rules, on the synthetic market with its planted signal: same signals, other terms."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from backtest import significance
from backtest.__main__ import main
from backtest.broker import Costs
from backtest.rules_study import gaps, neutral, signals, study
from backtest.rules_study.accounts import Player, returns, together
from backtest.rules_study.measured import figures
from backtest.rules_study.variants import (
    FIXED,
    HALTS,
    LEVERAGE,
    MATCHED,
    OFF,
    REGIME,
    STOP,
    VARIANTS,
    under,
    variant,
)
from backtest.sources import Series
from market import catalogue, history, synthetic
from market.instruments import CASH
from market.timeframes import Timeframe
from strategy.live_config import NO_HALTS, LiveConfig

STARTER_BARS, STARTER_SEED = 30_000, 7
"""The market that the starter set recorded its walk-forward answers on (configs/training/starter.yaml)."""
RULES = under(OFF, LiveConfig(halts=NO_HALTS).rules())
WALLET = 10_000 * CASH


@pytest.fixture(scope="session")
def market() -> Series:
    candles, funding = synthetic.generate(
        "BTCUSDT", bars=STARTER_BARS, timeframe=Timeframe.parse("1h"), seed=STARTER_SEED, signal=0.5
    )
    return Series(catalogue.instrument("BTCUSDT"), candles, funding)


@pytest.fixture(scope="session")
def klines(market: Series, tmp_path_factory: pytest.TempPathFactory) -> tuple[str, ...]:
    folder = tmp_path_factory.mktemp("history")
    assert market.funding is not None
    history.write(market.base, folder / "BTCUSDT-1h.parquet")
    history.write(market.funding, folder / "funding.parquet")
    return "--data", str(folder / "BTCUSDT-1h.parquet"), "--funding", str(folder / "funding.parquet")


@pytest.fixture(scope="session")
def player(market: Series) -> Player:
    told = signals.recorded(signals.load("starter"), market, None, None)
    return Player.of(told, Costs(), WALLET)


@pytest.fixture(scope="session")
def main_case(player: Player) -> study.Case:
    return study.case([player], [RULES], study.FILE, OFF, block=7, draws=200)


def answer(capsys: pytest.CaptureFixture[str], *asked: str) -> dict[str, Any]:
    main(["rules", *asked, "--json"])
    said = json.loads(capsys.readouterr().out)
    assert isinstance(said, dict)
    return said


def code_of(*asked: str) -> int:
    with pytest.raises(SystemExit) as stop:
        main(["rules", *asked])
    assert isinstance(stop.value.code, int)
    return stop.value.code


def test_variants_differ_in_leverage_and_stop_alone() -> None:
    assert variant(REGIME, RULES) == RULES
    assert (variant(FIXED, RULES).leverage, variant(FIXED, RULES).stop_bps) == ((5, 5, 5), (300, 300, 300))
    assert (variant(LEVERAGE, RULES).leverage, variant(LEVERAGE, RULES).stop_bps) == ((10, 5, 2), (300, 300, 300))
    assert (variant(STOP, RULES).leverage, variant(STOP, RULES).stop_bps) == ((5, 5, 5), (200, 300, 500))


def test_where_all_regimes_have_the_same_terms_all_variants_are_the_same_account(player: Player) -> None:
    flat = variant(FIXED, RULES)
    case = study.case([player], [flat], study.FILE, OFF, block=7, draws=100)
    accounts = case.accounts["BTCUSDT"]
    assert accounts[FIXED].trades > 100
    for name in VARIANTS:
        assert np.array_equal(accounts[name].equity, accounts[FIXED].equity), name


def test_the_same_signals_enter_at_the_same_candles_where_only_leverage_differs(main_case: study.Case) -> None:
    accounts = main_case.accounts["BTCUSDT"]
    assert accounts[LEVERAGE].entries == accounts[FIXED].entries == accounts[MATCHED].entries
    assert accounts[LEVERAGE].mean_leverage != accounts[FIXED].mean_leverage == 5
    assert accounts[STOP].entries != accounts[FIXED].entries, "a wider stop leaves a position that a near one ends"


def test_matched_has_the_exposure_of_the_rules_by_regime(player: Player, main_case: study.Case) -> None:
    careful = replace(RULES, leverage=(4, 5, 1))
    accounts = study.case([player], [careful], study.FILE, OFF, block=7, draws=100).accounts["BTCUSDT"]
    assert accounts[FIXED].exposure > 1.1 * accounts[REGIME].exposure
    for each in (accounts, main_case.accounts["BTCUSDT"]):
        assert each[MATCHED].exposure == pytest.approx(each[REGIME].exposure, rel=0.005)
    (terms,) = main_case.rules[MATCHED]
    assert (terms.leverage, terms.stop_bps) == ((5, 5, 5), (300, 300, 300))


def test_a_variant_against_itself_differs_by_exactly_nothing(main_case: study.Case) -> None:
    own = main_case.figures["BTCUSDT"][REGIME]
    found = own.against(own)
    assert (found.sharpe.value, found.sharpe.low, found.sharpe.high) == (0.0, 0.0, 0.0)
    assert (found.drawdown.value, found.drawdown.low, found.drawdown.high) == (0.0, 0.0, 0.0)
    assert found.above == 0.0


def test_figures_are_those_of_the_room_of_significance(main_case: study.Case) -> None:
    daily = {name: a.daily for name, a in main_case.accounts["BTCUSDT"].items()}
    ours = main_case.figures["BTCUSDT"]
    theirs = significance.sharpe_interval(daily[REGIME], block=7, draws=200)
    assert ours[REGIME].sharpe.interval() == theirs
    paired = significance.paired_difference(daily[REGIME], daily[FIXED], block=7, draws=200)
    assert ours[REGIME].against(ours[FIXED]).sharpe == paired


def test_an_aim_is_reached_only_by_a_sharpe_ratio_that_is_there() -> None:
    random = np.random.default_rng(0)
    noise = random.normal(0, 0.01, 500)
    found = figures({"good": noise + 0.004, "fair": noise + 0.002, "bad": noise - 0.002, "worse": noise - 0.004})
    better = found["good"].against(found["fair"])
    assert better.beyond_aim.low > 0
    assert better.aim_reached > 0.99
    assert better.relative is not None
    assert better.relative > 0.5
    assert better.relative_interval is not None
    less_bad = found["bad"].against(found["worse"])
    assert less_bad.sharpe.low > 0
    assert less_bad.relative is None
    assert less_bad.relative_interval is None
    assert less_bad.aim_reached == 0.0


def test_variants_of_other_days_are_not_compared() -> None:
    with pytest.raises(ValueError, match="cannot be paired"):
        figures({"a": np.zeros(10), "b": np.zeros(11)})


def test_days_that_nothing_was_foretold_on_are_left_out(main_case: study.Case, player: Player) -> None:
    account = main_case.accounts["BTCUSDT"][FIXED]
    record = player.signals.frame.predictions.open_time
    hole = int(np.argmax(np.diff(record)))
    middle = int(record[hole] + record[hole + 1]) // 2 // 86_400_000
    assert not account.judged[account.days == middle].any()
    assert len(account.daily) < len(account.equity)
    idle = returns(account.equity, account.start)[~account.judged]
    assert not idle.any(), "nothing may happen on a day that is not counted"


def test_accounts_side_by_side_add_up(main_case: study.Case) -> None:
    one, two = (main_case.accounts["BTCUSDT"][name] for name in (REGIME, FIXED))
    both = together([one, two])
    assert np.array_equal(both.equity, one.equity + two.equity)
    assert both.trades == one.trades + two.trades
    assert both.exposure == pytest.approx((one.exposure + two.exposure) / 2)
    assert both.time_in_market == pytest.approx((one.time_in_market + two.time_in_market) / 2)


def test_random_entries_are_as_many_and_know_nothing(player: Player, main_case: study.Case) -> None:
    like = main_case.accounts["BTCUSDT"][FIXED]
    told = neutral.entries(player, like, RULES, neutral.DRAWN, seed=1)
    entered = (told.p_long == 1).sum() + (told.p_short == 1).sum()
    assert entered == like.trades
    played = neutral.replace_signals(player, told).play(variant(FIXED, RULES))
    assert played.trades == pytest.approx(like.trades, rel=0.05)
    assert played.time_in_market == pytest.approx(like.time_in_market, rel=0.15)
    again = neutral.entries(player, like, RULES, neutral.DRAWN, seed=1)
    assert np.array_equal(told.p_long, again.p_long)
    assert (neutral.entries(player, like, RULES, neutral.LONG, seed=1).p_short == 0).all()


def test_gaps_liquidate_more_the_higher_the_leverage(player: Player, main_case: study.Case) -> None:
    terms = {name: main_case.rules[name] for name in (LEVERAGE, FIXED)}
    found = gaps.play([player], terms, seeds=3)
    assert found[0.06][LEVERAGE].liquidations == found[0.06][FIXED].liquidations == 0
    assert found[0.12][LEVERAGE].liquidations > found[0.12][FIXED].liquidations == 0
    assert found[0.25][FIXED].liquidations > 0


def test_gaps_leave_the_prices_within_a_bar_in_order_and_come_back(market: Series) -> None:
    cut = gaps.splice(market.base, market.instrument, 0.12, seed=2)
    assert (cut.low <= np.minimum(cut.open, cut.close)).all()
    assert (cut.high >= np.maximum(cut.open, cut.close)).all()
    factor = cut.close / market.base.close
    assert len(np.unique(np.round(factor, 3))) == 2


def test_json_holds_every_case_account_and_variant(klines: tuple[str, ...], capsys: pytest.CaptureFixture[str]) -> None:
    said = answer(capsys, "--model-set", "starter", *klines, "--draws", "100", "--seeds", "2", "--gap-seeds", "1")
    assert [(c["thresholds"], c["halts"]) for c in said["cases"]] == [
        (source, halts) for source in (study.FILE, study.OWN) for halts in HALTS
    ]
    for case in said["cases"]:
        accounts = case["accounts"]["BTCUSDT"]
        assert list(accounts) == list(VARIANTS)
        for name, account in accounts.items():
            assert account["sharpe"]["low"] <= account["sharpe"]["value"] <= account["sharpe"]["high"]
            assert account["against"][FIXED].keys() == account["against"][MATCHED].keys()
            assert case["terms"][name][0]["margin_bps"] > 0
        assert accounts[FIXED]["against"][FIXED]["sharpe"] == {"value": 0, "low": 0, "high": 0}
        groups = accounts[FIXED]["by_regime"].values()
        assert sum(g["trades"] for g in groups) == accounts[FIXED]["trades"]
    assert said["aim"] == 1.2
    assert said["block_days"] == 7
    assert said["model_sets"][0]["symbol"] == "BTCUSDT"
    assert len(said["neutral"]["kinds"]) == 2 * len(neutral.KINDS)
    assert [s["size"] for s in said["gaps"]["sizes"]] == list(gaps.SIZES)


def test_tables_and_picture(klines: tuple[str, ...], tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "equity.svg"
    quick = ("--draws", "100", "--seeds", "0", "--gap-seeds", "0", "--svg", str(file))
    main(["rules", "--model-set", "starter", *klines, *quick])
    printed = capsys.readouterr().out
    assert "less fixed" in printed
    assert "the aim is reached in" in printed
    drawn = file.read_text()
    assert drawn.startswith("<svg xmlns=")
    assert drawn.count('class="line"') == len(VARIANTS)
    assert len(drawn) < 60_000


def test_a_record_of_other_candles_is_refused(
    klines: tuple[str, ...], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    candles, _ = synthetic.generate("BTCUSDT", bars=STARTER_BARS, timeframe=Timeframe.parse("1h"), seed=8)
    history.write(candles, tmp_path / "BTCUSDT-1h.parquet")
    history.write(candles, tmp_path / "ETHUSDT-1h.parquet")
    assert code_of("--model-set", "starter", "--data", str(tmp_path / "BTCUSDT-1h.parquet")) == 7
    assert "give the file the set was trained on" in capsys.readouterr().err
    assert code_of("--model-set", "starter", "--data", str(tmp_path / "ETHUSDT-1h.parquet")) == 7
    assert "recorded BTCUSDT, not ETHUSDT" in capsys.readouterr().err
    assert code_of("--model-set", "starter", *klines, "--unseen") == 7
    assert "has seen nothing" in capsys.readouterr().err
    assert code_of("--model-set", "starter") == 2


def test_unseen_candles_are_predicted_by_the_set_itself(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for part, file in zip(
        synthetic.generate("BTCUSDT", bars=STARTER_BARS + 1_500, timeframe=Timeframe.parse("1h"), seed=STARTER_SEED),
        (tmp_path / "BTCUSDT-1h.parquet", tmp_path / "funding.parquet"),
        strict=True,
    ):
        history.write(part, file)
    files = ("--data", str(tmp_path / "BTCUSDT-1h.parquet"), "--funding", str(tmp_path / "funding.parquet"))
    quick = ("--draws", "100", "--seeds", "0", "--gap-seeds", "0")
    said = answer(capsys, "--model-set", "starter", *files, "--unseen", *quick)
    assert said["signals"] == "unseen candles"
    assert 1_400 < said["model_sets"][0]["candles"] <= 1_501
    assert said["cases"][0]["accounts"]["BTCUSDT"][REGIME]["trades"] > 0
