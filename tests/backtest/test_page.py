"""The report page: one file that holds all it shows, says first what was decided, and doubts what is too good."""

from __future__ import annotations

import base64
import hashlib
import json
import re
from collections.abc import Iterator
from dataclasses import replace
from html.parser import HTMLParser
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from playwright.sync_api import Browser, Page, expect

from backtest import page
from backtest.__main__ import main
from backtest.page import doubts, importance, outcomes, tables
from backtest.page.curves import buy_and_hold
from backtest.page.packing import packed, steps
from backtest.statistics import Statistics
from backtest.verdict import Gate, Says, Verdict
from models import labels
from tests.backtest.five_years import frame, played, with_champion
from tests.browser import chromium

CHAMPION = "20260101T000000-0123456789ab"
MIB = 2**20


class Read(HTMLParser):
    """A page's elements: (tag, attributes) in order, and the text of each kind of element."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.open: list[str] = []
        self.texts: dict[str, list[str]] = {}
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))
        if tag not in ("meta", "link", "br"):
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag, f"</{tag}> closes another element"

    def handle_data(self, data: str) -> None:
        if self.open:
            self.texts.setdefault(self.open[-1], []).append(data)

    def every(self, tag: str) -> list[dict[str, str | None]]:
        return [attributes for name, attributes in self.elements if name == tag]


@pytest.fixture(scope="module")
def year() -> page.Inputs:
    """A year of hours, played."""
    return played(frame("BTCUSDT", seed=5, bars=8_760))


@pytest.fixture(scope="module")
def judged(year: page.Inputs) -> page.Inputs:
    """The same beside a champion, refused by a gate."""
    return replace(with_champion(year, seed=6), verdict=verdict(Says.PASS, Says.FAIL, Says.UNCLEAR, Says.WARNING))


def verdict(*said: Says) -> Verdict:
    gates = tuple(
        Gate(f"gate/{i}", f"Question {i}?", says, "> 0", 0.5, 0.52, 0.02, (-0.01, 0.05), f"because {i}")
        for i, says in enumerate(said)
    )
    return Verdict("challenger", CHAMPION, gates, {"challenger": "ab" * 32, "seed": 3})


def words(html: str) -> str:
    """What a reader sees, without the script, the style and the data."""
    bare = re.sub(r"<(script|style)\b.*?</\1>", " ", html, flags=re.S)
    return re.sub(r"\s+", " ", re.sub(r"<[^>]*>", " ", bare).replace("\N{NO-BREAK SPACE}", " "))


# ---- one file ----------------------------------------------------------------------------------------------------


def test_a_real_run_becomes_one_file_that_refers_to_nothing_outside(tmp_path: Path) -> None:
    file = tmp_path / "judged.html"
    main(["--model-set", "starter", "--days", "30", "--json", "--report", str(file)])
    html = file.read_text(encoding="utf-8")
    read = Read(html)
    assert not read.open, "every element is closed"
    for tag, attributes in read.elements:
        assert not {"style", "onclick", "onload", "srcset", "action"} & set(attributes), (tag, attributes)
        assert attributes.get("src") is None, (tag, attributes)
        href = attributes.get("href")
        assert href is None or href.startswith("#") or href == "data:,", (tag, attributes)
    (style,) = read.texts["style"]
    assert "url(" not in style
    assert "@import" not in style
    assert len([s for s in read.every("script") if s.get("type") != "application/json"]) == 1


def test_the_policy_allows_the_pages_own_style_and_script_and_nothing_else(year: page.Inputs) -> None:
    read = Read(page.render(year))
    policy = next(m["content"] for m in read.every("meta") if m.get("http-equiv") == "Content-Security-Policy")
    assert policy is not None
    assert policy.startswith("default-src 'none';")
    assert "unsafe" not in policy
    own = (read.texts["style"][0], read.texts["script"][1])
    for text in own:
        assert base64.b64encode(hashlib.sha256(text.encode()).digest()).decode() in policy


def test_the_same_inputs_give_the_same_bytes(judged: page.Inputs) -> None:
    assert page.render(judged) == page.render(judged)


def test_links_lead_to_sections_that_are_there_and_no_id_comes_twice(judged: page.Inputs) -> None:
    read = Read(page.render(judged))
    ids = [a["id"] for _, a in read.elements if a.get("id")]
    assert len(ids) == len(set(ids))
    assert {(a["href"] or "")[1:] for a in read.every("a")} <= set(ids)


def test_a_name_is_shown_as_text_and_never_runs(year: page.Inputs) -> None:
    evil = "</script><script>alert(1)</script><b>"
    html = page.render(replace(year, setting=replace(year.setting, data=evil, model_set=evil), command=evil))
    assert "<script>alert" not in html
    assert "&lt;script&gt;alert(1)" in html


def test_tables_have_captions_and_pictures_say_what_they_show(judged: page.Inputs) -> None:
    html = page.render(judged)
    assert len(re.findall("<table", html)) == len(re.findall("<caption", html)) > 8
    for attributes in Read(html).every("svg"):
        assert attributes.get("role") == "img" or attributes.get("aria-hidden") == "true"
    for attributes in Read(html).every("canvas"):
        assert attributes["aria-label"]
        assert attributes["tabindex"] == "0"


# ---- what it says ------------------------------------------------------------------------------------------------


def test_without_a_gate_it_says_that_none_was_run(year: page.Inputs) -> None:
    text = words(page.render(year))
    assert "No gate was run" in text
    assert "Whether the set may trade was not asked." in text


@pytest.mark.parametrize(
    ("said", "word", "sentence"),
    [
        (
            (Says.PASS, Says.WARNING),
            "Promote",
            f"stands in the way against champion {CHAMPION}; 1 warning",
        ),
        ((Says.PASS, Says.FAIL, Says.UNCLEAR), "Refused", "1 gate of 3 fails"),
        ((Says.FAIL, Says.FAIL), "Refused", "2 gates of 2 fail"),
        ((Says.PASS, Says.UNCLEAR), "Not enough evidence", "1 gate of 2 cannot tell"),
    ],
)
def test_the_verdict_comes_first_with_what_decided_it(
    judged: page.Inputs, said: tuple[Says, ...], word: str, sentence: str
) -> None:
    text = words(page.render(replace(judged, verdict=verdict(*said))))
    assert text.index(word) < text.index(sentence) < text.index("because") < text.index("largest drawdown")


def test_every_gate_is_a_row_with_what_was_demanded_and_measured_the_deciding_ones_first(judged: page.Inputs) -> None:
    html = page.render(judged)
    table = html[html.index('<table class="gates">') :]
    rows = re.findall(r"<code>(gate/\d)</code> (because \d)", table[: table.index("</table>")])
    assert rows == [(f"gate/{i}", f"because {i}") for i in (1, 2, 3, 0)]
    text = words(table[: table.index("</table>")])
    for shown in ("> 0".replace(">", "&gt;"), "0.5", "0.52", "+0.02", "−0.01 to 0.05"):
        assert shown in text


def test_it_holds_every_section(judged: page.Inputs) -> None:
    html = page.render(judged)
    for section in ("gates", "equity", "price", "scorecard", "months", "calibration", "thresholds", "predictions",
                    "importance", "worst", "identity"):  # fmt: skip
        assert f'<section id="{section}">' in html
    text = words(html)
    manifest = judged.model_set.manifest
    for shown in (manifest.id, manifest.data.sha256, manifest.features.schema_hash, manifest.models[0].sha256,
                  CHAMPION, "trials counted", "train split", "lightgbm", "buy and hold"):  # fmt: skip
        assert shown in text
    assert importance.importances(judged.model_set)[0].shares[0][0] in text


def test_the_champion_stands_beside_each_figure_of_the_scorecard(judged: page.Inputs) -> None:
    assert len(re.findall(r'<tr class="champion">', page.render(judged))) == 6
    assert judged.champion
    assert f"champion {len(judged.champion.result.closed):,}" in words(page.render(judged))


def test_a_run_without_a_trade_is_a_page_too(year: page.Inputs) -> None:
    never = frame("BTCUSDT", seed=5, bars=400)
    never.predictions.p_long[:] = never.predictions.p_short[:] = np.nan
    text = words(page.render(replace(played(never), command="x")))
    assert "No trade lost." in text
    assert "100 % of the tested candles have no prediction" in text


# ---- what it doubts ----------------------------------------------------------------------------------------------


def doubted(inputs: page.Inputs, **figures: Any) -> list[str]:
    changed: Statistics = replace(inputs.figures, **figures)
    calibrations = [outcomes.calibration(of) for of in outcomes.foretold(inputs)]
    found = doubts.doubts(replace(inputs, figures=changed), calibrations, tables.months(inputs.result))
    return [d.what.replace("\N{NO-BREAK SPACE}", " ") for d in found]


@pytest.mark.parametrize(
    ("figures", "said"),
    [
        ({"sharpe": 4.1}, "Sharpe ratio is 4.10"),
        ({"profit_factor": 4.5}, "profit factor is 4.50"),
        ({"max_drawdown": 0.0}, "equity never fell from a peak"),
    ],
)
def test_a_figure_beyond_belief_is_doubted(year: page.Inputs, figures: dict[str, Any], said: str) -> None:
    assert said not in doubted(year)
    assert said in doubted(year, **figures)


def test_groups_beyond_belief_are_doubted(year: page.Inputs) -> None:
    every, none = year.figures.all, replace(year.figures.short, trades=0)
    assert "76 % of the trades won" in doubted(year, all=replace(every, won=0.76))
    assert "29 trades" in doubted(year, all=replace(every, trades=29))
    assert "all trades are long" in doubted(year, short=none)
    assert not {"all trades are long", "29 trades"} & set(doubted(year))


def test_costs_left_out_are_doubted(year: page.Inputs) -> None:
    free = replace(year.setting, costs=replace(year.setting.costs, taker_ppm=0, slippage_ppm=0))
    assert {"no fee is charged", "no slippage is assumed"} <= set(doubted(replace(year, setting=free)))


def test_a_score_that_saw_the_future_is_doubted(year: page.Inputs) -> None:
    seen = frame("BTCUSDT", seed=5, bars=8_760)
    gain = labels.forward_return(seen.decision, 5)
    seen.predictions.horizons[5][:, 0] = np.where(np.isnan(gain), 0.5, np.clip(0.5 + 20 * gain, 0.01, 0.99))
    said = doubted(replace(year, frames=(seen,)))
    assert any(what.startswith("AUC of direction is") and "(5/long)" in what for what in said)
    assert not any(what.startswith("AUC of direction is") for what in doubted(year))


def test_hours_the_set_was_fitted_on_are_doubted_on_its_own_market_alone(year: page.Inputs) -> None:
    assert any("lies in what the set was fitted on" in what for what in doubted(year))
    elsewhere = replace(year, setting=replace(year.setting, data="BTCUSDT-1h.parquet"))
    assert not any("lies in what the set was fitted on" in what for what in doubted(elsewhere))
    assert any("tested on another market" in what for what in doubted(elsewhere))


def test_no_losing_month_is_doubted(year: page.Inputs) -> None:
    rising = np.linspace(1.0, 2.0, len(year.result.curve_equity)) * year.result.start_cash
    lucky = replace(year, result=replace(year.result, curve_equity=rising.astype(np.int64)))
    assert any(re.fullmatch(r"not one of \d+ months lost", what) for what in doubted(lucky))


# ---- what it counts ----------------------------------------------------------------------------------------------


def unpacked(text: str) -> list[int]:
    """What `packed` wrote, read the slow way."""
    values, value, bits = [], 0, 0
    for byte in base64.b64decode(text):
        value |= (byte & 127) << bits
        bits += 7
        if byte < 128:
            values.append(value >> 1 ^ -(value & 1))
            value = bits = 0
    return values


@given(st.lists(st.integers(-(2**52), 2**52)))
def test_packed_columns_are_read_back_to_the_last_digit(values: list[int]) -> None:
    assert unpacked(packed(np.array(values, dtype=np.int64))) == values


@given(st.lists(st.integers(-(2**50), 2**50)))
def test_steps_add_up_to_the_column(values: list[int]) -> None:
    assert np.cumsum(unpacked(steps(np.array(values, dtype=np.int64)))).tolist() == values


def test_months_multiply_to_the_return_and_hold_every_trade(year: page.Inputs) -> None:
    months = tables.months(year.result)
    assert np.prod([1 + m.change for m in months]) == pytest.approx(1 + year.figures.total_return)
    assert sum(m.all.trades for m in months) == len(year.result.closed)
    assert sum(m.long.profit + m.short.profit for m in months) == year.figures.all.profit
    assert [m.whole for m in months].count(True) >= 10


def test_buy_and_hold_ends_where_the_price_does(year: page.Inputs) -> None:
    held = buy_and_hold(year, year.result.curve_time)
    assert year.setting.market_return is not None
    assert held[-1] == pytest.approx(1 + year.setting.market_return)


def test_calibration_counts_the_labels_of_training(year: page.Inputs) -> None:
    (only,) = year.frames
    manifest = year.model_set.manifest
    for of in outcomes.foretold(year):
        found = outcomes.calibration(of)
        paid = labels.profitable(only.decision, of.horizon, of.side, manifest.data.labels.cost)
        known = np.isfinite(paid) & np.isfinite(only.predictions.p_long)
        assert found.rows == int(known.sum()) == sum(b.count for b in found.bins)
        assert found.base_rate == pytest.approx(float(paid[known].mean()))
        assert all(a.said < b.said for a, b in pairwise(found.bins))


def test_an_honest_probability_lies_within_its_intervals() -> None:
    random = np.random.default_rng(1)
    said = random.uniform(0.2, 0.8, 20_000)
    gain = np.where(random.random(20_000) < said, 0.01, -0.01)
    found = outcomes.calibration(outcomes.Foretold("1/long", 1, 1, np.arange(20_000), said, gain, 0.0))
    assert len(found.bins) == outcomes.BINS
    assert sum(b.low <= b.said <= b.high for b in found.bins) >= 7


def test_a_threshold_lets_through_what_it_says_and_takes_one_trade_at_a_time() -> None:
    said = np.array([0.5, 0.6, 0.6, 0.4, 0.6, 0.6, 0.3, 0.6])
    gain = np.array([0.01, 0.02, 0.03, 0.04, 0.05, 0.06, 0.07, np.nan])
    of = outcomes.Foretold("3/long", 3, 1, np.array([0, 1, 2, 3, 4, 5, 6, 7]), said, gain, 0.025)
    (passed,) = (p for p in outcomes.thresholds(of) if p.threshold == 0.55)
    assert (passed.count, passed.entries) == (4, 2)  # the candles 1, 2, 4, 5; held three candles: 1 and 4
    assert passed.share == pytest.approx(4 / 7)
    assert passed.paid == pytest.approx(3 / 4)
    assert passed.profit == pytest.approx(0.02 - 0.025 + 0.05 - 0.025)


def test_the_worst_trade_is_the_worst_and_its_gap_is_in_its_worst(year: page.Inputs) -> None:
    worst = tables.worst_trades(year)
    assert worst[0].closed.trade.profit == min(c.trade.profit for c in year.result.closed)
    for each in worst:
        trade = each.closed.trade
        assert each.worst <= trade.side * (trade.exit_price / trade.entry_price - 1) + 1e-12


# ---- how large ---------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def five_years() -> page.Inputs:
    """Five years of hours beside a champion."""
    return with_champion(played(frame("BTCUSDT", seed=7)), seed=8)


def test_five_years_of_hours_fit_in_two_mebibytes_with_every_candle(five_years: page.Inputs) -> None:
    html = page.render(replace(five_years, verdict=verdict(*[Says.PASS] * 40)))
    assert len(html.encode()) < 2 * MIB
    data = json.loads(next(iter(re.findall(r'id="data">(.*?)</script>', html))))
    assert data["curve"]["every"] == 1
    assert len(unpacked(data["symbols"][0]["close"])) == len(five_years.frames[0].base)


def test_a_history_too_long_is_thinned_and_still_fits() -> None:
    several = played(*(frame(s, seed=9, bars=26_280) for s in ("BTCUSDT", "ETHUSDT", "SOLUSDT", "BNBUSDT")))
    html = page.render(several)
    assert len(html.encode()) < 2 * MIB
    data = json.loads(next(iter(re.findall(r'id="data">(.*?)</script>', html))))
    assert {s["length"] for s in data["symbols"]} == {2 * 3_600_000}
    assert [s["name"] for s in data["symbols"]] == ["BTCUSDT", "ETHUSDT", "SOLUSDT", "BNBUSDT"]


# ---- the command -------------------------------------------------------------------------------------------------


def test_the_command_on_the_page_names_the_set_by_its_id(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "a page.html"
    main(["--model-set", "starter", "--days", "20", "--trades", "0", "--report", str(file)])
    assert f"report: {file}" in capsys.readouterr().err.replace("\n", "")
    html = file.read_text(encoding="utf-8")
    set_id = re.search(r"\d{8}T\d{6}-[0-9a-f]{12}", html)
    assert set_id
    assert f"python -m backtest --model-set {set_id[0]} --days 20 --trades 0 --report &#39;" in html


def test_a_page_that_cannot_be_written_is_refused_before_the_work(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for where in (tmp_path, tmp_path / "nowhere" / "page.html"):
        with pytest.raises(SystemExit) as stop:
            main(["--model-set", "starter", "--report", str(where)])
        assert stop.value.code == 2
        assert "cannot be written" in capsys.readouterr().err


# ---- in a browser ------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with chromium() as opened:
        yield opened


@pytest.fixture(scope="module")
def file(five_years: page.Inputs, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The page of five years, judged."""
    path = tmp_path_factory.mktemp("page") / "judged.html"
    page.write(path, replace(five_years, verdict=verdict(Says.PASS, Says.FAIL)))
    return path


class Visit:
    """A page opened in a context of its own; `complaints` are its errors, warnings and requests."""

    def __init__(self, browser: Browser, file: Path, width: int = 1280, **options: Any) -> None:
        self.context = browser.new_context(viewport={"width": width, "height": 860}, **options)
        self.page: Page = self.context.new_page()
        self.complaints: list[str] = []
        self.page.on("console", lambda m: self.complaints.append(f"{m.type}: {m.text}"))
        self.page.on("pageerror", lambda e: self.complaints.append(str(e)))
        self.page.on("request", lambda r: self.complaints.append(r.url) if r.url != file.as_uri() else None)
        self.page.goto(file.as_uri(), wait_until="domcontentloaded")

    def __enter__(self) -> Visit:
        return self

    def __exit__(self, *_: object) -> None:
        self.context.close()

    def ready(self) -> Page:
        expect(self.page.locator("body")).to_have_attribute("data-ready", "yes")
        return self.page


PAINTED = """id => {
  const c = document.getElementById(id), seen = new Set();
  const pixels = new Uint32Array(c.getContext("2d").getImageData(0, 0, c.width, c.height).data.buffer);
  let many = 0;
  for (const p of pixels) if (p) { many++; seen.add(p); }
  return [many, seen.size];
}"""


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_it_opens_and_draws_without_a_word_on_the_console(browser: Browser, file: Path, scheme: str) -> None:
    with Visit(browser, file, color_scheme=scheme) as visit:
        opened = visit.ready()
        for canvas in ("equity-chart", "price-chart"):
            many, colours = opened.evaluate(PAINTED, canvas)
            assert many > 5_000
            assert colours > 10
        assert visit.complaints == []


@pytest.mark.parametrize("width", [1280, 400])
def test_nothing_has_to_be_scrolled_sideways(browser: Browser, file: Path, width: int) -> None:
    with Visit(browser, file, width) as visit:
        assert visit.ready().evaluate("document.documentElement.scrollWidth") == width


def test_the_browser_reads_back_the_numbers_that_were_played(
    browser: Browser, file: Path, five_years: page.Inputs
) -> None:
    (only,) = five_years.frames
    result = five_years.result
    with Visit(browser, file) as visit:
        read = visit.ready().evaluate(
            "({time: [...curve.time], equity: [...curve.equity], regime: [...curve.regime], open: [...chosen().open],"
            " high: [...chosen().high], low: [...chosen().low], close: [...chosen().close], trades: chosen().trades,"
            " chance: [...chosen().long].map(v => Number.isNaN(v) ? null : v), fall: Math.min(...curve.equityFall)})"
        )
    assert read["time"] == result.curve_time.tolist()
    assert read["regime"] == result.curve_regime.tolist()
    np.testing.assert_allclose(read["equity"], result.curve_equity / result.start_cash, atol=1e-6)
    for name in ("open", "high", "low", "close"):
        tick = float(only.instrument.tick)
        np.testing.assert_allclose(read[name], getattr(only.base, name), atol=tick * 0.51)
    chances = np.array([np.nan if v is None else v for v in read["chance"]])
    np.testing.assert_allclose(chances, only.predictions.p_long, atol=5.1e-5)
    assert -read["fall"] == pytest.approx(five_years.figures.max_drawdown, abs=1e-5)
    assert len(read["trades"]) == len(result.closed)
    for shown, closed in zip(read["trades"], result.closed, strict=True):
        trade = closed.trade
        assert (shown["side"], shown["leverage"], shown["reason"]) == (trade.side, trade.leverage, trade.reason)
        assert (shown["from"] // 1000, shown["to"] // 1000) == (trade.entry_time // 1000, trade.exit_time // 1000)
        assert shown["entry"] == pytest.approx(trade.entry_price * tick)
        assert shown["exit"] == pytest.approx(trade.exit_price * tick)


def test_both_charts_are_moved_together_by_keys_buttons_wheel_and_hand(browser: Browser, file: Path) -> None:
    with Visit(browser, file) as visit:
        opened = visit.ready()

        def span() -> float:
            return float(opened.evaluate("(view.to - view.from) / DAY"))

        whole = span()
        opened.locator("#equity [data-days='30']").click()
        assert span() == pytest.approx(30)
        before = opened.evaluate("view.from")
        opened.locator("#equity-chart").press("ArrowLeft")
        assert opened.evaluate("view.from") == pytest.approx(before - 0.15 * 30 * 86_400_000)
        opened.locator("#equity-chart").press("+")
        assert span() == pytest.approx(18)
        opened.locator("#price-chart").press("Shift+ArrowRight")
        expect(opened.locator("#price-out")).to_contain_text("volatility")
        expect(opened.locator("#price-out")).to_have_attribute("aria-live", "polite")
        opened.locator("#equity-chart").scroll_into_view_if_needed()
        place = opened.locator("#equity-chart").bounding_box()
        assert place
        x, y = place["x"] + 600, place["y"] + 100
        before = opened.evaluate("view.from")
        opened.mouse.move(x, y)
        opened.mouse.down()
        opened.mouse.move(x + 200, y)
        opened.mouse.up()
        assert opened.evaluate("view.from") < before
        opened.locator("#equity-chart").focus()
        before = span()
        opened.mouse.wheel(0, 120)
        opened.wait_for_function("before => (view.to - view.from) / DAY > before", arg=before)
        opened.locator("#equity-chart").dblclick()
        assert span() == pytest.approx(whole)
        assert visit.complaints == []


def test_a_worst_trade_is_shown_in_the_chart_on_request(browser: Browser, file: Path, five_years: page.Inputs) -> None:
    worst = tables.worst_trades(five_years)[0].closed.trade
    with Visit(browser, file, reduced_motion="reduce") as visit:
        opened = visit.ready()
        opened.locator("#worst button").first.click()
        start, end = opened.evaluate("[view.from, view.to]")
        assert start <= worst.entry_time <= worst.exit_time <= end
        assert end - start < 30 * 86_400_000
        expect(opened.locator("#price-chart")).to_be_focused()


def test_the_command_is_copied(browser: Browser, file: Path, five_years: page.Inputs) -> None:
    with Visit(browser, file) as visit:
        opened = visit.ready()
        opened.evaluate("addEventListener('copy', () => { window.copied = String(getSelection()); })")
        button = opened.locator("[data-act=copy]")
        button.click()
        expect(button).to_have_text("copied")
        assert opened.evaluate("copied") == five_years.command


def test_without_a_script_the_verdict_the_tables_and_a_still_curve_are_there(browser: Browser, file: Path) -> None:
    with Visit(browser, file, java_script_enabled=False) as visit:
        expect(visit.page.locator("h1")).to_contain_text("Refused")
        expect(visit.page.locator("#equity noscript svg")).to_be_visible()


def test_it_prints_in_light_colours_with_every_table_open(browser: Browser, file: Path) -> None:
    with Visit(browser, file, color_scheme="dark") as visit:
        opened = visit.ready()
        dark = opened.evaluate("colour.ours")
        opened.evaluate("dispatchEvent(new Event('beforeprint'))")
        assert opened.evaluate("colour.ours") != dark
        assert opened.locator("details:not([open])").count() == 0
        assert len(opened.pdf()) > 100_000
        opened.evaluate("dispatchEvent(new Event('afterprint'))")
        assert opened.evaluate("colour.ours") == dark
        assert opened.locator("details[open]").count() == 0
