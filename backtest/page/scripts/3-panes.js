// The four panes, and what is said of an instant: equity, drawdown, price with trades and regimes, chances.

const equity = {
  title: "equity, start = 1", weight: 3, log: true,
  extent() {
    const [a, b] = extent(curve.time, curve.equity, curve.hold, curve.champion);
    return [Math.min(a, 1), Math.max(b, 1)];
  },
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
const RIBBON = 14, REGIMES = ["low", "mid", "high"];
const price = {
  get title() { const ms = chosen().length; return `price, candles of ${ms < HOUR ? ms / 60000 + " min" : ms / HOUR + " h"}`; },
  weight: 3, foot: RIBBON + 4, log: true,
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
  if (!(bar < 2)) { // a rectangle from each decision to the next
    for (let i = Math.max(last(curve.time, view.from), 0); i < curve.time.length - 1 && curve.time[i] <= view.to; i++) {
      if (curve.regime[i] < 0) continue;
      ctx.fillStyle = colour[REGIMES[curve.regime[i]]];
      ctx.fillRect(X(curve.time[i]), top, X(curve.time[i + 1]) - X(curve.time[i]) + 0.5, RIBBON);
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
  const { ctx, X, Y } = pen, wide = X(s.time[0] + s.length) - X(s.time[0]);
  const from = Math.max(first(s.time, view.from - s.length), 0), to = first(s.time, view.to);
  if (wide < 3) {
    ctx.fillStyle = colour.candle;
    const tops = columns(pen, s.time, s.high), feet = columns(pen, s.time, s.low);
    tops.forEach((c, i) => ctx.fillRect(c.x, Y(c.high), Math.max(wide, 1), Math.max(Y(feet[i].low) - Y(c.high), 0.7)));
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
  const shown = s.trades.filter((t) => t.to >= view.from && t.from <= view.to), few = shown.length < right / 7;
  const many = shown.length > right / 2, size = few ? 5 : 3;
  for (const t of shown) {
    const x = X(t.from), y = Y(t.entry);
    if (many) { ctx.fillStyle = t.side > 0 ? colour.long : colour.short; ctx.fillRect(x - 1, y - 1, 2, 2); continue; }
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
  extent() {
    const [a, b] = extent(chosen().told, chosen().long, chosen().short);
    return [Math.min(a, data.long_entry, data.short_entry), Math.max(b, data.long_entry, data.short_entry)];
  },
  label: (v) => figure(v, 2),
  paint(pen) {
    const s = chosen();
    line(pen, s.told, s.short, colour.short, 1, true); line(pen, s.told, s.long, colour.long, 1, true);
    flat(pen, data.long_entry, colour.long); flat(pen, data.short_entry, colour.short);
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
  const regime = REGIMES[curve.regime[last(curve.time, t)]] ?? "not settled";
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
