"use strict";
// What the page carries, unpacked: the curve of the account, and each symbol's candles, chances and trades.
// The files of this folder are one script, in the order of their names.

const data = JSON.parse(document.getElementById("data").textContent);
const root = document.documentElement, HOUR = 3600000, DAY = 24 * HOUR;
const $ = (id) => document.getElementById(id);

function unpack(text) {
  const bytes = atob(text), out = new Float64Array(bytes.length);
  let many = 0;
  for (let at = 0; at < bytes.length; ) {
    let value = 0, scale = 1, byte;
    do { byte = bytes.charCodeAt(at++); value += (byte & 127) * scale; scale *= 128; } while (byte & 128);
    out[many++] = value % 2 ? -(value + 1) / 2 : value / 2;
  }
  return out.slice(0, many);
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
    told: time.map((t) => t + raw.length), // a chance is told at its candle's close
    long: shares(raw.long), short: shares(raw.short), trades,
  };
}
const read = data.symbols.map(() => null);
const chosen = () => (read[view.symbol] ??= symbol(data.symbols[view.symbol]));
