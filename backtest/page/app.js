"use strict";
// The page's moving charts: one stretch of time, drawn on two canvases. Everything else on the page stands still.
(() => {
  const data = JSON.parse(document.getElementById("data").textContent);
  const root = document.documentElement, HOUR = 3600000, DAY = 24 * HOUR;
  const $ = (id) => document.getElementById(id);

  // ---- reading: the varints of packing.py ------------------------------------------------------------------------

  function unpack(text) {
    const bytes = atob(text), out = [];
    for (let at = 0; at < bytes.length; ) {
      let value = 0, scale = 1, byte;
      do { byte = bytes.charCodeAt(at++); value += (byte & 127) * scale; scale *= 128; } while (byte & 128);
      out.push(value % 2 ? -(value + 1) / 2 : value / 2);
    }
    return Float64Array.from(out);
  }
  function running(text, unit = 1) {
    const out = unpack(text);
    for (let i = 0, sum = 0; i < out.length; i++) out[i] = (sum += out[i]) * unit;
    return out;
  }
  const shares = (text) => running(text).map((v) => (v ? (v - 1) / 10000 : NaN));
  const worth = (text) => text && running(text).map((v) => (v ? v / 1e6 : NaN));

  function below(equity) {
    let peak = 1;
    return equity && equity.map((v) => { if (v > peak) peak = v; return v / peak - 1; });
  }
  const curve = { time: running(data.curve.time, data.curve.unit) };
  for (const name of ["equity", "hold", "champion"]) {
    curve[name] = worth(data.curve[name]);
    curve[name + "Fall"] = below(curve[name]);
  }
  curve.regime = new Int8Array(curve.time.length);
  let filled = 0;
  for (const [value, many] of data.curve.regime) curve.regime.fill(value, filled, (filled += many));
  // how often each regime was in force before row i
  curve.before = [0, 1, 2].map((r) => {
    const sums = new Uint32Array(curve.regime.length + 1);
    curve.regime.forEach((v, i) => { sums[i + 1] = sums[i] + (v === r); });
    return sums;
  });

  function symbol(raw) {
    const time = running(raw.time, raw.unit), close = running(raw.close), open = unpack(raw.open);
    const high = unpack(raw.high), low = unpack(raw.low), tick = raw.tick;
    for (let i = close.length - 1; i >= 0; i--) {
      open[i] += i ? close[i - 1] : 0;
      high[i] = (high[i] + Math.max(open[i], close[i])) * tick;
      low[i] = (Math.min(open[i], close[i]) - low[i]) * tick;
    }
    const t = raw.trades, entered = running(t.entered, 1000), held = unpack(t.held), entry = running(t.entry);
    const side = unpack(t.side), exit = unpack(t.exit), profit = unpack(t.profit), leverage = unpack(t.leverage);
    const reason = unpack(t.reason);
    const trades = Array.from(entered, (when, i) => ({
      side: side[i], from: when, to: when + held[i] * 1000, entry: entry[i] * tick, exit: (entry[i] + exit[i]) * tick,
      profit: profit[i] / 100, leverage: leverage[i], reason: raw.reasons[reason[i]],
    }));
    return {
      name: raw.name, length: raw.length, digits: Math.max(0, Math.min(8, Math.round(-Math.log10(tick)))), time,
      open: open.map((v) => v * tick), high, low, close: close.map((v) => v * tick),
      long: shares(raw.long), short: shares(raw.short), trades,
    };
  }
  const read = data.symbols.map(() => null);
  const chosen = () => (read[view.symbol] ??= symbol(data.symbols[view.symbol]));

  // ---- the stretch of time in view -------------------------------------------------------------------------------

  const view = { from: data.start, to: data.end, log: false, symbol: 0, cursor: null, spoken: false };
  const whole = data.end - data.start, least = Math.min(whole, 24 * data.symbols[0].length);
  let drawing = 0;
  function show(from, to) {
    const span = Math.min(Math.max(to - from, least), whole), middle = (from + to) / 2;
    view.from = Math.min(Math.max(middle - span / 2, data.start), data.end - span);
    view.to = view.from + span;
    redraw();
  }
  const zoom = (by, at = (view.from + view.to) / 2) => show(at - (at - view.from) * by, at + (view.to - at) * by);
  const pan = (ms) => show(view.from + ms, view.to + ms);
  function redraw() { drawing ||= requestAnimationFrame(() => { drawing = 0; charts.forEach(draw); }); }

  function first(times, when) { // index of the first time not before `when`
    let low = 0, high = times.length;
    while (low < high) { const mid = (low + high) >> 1; if (times[mid] < when) low = mid + 1; else high = mid; }
    return low;
  }
  const last = (times, when) => first(times, when + 1) - 1;

  // ---- words -----------------------------------------------------------------------------------------------------

  const when = (ms) => new Date(ms).toISOString().slice(0, 16).replace("T", " ");
  const figure = (v, digits) => v.toLocaleString("en", { minimumFractionDigits: digits, maximumFractionDigits: digits });
  const signed = (v, digits) => (v < 0 ? "−" : "+") + figure(Math.abs(v), digits);
  const percent = (v) => (Number.isNaN(v) ? "–" : signed(100 * v, 1) + " %");
  const money = (v) => figure(v * data.cash, 2) + " " + data.quote;

  // ---- drawing ---------------------------------------------------------------------------------------------------

  let colour = {};
  function colours() {
    const style = getComputedStyle(root);
    colour = new Proxy({}, { get: (kept, name) => (kept[name] ??= style.getPropertyValue("--" + name).trim()) });
  }

  function round(low, high, most) {
    const raw = (high - low) / most, power = 10 ** Math.floor(Math.log10(raw)), out = [];
    const step = [1, 2, 2.5, 5, 10].map((m) => m * power).find((s) => s >= raw * 0.999);
    for (let k = Math.ceil(low / step - 1e-9); k * step <= high + step * 1e-9; k++) out.push(k * step);
    return out;
  }

  const MONTHS = [1, 2, 3, 6, 12, 24], SPANS = [0.25, 0.5, 1, 2, 3, 6, 12, 24, 48, 168].map((h) => h * HOUR);
  function instants(width) {
    const room = ((view.to - view.from) * 84) / width, out = [], span = SPANS.find((s) => s >= room);
    if (span) {
      const from = Math.ceil(view.from / span) * span;
      for (let t = from; t <= view.to; t += span) out.push([t, when(t).slice(t % DAY ? 11 : 5, t % DAY ? 16 : 10)]);
      return out;
    }
    const each = MONTHS.find((m) => m * 30 * DAY >= room) ?? 60, begin = new Date(view.from);
    let month = Math.ceil((begin.getUTCFullYear() * 12 + begin.getUTCMonth()) / each) * each;
    for (; at(month) <= view.to; month += each)
      if (at(month) >= view.from) out.push([at(month), when(at(month)).slice(0, month % 12 ? 7 : 4)]);
    return out;
  }
  const at = (month) => Date.UTC(Math.floor(month / 12), month % 12);

  // A pane: `extent(from, to)` of its values in view, `paint(pen)`; `pen` maps time and value to points.
  function draw(chart) {
    const { canvas, panes } = chart, ratio = window.devicePixelRatio || 1;
    const width = canvas.clientWidth, height = canvas.clientHeight;
    if (!width) return;
    if (canvas.width !== Math.round(width * ratio)) canvas.width = Math.round(width * ratio);
    if (canvas.height !== Math.round(height * ratio)) canvas.height = Math.round(height * ratio);
    const ctx = canvas.getContext("2d"), right = width - (width < 500 ? 46 : 62), floor = height - 20;
    ctx.setTransform(ratio, 0, 0, ratio, 0, 0);
    ctx.clearRect(0, 0, width, height);
    ctx.font = "11px system-ui, sans-serif";
    const X = (t) => ((t - view.from) / (view.to - view.from)) * right;
    chart.time = (x) => view.from + (x / right) * (view.to - view.from);
    const marks = instants(right), all = panes.reduce((sum, p) => sum + p.weight, 0);
    let top = 0;
    for (const pane of panes) {
      const tall = (floor * pane.weight) / all, high = top + 16, low = top + tall - 6 - (pane.foot ?? 0);
      let [min, max] = pane.extent();
      if (!(max > min)) { min -= 0.5 * Math.abs(min || 1); max += 0.5 * Math.abs(max || 1); }
      const f = pane.log && view.log && min > 0 ? Math.log : (v) => v, a = f(min), b = f(max);
      const Y = (v) => low - ((f(v) - a) / (b - a)) * (low - high);
      ctx.strokeStyle = colour.grid; ctx.fillStyle = colour.mute; ctx.lineWidth = 1;
      ctx.beginPath();
      for (const [t] of marks) { const x = Math.round(X(t)) + 0.5; ctx.moveTo(x, top); ctx.lineTo(x, top + tall); }
      ctx.textAlign = "left"; ctx.textBaseline = "middle";
      for (const v of round(min, max, Math.max(2, (low - high) / 42))) {
        const y = Math.round(Y(v)) + 0.5;
        ctx.moveTo(0, y); ctx.lineTo(right, y);
        ctx.fillText(pane.label(v, max - min), right + 5, y);
      }
      ctx.stroke();
      ctx.save();
      ctx.beginPath(); ctx.rect(0, top, right, tall); ctx.clip();
      pane.paint({ ctx, X, Y, right, top, low, tall });
      ctx.restore();
      ctx.fillStyle = colour.mute; ctx.textBaseline = "top";
      ctx.fillText(pane.title, 4, top + 3);
      top += tall;
      ctx.strokeStyle = colour.line;
      ctx.beginPath(); ctx.moveTo(0, Math.round(top) - 0.5); ctx.lineTo(right, Math.round(top) - 0.5); ctx.stroke();
    }
    ctx.fillStyle = colour.mute; ctx.textAlign = "center"; ctx.textBaseline = "top";
    for (const [t, name] of marks) if (X(t) > 18 && X(t) < right - 10) ctx.fillText(name, X(t), floor + 5);
    if (view.cursor !== null && view.cursor >= view.from && view.cursor <= view.to) {
      ctx.strokeStyle = colour.mute; ctx.setLineDash([2, 3]);
      ctx.beginPath(); ctx.moveTo(X(view.cursor), 0); ctx.lineTo(X(view.cursor), floor); ctx.stroke();
      ctx.setLineDash([]);
    }
    const words = chart.says(view.cursor ?? view.to), out = chart.out;
    out.setAttribute("aria-live", view.spoken ? "polite" : "off");
    if (out.textContent !== words) out.textContent = words;
  }

  function line({ ctx, X, Y, right }, times, values, stroke, width = 1.4, dash = []) {
    const from = Math.max(first(times, view.from) - 1, 0), to = Math.min(first(times, view.to) + 1, times.length);
    ctx.strokeStyle = stroke; ctx.lineWidth = width; ctx.lineJoin = "round"; ctx.setLineDash(dash);
    ctx.beginPath();
    const dense = to - from > 3 * right;
    let on = false, column = NaN, low, high, end;
    const flush = () => { if (low !== high) { ctx.lineTo(column, Y(low)); ctx.lineTo(column, Y(high)); ctx.lineTo(column, Y(end)); } };
    for (let i = from; i < to; i++) {
      const v = values[i], x = X(times[i]);
      if (Number.isNaN(v)) { if (dense && on) flush(); on = false; column = NaN; continue; }
      if (!dense) { if (on) ctx.lineTo(x, Y(v)); else ctx.moveTo(x, Y(v)); on = true; continue; }
      if (Math.round(x) !== column) {
        if (on) flush();
        column = Math.round(x);
        if (on) ctx.lineTo(column, Y(v)); else ctx.moveTo(column, Y(v));
        low = high = end = v; on = true;
      } else { end = v; if (v < low) low = v; if (v > high) high = v; }
    }
    if (dense && on) flush();
    ctx.stroke(); ctx.setLineDash([]);
  }

  function extent(times, ...columns) {
    let min = Infinity, max = -Infinity;
    const from = Math.max(first(times, view.from) - 1, 0), to = Math.min(first(times, view.to) + 1, times.length);
    for (const values of columns) if (values) for (let i = from; i < to; i++) {
      if (values[i] < min) min = values[i];
      if (values[i] > max) max = values[i];
    }
    return min > max ? [0, 1] : [min, max];
  }

  function area(pen, times, values, fill) {
    const from = Math.max(first(times, view.from) - 1, 0), to = Math.min(first(times, view.to) + 1, times.length);
    const { ctx, X, Y } = pen;
    ctx.fillStyle = fill; ctx.beginPath(); ctx.moveTo(X(times[from]), Y(0));
    for (let i = from; i < to; i++) ctx.lineTo(X(times[i]), Y(values[i]));
    ctx.lineTo(X(times[to - 1]), Y(0)); ctx.fill();
  }

  // ---- the four panes --------------------------------------------------------------------------------------------

  const equity = {
    title: "equity, start = 1", weight: 3, log: true,
    extent: () => { const [a, b] = extent(curve.time, curve.equity, curve.hold, curve.champion); return [Math.min(a, 1), Math.max(b, 1)]; },
    label: (v, span) => figure(v, span < 0.1 ? 3 : span < 20 ? 2 : 0),
    paint(pen) {
      flat(pen, 1, colour.mute);
      line(pen, curve.time, curve.hold, colour.hold, 1.2);
      if (curve.champion) line(pen, curve.time, curve.champion, colour.champion, 1.6);
      line(pen, curve.time, curve.equity, colour.ours, 2);
    },
  };
  const fall = {
    title: "drawdown", weight: 1.3,
    extent: () => [extent(curve.time, curve.equityFall, curve.championFall, curve.holdFall)[0], 0],
    label: (v, span) => (v < 0 ? "−" : "") + figure(Math.abs(100 * v), span < 0.05 ? 1 : 0) + " %",
    paint(pen) {
      area(pen, curve.time, curve.equityFall, colour["ours-soft"]);
      line(pen, curve.time, curve.holdFall, colour.hold, 1);
      if (curve.champion) line(pen, curve.time, curve.championFall, colour.champion, 1.2);
      line(pen, curve.time, curve.equityFall, colour.ours, 1.2);
    },
  };
  function flat({ ctx, Y, right }, value, stroke) {
    ctx.strokeStyle = stroke; ctx.lineWidth = 1; ctx.setLineDash([5, 4]); ctx.beginPath();
    ctx.moveTo(0, Y(value)); ctx.lineTo(right, Y(value)); ctx.stroke(); ctx.setLineDash([]);
  }

  const RIBBON = 14, REGIMES = ["low", "mid", "high"];
  const price = {
    title: "price", weight: 3, foot: RIBBON + 4, log: true,
    extent: () => [extent(chosen().time, chosen().low)[0], extent(chosen().time, chosen().high)[1]],
    label: (v, span) => figure(v, Math.max(0, Math.min(chosen().digits, Math.ceil(2 - Math.log10(span))))),
    paint(pen) { seen(pen); ribbon(pen); candles(pen, chosen()); trades(pen, chosen()); },
  };
  function seen({ ctx, X, top, low }) {
    for (const [from, to] of data.known) {
      if (to < view.from || from > view.to) continue;
      ctx.fillStyle = colour.known;
      ctx.fillRect(X(from), top, X(to) - X(from), low - top);
    }
  }
  function ribbon({ ctx, X, right, low }) {
    const top = low + 6, bar = X(curve.time[1]) - X(curve.time[0]);
    if (!(bar < 2)) { // a rectangle a candle
      for (let i = Math.max(first(curve.time, view.from), 0); i < curve.time.length && curve.time[i] <= view.to + bar; i++) {
        const x = X(i ? curve.time[i - 1] : data.start);
        if (curve.regime[i] >= 0) { ctx.fillStyle = colour[REGIMES[curve.regime[i]]]; ctx.fillRect(x, top, X(curve.time[i]) - x + 0.5, RIBBON); }
      }
      return;
    }
    const ms = (view.to - view.from) / right;
    for (let x = 0; x < right; x++) { // a column of shares a pixel
      const a = first(curve.time, view.from + x * ms), b = Math.max(first(curve.time, view.from + (x + 1) * ms), a + 1);
      const many = Math.min(b, curve.time.length) - a;
      for (let r = 2, y = top; many > 0 && r >= 0; r--) {
        const tall = (RIBBON * (curve.before[r][a + many] - curve.before[r][a])) / many;
        ctx.fillStyle = colour[REGIMES[r]]; ctx.fillRect(x, y, 1.3, tall); y += tall;
      }
    }
  }
  function candles(pen, s) {
    const { ctx, X, Y, right } = pen, wide = X(s.time[0] + s.length) - X(s.time[0]);
    const from = Math.max(first(s.time, view.from - s.length), 0), to = first(s.time, view.to);
    if (wide < 3) {
      ctx.fillStyle = colour.candle;
      if (to - from > right) {
        let column = NaN, low = 0, high = 0;
        const flush = () => ctx.fillRect(column, Y(high), 1, Math.max(Y(low) - Y(high), 0.7));
        for (let i = from; i < to; i++) {
          const x = Math.round(X(s.time[i]));
          if (x !== column) { if (!Number.isNaN(column)) flush(); column = x; low = s.low[i]; high = s.high[i]; }
          else { low = Math.min(low, s.low[i]); high = Math.max(high, s.high[i]); }
        }
        if (!Number.isNaN(column)) flush();
      } else for (let i = from; i < to; i++) ctx.fillRect(X(s.time[i]), Y(s.high[i]), Math.max(wide, 1), Math.max(Y(s.low[i]) - Y(s.high[i]), 0.7));
      return;
    }
    const body = Math.max(wide * 0.66, 1.5);
    for (let i = from; i < to; i++) {
      const x = X(s.time[i]) + wide / 2, up = s.close[i] >= s.open[i];
      ctx.fillStyle = ctx.strokeStyle = up ? colour.up : colour.down;
      ctx.fillRect(x - 0.5, Y(s.high[i]), 1, Y(s.low[i]) - Y(s.high[i]));
      ctx.fillRect(x - body / 2, Y(Math.max(s.open[i], s.close[i])), body, Math.max(Math.abs(Y(s.open[i]) - Y(s.close[i])), 1));
    }
  }
  function trades({ ctx, X, Y, right }, s) {
    const shown = s.trades.filter((t) => t.to >= view.from && t.from <= view.to), few = shown.length < right / 4;
    const size = few ? 5 : 2.5;
    for (const t of shown) {
      const x = X(t.from), y = Y(t.entry);
      if (few) {
        ctx.strokeStyle = t.profit > 0 ? colour.gain : colour.loss; ctx.lineWidth = 1.6;
        ctx.beginPath(); ctx.moveTo(x, y); ctx.lineTo(X(t.to), Y(t.exit)); ctx.stroke();
        ctx.fillStyle = ctx.strokeStyle; ctx.fillRect(X(t.to) - 2, Y(t.exit) - 2, 4, 4);
      }
      ctx.fillStyle = t.side > 0 ? colour.long : colour.short;
      const tip = y + t.side * 2, foot = y + t.side * (2 + size * 1.7);
      ctx.beginPath(); ctx.moveTo(x, tip); ctx.lineTo(x - size, foot); ctx.lineTo(x + size, foot); ctx.fill();
    }
  }
  const chances = {
    title: "P(long pays), P(short pays); dashed: entry", weight: 1.2,
    extent: () => { const [a, b] = extent(chosen().time, chosen().long, chosen().short); return [Math.min(a, data.long_entry, data.short_entry), Math.max(b, data.long_entry, data.short_entry)]; },
    label: (v) => figure(v, 2),
    paint(pen) {
      const s = chosen();
      line(pen, s.time, s.short, colour.short, 1); line(pen, s.time, s.long, colour.long, 1);
      flat(pen, data.long_entry, colour.long);
      flat(pen, data.short_entry, colour.short);
    },
  };

  function ofEquity(t) {
    const i = Math.max(last(curve.time, t), 0), parts = [when(curve.time[i]), "this set " + money(curve.equity[i])];
    parts.push("drawdown " + percent(curve.equityFall[i]));
    if (curve.champion) parts.push("champion " + percent(curve.champion[i] - 1));
    return [...parts, "buy and hold " + percent(curve.hold[i] - 1)].join("  ·  ");
  }
  function ofPrice(t) {
    const s = chosen(), i = Math.max(last(s.time, t), 0), d = s.digits, chance = (v) => (Number.isNaN(v) ? "none" : v.toFixed(3));
    const regime = REGIMES[curve.regime[Math.min(first(curve.time, t), curve.regime.length - 1)]] ?? "not settled";
    const parts = [`${when(s.time[i])}  ${s.name} ${figure(s.open[i], d)} → ${figure(s.close[i], d)}`];
    parts.push(`P(long) ${chance(s.long[i])}, P(short) ${chance(s.short[i])}`, regime + " volatility");
    const trade = s.trades.find((x) => x.from <= t && x.to >= t);
    if (trade) parts.push(`${trade.side > 0 ? "long" : "short"} ×${trade.leverage} from ${figure(trade.entry, d)} to ${figure(trade.exit, d)}, ${signed(trade.profit, 2)} ${data.quote} (${trade.reason})`);
    return parts.join("  ·  ");
  }
  const charts = [
    { canvas: $("equity-chart"), out: $("equity-out"), panes: [equity, fall], says: ofEquity },
    { canvas: $("price-chart"), out: $("price-out"), panes: [price, chances], says: ofPrice },
  ];

  // ---- hands: pointer, wheel, touch, keys, buttons ---------------------------------------------------------------

  for (const chart of charts) {
    const { canvas } = chart, down = new Map();
    const place = (event) => chart.time(event.clientX - canvas.getBoundingClientRect().left);
    canvas.addEventListener("pointerdown", (event) => { down.set(event.pointerId, place(event)); canvas.setPointerCapture(event.pointerId); });
    for (const end of ["pointerup", "pointercancel"]) canvas.addEventListener(end, (event) => down.delete(event.pointerId));
    canvas.addEventListener("pointermove", (event) => {
      view.spoken = false;
      const now = place(event), held = down.get(event.pointerId);
      if (held === undefined) { view.cursor = now; redraw(); return; }
      if (down.size === 1) { view.cursor = null; pan(held - now); return; }
      const other = [...down].find(([id]) => id !== event.pointerId)[1]; // two fingers: both stay on their instants
      if (Math.abs(now - other) > 1) zoom(Math.abs((held - other) / (now - other)), other);
    });
    canvas.addEventListener("pointerleave", () => { view.cursor = null; redraw(); });
    canvas.addEventListener("dblclick", () => show(data.start, data.end));
    canvas.addEventListener("wheel", (event) => { // the page scrolls, unless the chart was clicked or Ctrl is held
      if (Math.abs(event.deltaX) > Math.abs(event.deltaY)) { event.preventDefault(); pan(((view.to - view.from) * event.deltaX) / 800); return; }
      if (!event.ctrlKey && document.activeElement !== canvas) return;
      event.preventDefault();
      zoom(Math.exp(Math.max(-1, Math.min(1, event.deltaY / 300))), place(event));
    }, { passive: false });
    canvas.addEventListener("keydown", (event) => {
      const span = view.to - view.from, sign = { ArrowLeft: -1, ArrowRight: 1 }[event.key];
      if (sign && event.shiftKey) {
        view.spoken = true;
        view.cursor = Math.min(Math.max((view.cursor ?? (view.from + view.to) / 2) + sign * Math.max(data.symbols[0].length, span / 100), view.from), view.to);
        redraw();
      } else if (sign) pan(sign * span * 0.15);
      else if (event.key === "+" || event.key === "=") zoom(0.6, view.cursor ?? undefined);
      else if (event.key === "-") zoom(1 / 0.6, view.cursor ?? undefined);
      else if (event.key === "Home") show(data.start, data.start + span);
      else if (event.key === "End") show(data.end - span, data.end);
      else if (event.key === "0") show(data.start, data.end);
      else if (event.key === "Escape") { canvas.blur(); return; }
      else return;
      event.preventDefault();
    });
  }

  const acts = {
    in: () => zoom(0.5), out: () => zoom(2), back: () => pan((view.from - view.to) / 2), on: () => pan((view.to - view.from) / 2),
    all: () => show(data.start, data.end),
    log(button) { view.log = !view.log; document.querySelectorAll("[data-act=log]").forEach((b) => b.setAttribute("aria-pressed", view.log)); redraw(); },
    days(button) { const ms = button.dataset.days * DAY; show(view.to - ms, view.to); },
    trade(button) {
      const from = +button.dataset.from, to = +button.dataset.to, room = Math.max((to - from) * 2, 24 * HOUR);
      view.symbol = +button.dataset.symbol;
      if ($("symbol")) $("symbol").value = view.symbol;
      show(from - room, to + room);
      $("price").scrollIntoView({ behavior: matchMedia("(prefers-reduced-motion: reduce)").matches ? "auto" : "smooth" });
      $("price-chart").focus({ preventScroll: true });
    },
    async copy(button) {
      const words = $("command").textContent;
      try { await navigator.clipboard.writeText(words); } catch {
        getSelection().selectAllChildren($("command"));
        document.execCommand("copy");
      }
      button.textContent = "copied";
      setTimeout(() => { button.textContent = "copy"; }, 1500);
    },
  };
  document.addEventListener("click", (event) => {
    const button = event.target.closest("[data-act]");
    if (button) acts[button.dataset.act](button);
  });
  $("symbol")?.addEventListener("change", (event) => { view.symbol = +event.target.value; redraw(); });

  new ResizeObserver(redraw).observe($("equity-chart"));
  const fresh = () => { colours(); charts.forEach(draw); };
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", fresh);
  let opened = [];
  addEventListener("beforeprint", () => {
    root.dataset.print = "";
    opened = [...document.querySelectorAll("details:not([open])")];
    opened.forEach((d) => { d.open = true; });
    fresh();
  });
  addEventListener("afterprint", () => { delete root.dataset.print; opened.forEach((d) => { d.open = false; }); fresh(); });

  fresh();
  document.body.dataset.ready = "yes";
})();
