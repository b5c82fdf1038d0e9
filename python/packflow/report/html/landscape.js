// Structures as points between two axes, such as density and energy: hover, zoom, click; arrow keys go from point to point.

const MARGIN = { left: 62, right: 16, top: 14, bottom: 46 };
const NEAR = 14;
const ORDER = ["no crystal", "implausible", "failed", "left out", "duplicate", "sampled", "relaxed", "ranked"];
const COLORS = 8;
const plot = {
  x: "density",
  y: "relative_energy",
  color: "status",
  window: null,
  everything: false,
  width: 0,
  height: 0,
  points: [],
  drag: null,
};

function startLandscape() {
  const all = ofMolecule();
  plot.y = isKnown("relative_energy", all) ? "relative_energy" : new Set(all.map((i) => rows.clash[i])).size > 1 ? "clash" : "c";
  for (const axis of ["x", "y"]) {
    const select = byId(`axis-${axis}`);
    select.append(
      ...Object.keys(QUANTITIES)
        .filter((name) => report.n_listed === 0 || isKnown(name, [...Array(nRows).keys()]))
        .map((name) => el("option", { value: name }, headingOf(name))),
    );
    select.value = plot[axis];
    select.addEventListener("change", () => {
      plot[axis] = select.value;
      zoomOut();
    });
  }
  const colors = byId("color-by");
  colors.append(el("option", { value: "status" }, "status"), el("option", { value: "n_copies" }, "molecules"));
  if (rows.space_group.some(Boolean)) colors.append(el("option", { value: "space_group" }, "space group"));
  colors.addEventListener("change", () => {
    plot.color = colors.value;
    drawLandscape();
  });
  const area = byId("landscape");
  new ResizeObserver(() => {
    plot.width = area.clientWidth;
    plot.height = area.clientHeight;
    drawLandscape();
  }).observe(area);
  pointerOn(area);
  area.addEventListener("keydown", keyOnLandscape);
  area.addEventListener("focus", () => choice.structure !== null && showTip(choice.structure));
  area.addEventListener("blur", hideTip);
  byId("zoom-in").addEventListener("click", () => zoom(0.7));
  byId("zoom-out").addEventListener("click", () => zoom(1 / 0.7));
  byId("zoom-all").addEventListener("click", showAll);
  on("shown", zoomOut);
  on("structure", drawRing);
}

function zoomOut() {
  plot.window = null;
  plot.everything = false;
  drawLandscape();
}

function showAll() {
  plot.window = null;
  plot.everything = true;
  drawLandscape();
}

function zoom(factor, at = null) {
  const { x, y } = windowOf();
  const around = (range, center) => range.map((edge) => center + factor * (edge - center));
  const middle = (range) => (range[0] + range[1]) / 2;
  plot.window = { x: around(x, at ? at[0] : middle(x)), y: around(y, at ? at[1] : middle(y)) };
  drawLandscape();
}

function windowOf() {
  if (plot.window) return plot.window;
  const marks = referenceMarks();
  const which = plot.everything ? plottable() : mostPoints();
  const values = (axis) => [...which.map((i) => rows[plot[axis]][i]), ...marks.map((mark) => mark[axis])];
  return { x: rangeOf(values("x")), y: rangeOf(values("y"), 0.06) };
}

/** Without a few energies far above the others, which would press those to the ground; what was left out may be far below. */
function mostPoints() {
  const which = plottable();
  if (!["relative_energy", "lattice_energy", "energy_above_known"].includes(plot.y)) return which;
  const sound = which.filter((i) => statusOf(i) !== "left out");
  const sorted = sound.map((i) => rows[plot.y][i]).sort((p, q) => p - q);
  const [low, high] = [sorted[0], sorted[Math.floor(0.97 * (sorted.length - 1))]];
  const limit = high + 0.5 * (high - low);
  const kept = sound.filter((i) => rows[plot.y][i] <= limit);
  return kept.length > 2 ? kept : which;
}

function plottable() {
  return choice.shown.filter((i) => rows[plot.x][i] !== null && rows[plot.y][i] !== null);
}

function scaled(range, first, last) {
  const factor = (last - first) / (range[1] - range[0]);
  const to = (value) => first + factor * (value - range[0]);
  to.back = (pixel) => range[0] + (pixel - first) / factor;
  return to;
}

function scales() {
  const { x, y } = windowOf();
  return { x: scaled(x, MARGIN.left, plot.width - MARGIN.right), y: scaled(y, plot.height - MARGIN.bottom, MARGIN.top) };
}

/** Where known crystals lie: density as measured, energy from the ranking. */
function referenceMarks() {
  const marks = [];
  const ranked = ofMolecule().find((i) => rows.energy_above_known[i] !== null);
  const above = { relative_energy: true, lattice_energy: true }[plot.y] && ranked !== undefined ? rows[plot.y][ranked] : null;
  const y = above === null ? null : above - rows.energy_above_known[ranked];
  const own = report.references.filter((one) => one.molecule === choice.molecule);
  for (const one of own) marks.push({ name: one.name, x: plot.x === "density" ? one.density : null, y: own.length === 1 ? y : null });
  if (own.length !== 1 && y !== null) marks.push({ name: "known crystal", x: null, y });
  return marks.filter((mark) => mark.x !== null || mark.y !== null);
}

function drawLandscape() {
  if (!plot.width) return;
  const at = scales();
  const [right, bottom] = [plot.width - MARGIN.right, plot.height - MARGIN.bottom];
  const which = plottable().sort((i, j) => ORDER.indexOf(statusOf(i)) - ORDER.indexOf(statusOf(j)) || j - i);
  plot.points = which.map((i) => ({ i, x: at.x(rows[plot.x][i]), y: at.y(rows[plot.y][i]) }));
  const color = colorOf();
  const image = svg(
    "svg",
    { width: plot.width, height: plot.height, "aria-hidden": "true" },
    svg(
      "defs",
      {},
      svg(
        "clipPath",
        { id: "inside" },
        svg("rect", { x: MARGIN.left, y: MARGIN.top, width: right - MARGIN.left, height: bottom - MARGIN.top }),
      ),
    ),
    svg("rect", { class: "ground", x: MARGIN.left, y: MARGIN.top, width: right - MARGIN.left, height: bottom - MARGIN.top }),
    axisMarks(at.x, windowOf().x, "x", bottom, right),
    axisMarks(at.y, windowOf().y, "y", bottom, right),
    svg(
      "g",
      { "clip-path": "url(#inside)" },
      referenceLines(at, bottom, right),
      plot.points.map((point) => pointMark(point, color)),
      referenceDiamonds(at),
      svg("g", { id: "ring" }),
    ),
    svg("rect", { id: "rubber", width: 0, height: 0 }),
  );
  byId("landscape-image").replaceChildren(image);
  byId("landscape-empty").hidden = which.length > 0;
  drawLegend(color);
  drawRing();
  const outside = plot.points.filter((p) => p.x < MARGIN.left || p.x > right || p.y < MARGIN.top || p.y > bottom).length;
  byId("outside").textContent = outside ? `${outside} outside the view` : "";
}

function drawRing() {
  const ring = byId("ring");
  if (!ring) return;
  const point = plot.points.find((p) => p.i === choice.structure);
  ring.replaceChildren(...(point ? [svg("circle", { class: "ring", cx: point.x, cy: point.y, r: 9.5 })] : []));
}
