// One stretch of time, drawn on every canvas of the page: scales, grid, words, and what lines are made of.

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

// 1, 2 and 5 times powers of ten, for a wide logarithmic scale
const powers = (low, high) => [1, 2, 5].flatMap((m) =>
  Array.from({ length: 24 }, (_, k) => m * 10 ** (k - 12))).filter((v) => v >= low && v <= high);

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
  const ctx = canvas.getContext("2d"), right = width - (width < 500 ? 52 : 62), floor = height - 20;
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
    const wide = f === Math.log && max > 4 * min;
    for (const v of wide ? powers(min, max) : round(min, max, Math.max(2, (low - high) / 42))) {
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

const rows = (times) => [Math.max(first(times, view.from) - 1, 0), Math.min(first(times, view.to) + 1, times.length)];

// Lowest, highest, last and mean of the values in each column of pixels; a column without any is left out.
function columns({ X }, times, values) {
  const out = [], [from, to] = rows(times);
  for (let i = from, column; i < to; i++) {
    const v = values[i], x = Math.round(X(times[i]));
    if (Number.isNaN(v)) continue;
    if (column?.x !== x) out.push((column = { x, low: v, high: v, sum: 0, many: 0 }));
    column.low = Math.min(column.low, v); column.high = Math.max(column.high, v);
    column.end = v; column.sum += v; column.many++;
  }
  return out;
}

// A line; where there are many values a pixel, their whole reach is drawn, or with `soft` a pale reach and the mean.
function line(pen, times, values, stroke, width = 1.4, soft = false) {
  const { ctx, X, Y, right } = pen, [from, to] = rows(times);
  ctx.strokeStyle = ctx.fillStyle = stroke; ctx.lineWidth = width; ctx.lineJoin = "round";
  const dense = to - from > 3 * right ? columns(pen, times, values) : null;
  if (dense && soft) {
    ctx.globalAlpha = 0.22;
    for (const c of dense) ctx.fillRect(c.x, Y(c.high), 1, Y(c.low) - Y(c.high));
    ctx.globalAlpha = 1;
  }
  ctx.beginPath();
  if (dense) for (const c of dense) for (const v of soft ? [c.sum / c.many] : [c.low, c.high, c.end]) ctx.lineTo(c.x, Y(v));
  else for (let i = from, on = false; i < to; i++) {
    if (Number.isNaN(values[i])) { on = false; continue; }
    if (on) ctx.lineTo(X(times[i]), Y(values[i])); else ctx.moveTo(X(times[i]), Y(values[i]));
    on = true;
  }
  ctx.stroke();
}

function extent(times, ...columns) {
  let min = Infinity, max = -Infinity;
  const [from, to] = rows(times);
  for (const values of columns) if (values) for (let i = from; i < to; i++) {
    if (values[i] < min) min = values[i];
    if (values[i] > max) max = values[i];
  }
  return min > max ? [0, 1] : [min, max];
}
function area({ ctx, X, Y }, times, values, fill) {
  const [from, to] = rows(times);
  ctx.fillStyle = fill; ctx.beginPath(); ctx.moveTo(X(times[from]), Y(0));
  for (let i = from; i < to; i++) ctx.lineTo(X(times[i]), Y(values[i]));
  ctx.lineTo(X(times[to - 1]), Y(0)); ctx.fill();
}
function flat({ ctx, Y, right }, value, stroke) {
  ctx.strokeStyle = stroke; ctx.lineWidth = 1; ctx.setLineDash([5, 4]); ctx.beginPath();
  ctx.moveTo(0, Y(value)); ctx.lineTo(right, Y(value)); ctx.stroke(); ctx.setLineDash([]);
}
