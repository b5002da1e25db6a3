"""The report: it holds what `evaluate` found, says plainly what there is not, and is the same every time."""

from __future__ import annotations

import numpy as np
import pytest

from models import evaluation, labels, metrics, walkforward
from models.evaluation import data as histories
from models.inference import Predictor
from models.manifest import utc_ms
from models.walkforward import TEST
from tests.training.quality.conftest import Made
from training.quality import page, plots
from training.quality.ablation import Ablation
from training.quality.figures import RULES, Figures, regime_rules
from training.quality.wording import SECTIONS, estimate, interval, number


@pytest.fixture(scope="module")
def written(of_small: Figures) -> str:
    return page.write(of_small, "python -m training quality …", ("auc",))


def section(text: str, title: str) -> str:
    """One section of the page."""
    return text.split(f"## {title}\n", 1)[1].split("\n## ", 1)[0]


def test_every_figure_of_the_evaluation_is_on_the_page(small: Made, written: str) -> None:
    predictor = Predictor.load(small.model_set)
    test = predictor.manifest.data.splits["test"]
    history = histories.read(predictor.manifest, small.data)
    told = evaluation.evaluate(predictor, history, utc_ms(test.start), utc_ms(test.end), draws=60)
    aucs, gaps = section(written, "AUC on the test slice"), section(written, "Out of fold against test")
    leads, line = section(written, "The stack's leads"), section(written, "Calibration")
    for name in SECTIONS:
        for h, entry in told[name].items():
            for member in ("stack", "average", "lightgbm", "lstm"):
                assert estimate(interval(entry[member], "auc", "ci")) in aucs
            for rival, found in entry["baselines"].items():
                assert estimate(interval(found, "auc", "ci")) in aucs
                lead = interval(entry["stack"]["lead"][rival], "value", "ci")
                assert estimate(lead, sign=True) in leads
            gap = told["oof_test_gap"][name][h]
            assert f"{estimate(interval(gap, 'gap', 'ci'), sign=True)} | {gap['says']}" in gaps
            if name != "direction":
                slope = interval(entry["stack"]["calibration"], "slope", "slope_ci")
                assert estimate(slope, 2) in line
    bins = told["profitable_long"]["5"]["stack"]["calibration"]["bins"]
    assert len(bins) > 3
    for n, each in enumerate(bins, 1):
        assert f"| long pays | {n} | {each['rows']} | {number(each['said'])} | {number(each['came'])} |" in line
    regime = section(written, "Volatility regime")
    for entry in (told["regime"], *told["regime"]["baselines"].values()):
        for what in ("accuracy", "kappa", "log_loss"):
            assert estimate(interval(entry, what, f"{what}_ci")) in regime


def test_it_names_the_set_its_data_its_hashes_and_every_look_at_the_test_slice(small: Made, written: str) -> None:
    manifest = small.model_set.manifest
    made = section(written, "What was judged")
    for part in (
        manifest.id,
        manifest.data.sha256,
        manifest.data.splits["test"].start,
        "seed 1",
        "1 ever in its store",
    ):
        assert part in made
    assert f"| training | small | `{manifest.id}` | 1 |" in made
    assert "| 1 when the set was made, that run included; 1 by the ledger now |" in made


def test_no_path_of_a_machine_is_on_it(small: Made, written: str) -> None:
    assert "--data BTC.parquet" in written
    assert "/far/" not in written
    assert small.data.rsplit("/", 1)[0] not in written


def test_what_the_set_has_not_has_no_row(written: str, of_zoo: Figures) -> None:
    aucs = section(written, "AUC on the test slice")
    for name in ("TFT", "Transformer", "15m LSTM", "distilled student"):
        assert f"| {name} |" not in aucs
        assert f"| {name} |" in section(page.write(of_zoo, "", ()), "AUC on the test slice")


def test_the_same_figures_give_the_same_bytes(small: Made, of_small: Figures, ablation: Ablation) -> None:
    again = small.figures(ablation)
    assert page.write(again, "x", ()) == page.write(of_small, "x", ())
    assert plots.draw(again) == plots.draw(of_small)


def test_the_record_agrees_with_the_evaluation(of_zoo: Figures) -> None:
    """The stack out of fold is `evaluate`'s own figure; on the test slice the record keeps three digits of a score."""
    for name in SECTIONS:
        for h in of_zoo.horizons:
            gap = of_zoo.told["oof_test_gap"][name][str(h)]
            pair = of_zoo.pairs[name][h]["stack"]
            assert pair.out_of_fold.value == pytest.approx(gap["oof"], abs=1e-8)
            assert pair.test.value == pytest.approx(gap["test"], abs=2e-3)
            for family in of_zoo.families:
                served = of_zoo.auc(name, h, family)
                assert served is not None
                assert of_zoo.pairs[name][h][family].test.value == pytest.approx(served.value, abs=2e-3)


def test_the_finer_lstm_is_judged_on_its_own_label(zoo: Made, of_zoo: Figures) -> None:
    record, finer = walkforward.read(zoo.model_set), zoo.bars.finer
    assert finer is not None
    close = dict(zip(finer.open_time.tolist(), finer.close.tolist(), strict=True))
    quarter = 900_000
    begins = record.open_time + 3 * quarter
    after = np.array([close.get(t + 3 * quarter, np.nan) for t in begins.tolist()])
    moved = after / np.array([close[t] for t in begins.tolist()]) - 1
    known = np.column_stack([*record.returns.values(), record.volatility, record.minus_24h_return])
    rows = (record.part == TEST) & np.isfinite(moved) & np.isfinite(known).all(axis=1)
    score = record.logits["lstm15m"]["5/long"]
    expected = metrics.auc((moved[rows] > labels.COST).astype(float), score[rows])
    assert of_zoo.finer["3/long"].value == pytest.approx(expected)
    assert set(of_zoo.finer) == {"3/long", "3/short"}


def test_regimes_are_counted_once_each(of_small: Figures) -> None:
    counts = np.array(of_small.confusion["set"])
    assert counts.sum() == of_small.told["data"]["rows"]
    assert np.trace(counts) / counts.sum() == pytest.approx(of_small.told["regime"]["accuracy"], abs=2e-3)
    assert counts.sum(axis=1) / counts.sum() == pytest.approx(of_small.told["regime"]["came"], abs=2e-3)


def test_weights_are_the_manifests_with_a_sign_from_samples(of_zoo: Figures) -> None:
    stackers = of_zoo.manifest.ensemble.stackers
    assert len(of_zoo.weights) == sum(len(stacker.members) for stacker in stackers.values())
    for weight in of_zoo.weights:
        assert weight.stacked in stackers[weight.head].coefficients
        assert 0 <= weight.positive <= 1
        assert (weight.sign == "positive") == (weight.free.low > 0)


def test_what_was_ablated_is_shown_and_what_was_not_is_said(of_small: Figures, of_zoo: Figures, written: str) -> None:
    shown = section(written, "Ablation")
    row = "| lstm focal | focal loss instead of cross-entropy | .561 [.541, .580] | +.010 [+.002, +.018] | .6869 | 13 |"
    assert row in shown
    assert "| lstm base | cross-entropy | .551 [.531, .571] | – |" in shown
    assert "*not run*: AUC-margin" in shown
    assert "focal loss (α" not in shown
    without = section(page.write(of_zoo, "", ()), "Ablation")
    assert "*not run*: no ablation was given" in without
    assert "| 5/long |" in without, "the set itself compares LightGBM with its plain form"
    assert "LightGBM plain against regularised" not in without


def test_the_full_spec_is_said_not_to_have_run(written: str) -> None:
    assert "`configs/training/full.yaml`: *not run*" in section(written, "Full size")


def test_the_canary_and_parity_are_told(written: str, of_small: Figures) -> None:
    told = section(written, "Integrity")
    assert f"{max(of_small.manifest.member('lstm').parity.values()):.1e}" in told
    assert "8 shuffles of the labels of 5/long" in told


def test_the_answer_on_the_regime_rules_is_read_from_its_page() -> None:
    found = regime_rules(RULES)
    assert found is not None
    assert found in RULES.read_text(encoding="utf-8")
    assert regime_rules(RULES.with_name("nothing.md")) is None
