// How quantities are distributed: over all structures of the molecule, and over those that the filter leaves.

const CHARTS = ["density", "relative_energy", "volume", "clash", "a", "b", "c", "alpha", "beta", "gamma"];
const CHART = { width: 240, height: 132, left: 30, right: 8, top: 8, bottom: 24, bins: 24 };

function startDistributions() {
  on("shown", drawDistributions);
  on("structure", drawDistributions);
}

function drawDistributions() {
  const all = ofMolecule();
  const charts = CHARTS.filter((name) => isKnown(name, all)).map((name) => chartOf(name, all));
  byId("charts").replaceChildren(...charts);
}

function binned(name, which, low, high) {
  const counts = new Array(CHART.bins).fill(0);
  for (const i of which) {
    const x = rows[name][i];
    if (x === null) continue;
    counts[Math.min(CHART.bins - 1, Math.floor(((x - low) / (high - low)) * CHART.bins))]++;
  }
  return counts;
}

function chartOf(name, all) {
  const [low, high] = rangeOf(
    all.map((i) => rows[name][i]),
    0.02,
  );
  const [every, some] = [binned(name, all, low, high), binned(name, choice.shown, low, high)];
  const most = Math.max(1, ...every);
  const bottom = CHART.height - CHART.bottom;
  const x = scaled([low, high], CHART.left, CHART.width - CHART.right);
  const y = scaled([0, most], bottom, CHART.top);
  const width = (CHART.width - CHART.left - CHART.right) / CHART.bins;
  const bars = (counts, kind) =>
    counts.map((n, k) =>
      n ? svg("rect", { class: kind, x: CHART.left + k * width + 0.5, y: y(n), width: width - 1, height: bottom - y(n) }) : null,
    );
  const marks = ticks(low, high, 3);
  const chosen = choice.structure === null ? null : rows[name][choice.structure];
  const middle = median(choice.shown.map((i) => rows[name][i]));
  const image = svg(
    "svg",
    {
      viewBox: `0 0 ${CHART.width} ${CHART.height}`,
      role: "img",
      "aria-label": `${headingOf(name)}: from ${formatted(name, low)} to ${formatted(name, high)}, median ${formatted(name, middle)}`,
    },
    svg("line", { class: "grid", x1: CHART.left, x2: CHART.width - CHART.right, y1: CHART.top, y2: CHART.top }),
    svg("text", { x: CHART.left - 5, y: CHART.top + 4, "text-anchor": "end" }, String(most)),
    svg("text", { x: CHART.left - 5, y: bottom + 3, "text-anchor": "end" }, "0"),
    bars(every, "every"),
    bars(some, "some"),
    svg("line", { class: "base", x1: CHART.left, x2: CHART.width - CHART.right, y1: bottom, y2: bottom }),
    marks.values.map((value) => svg("text", { x: x(value), y: bottom + 16, "text-anchor": "middle" }, marks.text(value))),
    chosen === null ? null : svg("path", { class: "chosen-mark", d: `M${x(chosen)} ${CHART.top}V${bottom}` }),
  );
  return el(
    "figure",
    {},
    el(
      "figcaption",
      {},
      el("span", {}, headingOf(name)),
      el("span", { class: "quiet" }, middle === null ? "" : `median ${formatted(name, middle)}`),
    ),
    image,
  );
}
