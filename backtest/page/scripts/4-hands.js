// Hands on the charts: pointer, wheel, touch, keys, buttons; theme and print; and the first drawing.

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
  log() {
    view.log = !view.log;
    document.querySelectorAll("[data-act=log]").forEach((b) => b.setAttribute("aria-pressed", view.log));
    redraw();
  },
  days(button) { const ms = button.dataset.days * DAY; show(view.to - ms, view.to); },
  trade(button) {
    const from = +button.dataset.from, to = +button.dataset.to, room = Math.max((to - from) * 2, 24 * HOUR);
    view.symbol = +button.dataset.symbol;
    if ($("symbol")) $("symbol").value = view.symbol;
    show(from - room, to + room);
    $("price").scrollIntoView({ behavior: matchMedia("(prefers-reduced-motion: reduce)").matches ? "auto" : "smooth" });
    $("price-chart").focus({ preventScroll: true });
  },
  copy(button) { // by selection: the clipboard's own interface is shut to pages opened from a disk in some browsers
    getSelection().selectAllChildren($("command"));
    button.textContent = document.execCommand("copy") ? "copied" : "press Ctrl C";
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
  if (root.dataset.print !== undefined) return;
  root.dataset.print = "";
  opened = [...document.querySelectorAll("details:not([open])")];
  opened.forEach((d) => { d.open = true; });
  fresh();
});
addEventListener("afterprint", () => { delete root.dataset.print; opened.forEach((d) => { d.open = false; }); fresh(); });

const reach = extent(curve.time, curve.equity, curve.hold);
if (reach[0] > 0 && reach[1] > 5 * reach[0]) acts.log();
fresh();
document.body.dataset.ready = "yes";
