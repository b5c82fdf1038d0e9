// How quantities are distributed: over all structures of the molecule, and over those that the filter leaves. A bar is a filter too.

const CHARTS = ["density", "relative_energy", "volume", "clash", "a", "b", "c", "alpha", "beta", "gamma"];
const CHART = { width: 240, height: 132, left: 30, right: 8, top: 8, bottom: 24, bins: 24 };
const BAR = (CHART.width - CHART.left - CHART.right) / CHART.bins;
const FOOT = CHART.height - CHART.bottom;
// by quantity: its figure and what is in it; which bar the keys are at
const charts = new Map();
const at = new Map();

function startDistributions() {
  on("shown", drawDistributions);
  on("structure", markChosen);
}

function drawDistributions() {
  const all = ofMolecule();
  const focused = document.activeElement?.closest?.("#charts svg")?.dataset.name;
  charts.clear();
  for (const name of CHARTS) if (isKnown(name, all)) charts.set(name, chartOf(name, all));
  byId("charts").replaceChildren(...[...charts.values()].map((chart) => chart.figure));
  markChosen();
  if (focused) charts.get(focused)?.image.focus({ preventScroll: true });
}

/** The bar that a value belongs to; null where it is unknown. */
function barOf(x, low, high) {
  return x === null ? null : Math.min(CHART.bins - 1, Math.max(0, Math.floor(((x - low) / (high - low)) * CHART.bins)));
}

function binned(name, which, low, high) {
  const counts = new Array(CHART.bins).fill(0);
  for (const i of which) {
    const bar = barOf(rows[name][i], low, high);
    if (bar !== null) counts[bar]++;
  }
  return counts;
}

/** Values between which bars lie, as text. */
function between(name, range) {
  const edge = (k) => formatted(name, range.low + ((range.high - range.low) * k) / CHART.bins);
  return `${edge(range.first)} to ${edge(range.last + 1)}`;
}

function chartOf(name, all) {
  const [low, high] = rangeOf(
    all.map((i) => rows[name][i]),
    0.02,
  );
  const chart = { name, low, high, every: binned(name, all, low, high), some: binned(name, choice.shown, low, high) };
  chart.middle = median(choice.shown.map((i) => rows[name][i]));
  chart.note = el("span", { class: "quiet", "aria-live": "polite" });
  chart.image = imageOf(chart);
  chart.figure = el("figure", {}, el("figcaption", {}, el("span", {}, headingOf(name)), chart.note), chart.image);
  sayOf(chart);
  return chart;
}

function imageOf(chart) {
  const { name, low, high, every, some } = chart;
  const y = scaled([0, Math.max(1, ...every)], FOOT, CHART.top);
  const x = scaled([low, high], CHART.left, CHART.width - CHART.right);
  const bars = (counts, kind) =>
    counts.map((n, k) =>
      n ? svg("rect", { class: kind, x: CHART.left + k * BAR + 0.5, y: y(n), width: BAR - 1, height: FOOT - y(n) }) : null,
    );
  const marks = ticks(low, high, 3);
  const range = choice.ranges.get(name);
  const right = CHART.width - CHART.right;
  chart.cursor = band("cursor", 0, 0);
  chart.cursor.setAttribute("visibility", "hidden");
  chart.mark = svg("path", { class: "chosen-mark" });
  const image = svg(
    "svg",
    {
      viewBox: `0 0 ${CHART.width} ${CHART.height}`,
      tabindex: 0,
      role: "application",
      "data-name": name,
      "aria-label":
        `${headingOf(name)}: from ${formatted(name, low)} to ${formatted(name, high)}, median ${formatted(name, chart.middle)}. ` +
        "Left and right go from bar to bar, Enter filters the table by it, Shift and Enter extend, Escape clears.",
    },
    range ? band("picked", range.first, range.last) : null,
    svg("line", { class: "grid", x1: CHART.left, x2: right, y1: CHART.top, y2: CHART.top }),
    svg("text", { x: CHART.left - 5, y: CHART.top + 4, "text-anchor": "end" }, String(Math.max(1, ...every))),
    svg("text", { x: CHART.left - 5, y: FOOT + 3, "text-anchor": "end" }, "0"),
    bars(every, "every"),
    bars(some, "some"),
    chart.cursor,
    svg("line", { class: "base", x1: CHART.left, x2: right, y1: FOOT, y2: FOOT }),
    marks.values.map((value) => svg("text", { x: x(value), y: FOOT + 16, "text-anchor": "middle" }, marks.text(value))),
    chart.mark,
  );
  listen(chart, image);
  return image;
}

function band(kind, first, last) {
  return svg("rect", { class: kind, x: CHART.left + first * BAR, y: CHART.top, width: (last - first + 1) * BAR, height: FOOT - CHART.top });
}

function listen(chart, image) {
  const under = (event) => {
    const box = image.getBoundingClientRect();
    const place = Math.floor((((event.clientX - box.left) / box.width) * CHART.width - CHART.left) / BAR);
    return place >= 0 && place < CHART.bins && chart.every[place] ? place : null;
  };
  image.addEventListener("pointermove", (event) => pointAt(chart, under(event)));
  image.addEventListener("pointerleave", () => pointAt(chart, null));
  image.addEventListener("focus", () => image.matches(":focus-visible") && pointAt(chart, nextBar(chart, at.get(chart.name) ?? -1, 0)));
  image.addEventListener("blur", () => pointAt(chart, null));
  image.addEventListener("click", (event) => pick(chart, under(event), event.shiftKey));
  image.addEventListener("keydown", (event) => keyOnChart(chart, event));
}

/** The bar at or after one, in a direction, that holds structures; the same bar where there is none. */
function nextBar(chart, from, step) {
  const filled = chart.every.flatMap((n, k) => (n ? [k] : []));
  if (step < 0) return filled.findLast((k) => k < from) ?? filled[0];
  return filled.find((k) => (step ? k > from : k >= from)) ?? filled.at(-1);
}

function pointAt(chart, bar) {
  chart.bar = bar;
  chart.image.classList.toggle("pointed", bar !== null);
  chart.cursor.setAttribute("visibility", bar === null ? "hidden" : "visible");
  if (bar !== null) chart.cursor.setAttribute("x", CHART.left + bar * BAR);
  sayOf(chart);
}

/** Beside the heading: what the bar under the pointer is, else what filters, else the median. */
function sayOf(chart) {
  const range = choice.ranges.get(chart.name);
  const median = chart.middle === null ? "" : `median ${formatted(chart.name, chart.middle)}`;
  if (Number.isInteger(chart.bar)) {
    const bar = { ...chart, first: chart.bar, last: chart.bar };
    const [some, every] = [chart.some[chart.bar], chart.every[chart.bar]];
    chart.note.textContent = `${between(chart.name, bar)}: ${some === every ? every : `${some} of ${every}`}`;
  } else chart.note.textContent = range ? between(chart.name, range) : median;
}

/** Filter by a bar, or by all from those that filter to this one; the bar that filters alone is switched off. */
function pick(chart, bar, extend) {
  if (bar === null) return;
  at.set(chart.name, bar);
  const range = choice.ranges.get(chart.name);
  const { name, low, high } = chart;
  if (range && extend) setRange(name, { low, high, first: Math.min(range.first, bar), last: Math.max(range.last, bar) });
  else setRange(name, range && range.first === bar && range.last === bar ? null : { low, high, first: bar, last: bar });
}

function keyOnChart(chart, event) {
  const bar = at.get(chart.name) ?? nextBar(chart, 0, 0);
  const steps = { ArrowLeft: [bar, -1], ArrowRight: [bar, 1], Home: [0, 0], End: [CHART.bins, 0] };
  if (event.key in steps) at.set(chart.name, nextBar(chart, ...steps[event.key]));
  else if (event.key === "Enter" || event.key === " ") pick(chart, bar, event.shiftKey);
  else if (event.key === "Escape" && choice.ranges.has(chart.name)) setRange(chart.name, null);
  else return;
  event.preventDefault();
  // a new filter has drawn the charts anew
  pointAt(charts.get(chart.name), at.get(chart.name) ?? bar);
}

function markChosen() {
  for (const { name, low, high, mark } of charts.values()) {
    const chosen = choice.structure === null ? null : rows[name][choice.structure];
    const x = scaled([low, high], CHART.left, CHART.width - CHART.right);
    mark.setAttribute("d", Number.isFinite(chosen) ? `M${x(chosen)} ${CHART.top}V${FOOT}` : "");
  }
}
