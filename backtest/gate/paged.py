"""The report page of a judgement: the verdict, over the recipe traded by its record beside the champion's."""

from __future__ import annotations

from pathlib import Path

from backtest import page, significance
from backtest.gate.evidence import Evidence, frame_of
from backtest.options import again
from backtest.sources import Setting, market_return
from backtest.verdict import Verdict


def write_page(path: Path, verdict: Verdict, evidence: Evidence, data: str) -> bool:
    """Write the page; False if there is no record that could be traded, and nothing to show.

    Raises
    ------
    OSError
        If the file cannot be written.
    """
    ours, theirs, terms = evidence.challenger, evidence.champion, evidence.terms
    frame = frame_of(ours.recipe, evidence.market)
    if frame is None or ours.walked is None:
        return False
    setting = Setting(
        model_set=ours.predictor.id,
        data=data,
        instruments=(evidence.market.instrument,),
        rules=terms.rules,
        costs=terms.costs,
        market_return=market_return(frame),
    )
    champion = None
    if theirs is not None and theirs.walked is not None:
        champion = page.Played(theirs.predictor.id, theirs.walked.result, theirs.walked.figures)
    inputs = page.Inputs(
        setting,
        ours.walked.result,
        ours.walked.figures,
        (frame,),
        ours.predictor.model_set,
        again(verdict.champion or verdict.challenger, verdict.challenger),
        champion=champion,
        verdict=verdict,
        sharpe_interval=significance.sharpe_interval(ours.walked.daily),
        commit=page.commit(),
        recorded=True,
        more={"predictions": "recorded while walking forward", "trials": str(evidence.trials or "not counted")},
    )
    page.write(path, inputs)
    return True
