"""The diagnosis names the fault that was planted, and calls a set healthy that has none."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from models import features, stages
from models.inputs import Inputs
from models.manifest import Manifest
from models.modelset import ModelSet, ModelSetError, save
from tests.models.small_sets import make_wide_set, wide_market
from tests.training.diagnosis import faults
from tests.training.diagnosis.conftest import Whole
from tests.training.diagnosis.faults import Fault
from training.diagnosis import CHECKS, answers, diagnose, exported, golden, inputs, log, weights
from training.diagnosis.finding import NOT_KNOWN, OK, SUSPECT
from training.diagnosis.subject import families, subject

PLANTED: dict[Fault, tuple[str, str]] = {
    faults.sigmoid_inside: (answers.SCALE, "a sigmoid is inside the network"),
    faults.sigmoid_inside_from_the_start: (answers.SCALE, "base rate"),
    faults.logit_declared_a_probability: (answers.SCALE, "declared a probability, but"),
    faults.sigmoid_twice: (answers.SCALE, "a sigmoid was applied twice"),
    faults.softmax_for_heads: (answers.HEADS, "a softmax's"),
    faults.too_few_columns: (answers.HEADS, "3 columns for 4 heads"),
    faults.no_network: (answers.HEADS, "cannot be run"),
    faults.scaler_skipped: (inputs.SCALING, "identity"),
    faults.scaler_skipped_from_the_start: (inputs.SCALING, "identity"),
    faults.scaler_of_other_data: (inputs.SCALING, "not the one in force"),
    faults.scaler_of_other_data_from_the_start: (inputs.SCALING, "not those of training"),
    faults.features_reordered: (inputs.ORDER, "not in the order"),
    faults.two_features_exchanged: (inputs.ORDER, "stands where"),
    faults.fed_in_another_order: (inputs.ORDER, "another order of the columns"),
    faults.a_feature_redefined: (inputs.ORDER, "differ from those trained on"),
    faults.exported_in_train_mode: (exported.MODE, "training mode"),
    faults.rows_depend_on_their_batch: (exported.BATCH, "0.0 for any row alone"),
    faults.other_weights: (exported.PARITY, "off the trained network's"),
    faults.export_recorded_as_unfaithful: (exported.PARITY, "when it was made"),
    faults.torch_read_other_inputs: (exported.PARITY, "on real rows"),
    faults.never_trained: (log.TRAINING, "did not fall"),
    faults.loss_no_number: (log.TRAINING, "no number from epoch 2 on"),
    faults.no_gradient: (log.TRAINING, "no gradient"),
    faults.stacked_otherwise: (golden.STAGES, "the stage stacked is the first"),
    faults.constant_zero: (answers.RANGE, "is constant: 0 "),
    faults.weights_no_numbers: (answers.RANGE, "no finite number"),
    faults.negative_weight: (weights.WEIGHT, "its weight is negative"),
}


@pytest.mark.parametrize(("fault", "named"), PLANTED.items(), ids=[fault.__name__ for fault in PLANTED])
def test_the_planted_fault_is_the_verdict(whole: Whole, tmp_path: Path, fault: Fault, named: tuple[str, str]) -> None:
    check, words = named
    found = diagnose(subject(fault(whole, tmp_path), "lstm"))
    assert found.broken is not None, found.verdict
    assert (found.broken.check, words in found.broken.sentence) == (check, True), found.verdict
    assert found.broken.remedy
    assert found.verdict.startswith(f"lstm is broken, first at {check}: ")
    assert found.verdict.count(". ") == 0, "one sentence"


def test_a_set_that_is_well_is_called_healthy(whole: Whole) -> None:
    found = diagnose(subject(whole.model_set, "lstm"))
    assert found.broken is None, found.verdict
    assert [each.check for each in found.findings] == list(CHECKS)
    assert not [each.check for each in found.findings if each.status == NOT_KNOWN]
    assert found.verdict.startswith("lstm is healthy")


@pytest.mark.parametrize("family", ["lightgbm", "regime"])
def test_boosters_are_asked_what_can_be_asked_of_them(whole: Whole, family: str) -> None:
    found = diagnose(subject(whole.model_set, family))
    assert found.broken is None, found.verdict
    assert families(whole.manifest) == ("lightgbm", "lstm", "regime")
    assert {each.status for each in found.findings} <= {OK, SUSPECT, NOT_KNOWN}


def test_a_set_without_goldens_log_or_record_leaves_much_unknown_and_nothing_broken(
    whole: Whole, tmp_path: Path
) -> None:
    bare = whole.broken(tmp_path, stages=None, walkforward=None, golden=None, evidence={}, baselines=None)
    found = diagnose(subject(bare, "lstm"))
    assert found.broken is None, found.verdict
    unknown = [each.check for each in found.findings if each.status == NOT_KNOWN]
    assert unknown == [inputs.ORDER, log.TRAINING, golden.STAGES, weights.WEIGHT]


def test_a_weight_the_bound_holds_up_is_explained_by_its_sign_unbounded(whole: Whole, tmp_path: Path) -> None:
    found = diagnose(subject(faults.against_the_outcome(whole, tmp_path), "lstm"))
    weight = found.findings[-1]
    assert (weight.check, weight.status) == (weights.WEIGHT, SUSPECT)
    assert "unbounded negative in 100%" in weight.sentence
    figures = weight.figures["5/long"]
    assert isinstance(figures, dict)
    assert isinstance(figures["high"], float)
    assert figures["high"] < 0
    assert figures["refitted"] == pytest.approx(0, abs=1e-6)


def test_a_model_the_set_does_not_have_is_refused_with_those_it_has(whole: Whole) -> None:
    with pytest.raises(ModelSetError, match="name one of lightgbm, lstm, regime"):
        subject(whole.model_set, "tft")


@pytest.fixture(scope="module")
def wide(tmp_path_factory: pytest.TempPathFactory) -> ModelSet:
    """A set with a network of quarters, which compares two symbols; never trained, so it has no log and no record."""
    market = wide_market()
    made = make_wide_set(market)
    matrix = features.compute(market.candles, market.funding, made.manifest.features.names, market.companion)
    rows = stages.rows_of(np.flatnonzero(features.rows_ready(matrix, made.manifest.window)))
    inputs_read = Inputs(market.candles, market.funding, market.finer, market.companion)
    content = stages.record(made.manifest, made.files, inputs_read, rows)
    manifest = made.manifest.model_copy(update={"stages": stages.recorded(content)})
    return ModelSet.load(save(manifest, made.files | {stages.FILE: content}, tmp_path_factory.mktemp("wide")))


@pytest.mark.parametrize("family", ["lstm15m", "lstm"])
def test_a_network_of_quarters_is_asked_about_quarters(wide: ModelSet, family: str) -> None:
    asked = subject(wide, family)
    found = diagnose(asked)
    assert found.broken is None, found.verdict
    assert asked.sample is not None
    assert str(asked.sample.inputs.candles.timeframe) == ("15m" if family == "lstm15m" else "1h")
    unknown = [each.check for each in found.findings if each.status == NOT_KNOWN]
    assert unknown == [exported.PARITY, log.TRAINING, weights.WEIGHT]


def test_a_skipped_finer_scaler_is_the_finer_networks_fault_and_a_stage_off_for_others(
    wide: ModelSet, tmp_path: Path
) -> None:
    told = wide.manifest.model_dump()
    count = len(told["finer"]["features"]["names"])
    told["finer"]["features"]["scaler"] |= {"center": (0.0,) * count, "scale": (1.0,) * count}
    skipped = ModelSet.load(save(Manifest.model_validate(told), dict(wide.contents), tmp_path))
    verdicts = {family: diagnose(subject(skipped, family)).broken for family in ("lstm15m", "lstm")}
    assert [verdict and verdict.check for verdict in verdicts.values()] == [inputs.SCALING, golden.STAGES]
