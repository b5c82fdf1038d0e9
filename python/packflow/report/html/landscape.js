// Structures as points between two axes, such as density and energy: hover, zoom, click; arrow keys go from point to point.

const MARGIN = { left: 62, right: 16, top: 14, bottom: 46 };
const NEAR = 14;
const ORDER = ["no crystal", "implausible", "failed", "left out", "duplicate", "sampled", "relaxed", "ranked"];
const COLORS = 8;
const plot = { x: "density", y: "relative_energy", color: "status", window: null, everything: false, width: 0, height: 0, points: [], drag: null };

function startLandscape() {
  const all = ofMolecule();
  plot.y = isKnown("relative_energy", all) ? "relative_energy" : new Set(all.map((i) => rows.clash[i])).size > 1 ? "clash" : "c";
  for (const axis of ["x", "y"]) {
    const select = byId(`axis-${axis}`);
    select.append(...Object.keys(QUANTITIES).filter((name) => report.n_listed === 0 || isKnown(name, [...Array(nRows).keys()])).map((name) => el("option", { value: name }, headingOf(name))));
    select.value = plot[axis];
    select.addEventListener("change", () => {
      plot[axis] = select.value;
      zoomOut();
    });
  }
  const colors = byId("color-by");
  colors.append(el("option", { value: "status" }, "what became of it"), el("option", { value: "n_copies" }, "molecules in the cell"));
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
    svg("defs", {}, svg("clipPath", { id: "inside" }, svg("rect", { x: MARGIN.left, y: MARGIN.top, width: right - MARGIN.left, height: bottom - MARGIN.top }))),
    svg("rect", { class: "ground", x: MARGIN.left, y: MARGIN.top, width: right - MARGIN.left, height: bottom - MARGIN.top }),
    axisMarks(at.x, windowOf().x, "x", bottom, right),
    axisMarks(at.y, windowOf().y, "y", bottom, right),
    svg("g", { "clip-path": "url(#inside)" }, referenceLines(at, bottom, right), plot.points.map((point) => pointMark(point, color)), referenceDiamonds(at), svg("g", { id: "ring" })),
    svg("rect", { id: "rubber", width: 0, height: 0 }),
  );
  byId("landscape-image").replaceChildren(image);
  byId("landscape-empty").hidden = which.length > 0;
  drawLegend(color);
  drawRing();
  const outside = plot.points.filter((p) => p.x < MARGIN.left || p.x > right || p.y < MARGIN.top || p.y > bottom).length;
  byId("outside").textContent = outside ? `${outside} outside the view` : "";
}

function axisMarks(to, range, axis, bottom, right) {
  const n = axis === "x" ? Math.max(3, Math.round((right - MARGIN.left) / 90)) : Math.max(3, Math.round((bottom - MARGIN.top) / 45));
  const { values, text } = ticks(range[0], range[1], n);
  const marks = values.map((value) => {
    const p = to(value);
    return axis === "x"
      ? [svg("line", { class: "grid", x1: p, x2: p, y1: MARGIN.top, y2: bottom }), svg("text", { x: p, y: bottom + 18, "text-anchor": "middle" }, text(value))]
      : [svg("line", { class: "grid", x1: MARGIN.left, x2: right, y1: p, y2: p }), svg("text", { x: MARGIN.left - 8, y: p + 4, "text-anchor": "end" }, text(value))];
  });
  const heading = headingOf(plot[axis]);
  const title =
    axis === "x"
      ? svg("text", { class: "axis-title", x: (MARGIN.left + right) / 2, y: bottom + 38, "text-anchor": "middle" }, heading)
      : svg("text", { class: "axis-title", transform: `translate(16 ${(MARGIN.top + bottom) / 2}) rotate(-90)`, "text-anchor": "middle" }, heading);
  return svg("g", { class: "axis" }, marks, title);
}

function pointMark({ i, x, y }, color) {
  const mark = markOf(statusOf(i), color.of(i));
  const size = plot.points.length > 400 ? " scale(0.7)" : "";
  mark.dataset.i = i;
  mark.setAttribute("transform", `translate(${x.toFixed(1)} ${y.toFixed(1)})${size}`);
  return mark;
}

function referenceLines(at, bottom, right) {
  return referenceMarks().map((mark) => [
    mark.x === null ? null : svg("line", { class: "reference-line", x1: at.x(mark.x), x2: at.x(mark.x), y1: MARGIN.top, y2: bottom }),
    mark.y === null ? null : svg("line", { class: "reference-line", x1: MARGIN.left, x2: right, y1: at.y(mark.y), y2: at.y(mark.y) }),
  ]);
}

function referenceDiamonds(at) {
  return referenceMarks().map((mark) => {
    const x = mark.x === null ? plot.width - MARGIN.right - 6 : at.x(mark.x);
    const y = mark.y === null ? MARGIN.top + 10 : at.y(mark.y);
    const anchor = x > plot.width / 2 ? "end" : "start";
    const diamond = mark.x !== null && mark.y !== null ? svg("path", { class: "reference-mark", d: `M${x} ${y - 8}l7 8l-7 8l-7 -8z` }) : null;
    return [diamond, svg("text", { class: "reference-name", x: x + (anchor === "end" ? -11 : 11), y: y - 8, "text-anchor": anchor }, mark.name)];
  });
}

/** Which class a structure is coloured by, and what the classes mean. */
function colorOf() {
  if (plot.color === "status") return { of: (i) => "by-status", entries: [] };
  const counts = new Map();
  for (const i of ofMolecule()) if (rows[plot.color][i] !== null) counts.set(rows[plot.color][i], (counts.get(rows[plot.color][i]) ?? 0) + 1);
  const most = [...counts].sort((p, q) => q[1] - p[1]).slice(0, COLORS - 1).map(([value]) => value);
  if (plot.color === "n_copies") most.sort((p, q) => p - q);
  const place = new Map(most.map((value, k) => [value, `color-${k}`]));
  const entries = most.map((value) => [String(value), place.get(value)]);
  if (counts.size > most.length) entries.push(["others", "color-other"]);
  return { of: (i) => place.get(rows[plot.color][i]) ?? "color-other", entries };
}

function drawLegend(color) {
  const statuses = report.statuses.filter((status) => report.molecules[choice.molecule].counts[status]);
  const chips = statuses.map((status) => {
    const pressed = !choice.statuses.has(status);
    const sample = svg("svg", { viewBox: "-7 -7 14 14", class: "sample", "aria-hidden": "true" }, markOf(status, color.entries.length ? "color-other" : "by-status"));
    return el("button", { type: "button", class: "chip", "aria-pressed": String(pressed), "data-status": status, title: pressed ? "hide these" : "show these", onclick: () => toggleStatus(status) }, sample, `${STATUS_TEXT[status]} `, el("span", { class: "number" }, String(report.molecules[choice.molecule].counts[status])));
  });
  const focused = document.activeElement?.dataset?.status;
  const meanings = color.entries.map(([text, kind]) => el("span", { class: "meaning" }, svg("svg", { viewBox: "-7 -7 14 14", class: "sample", "aria-hidden": "true" }, svg("circle", { class: `point ${kind}`, r: 5 })), plot.color === "space_group" && text !== "others" ? groupMark(text) : text));
  byId("legend").replaceChildren(...chips, ...meanings);
  if (focused) byId("legend").querySelector(`[data-status="${focused}"]`)?.focus();
}

function markOf(status, kind) {
  const name = `point ${status.replace(" ", "-")} ${kind}`;
  if (["no crystal", "implausible", "failed", "left out"].includes(status)) return svg("path", { class: name, d: "M-3.5 -3.5l7 7m0 -7l-7 7" });
  return svg("circle", { class: name, r: status === "duplicate" ? 3.5 : 5 });
}

function toggleStatus(status) {
  if (!choice.statuses.delete(status)) choice.statuses.add(status);
  filter();
}

function drawRing() {
  const ring = byId("ring");
  if (!ring) return;
  const point = plot.points.find((p) => p.i === choice.structure);
  ring.replaceChildren(...(point ? [svg("circle", { class: "ring", cx: point.x, cy: point.y, r: 9.5 })] : []));
}

function nearestPoint(x, y) {
  let best = null;
  for (const point of plot.points) {
    const distance = Math.hypot(point.x - x, point.y - y);
    // of points at one place the one that was drawn last is seen
    if (distance <= NEAR && (!best || distance <= best.distance)) best = { distance, point };
  }
  return best?.point ?? null;
}

function pointerOn(area) {
  const place = (event) => {
    const box = area.getBoundingClientRect();
    return [event.clientX - box.left, event.clientY - box.top];
  };
  area.addEventListener("pointerdown", (event) => {
    if (event.button !== 0) return;
    plot.drag = { from: place(event), moved: false };
    area.setPointerCapture(event.pointerId);
  });
  area.addEventListener("pointermove", (event) => {
    const at = place(event);
    if (plot.drag) {
      plot.drag.moved ||= Math.hypot(at[0] - plot.drag.from[0], at[1] - plot.drag.from[1]) > 5;
      if (plot.drag.moved) drawRubber(plot.drag.from, at);
      return;
    }
    const point = nearestPoint(...at);
    if (point) showTip(point.i);
    else hideTip();
  });
  area.addEventListener("pointerup", (event) => {
    const drag = plot.drag;
    plot.drag = null;
    if (!drag) return;
    if (drag.moved) zoomTo(drag.from, place(event));
    else {
      const point = nearestPoint(...place(event));
      if (point) choose(point.i);
    }
  });
  area.addEventListener("pointerleave", hideTip);
  area.addEventListener("dblclick", showAll);
  area.addEventListener("wheel", (event) => {
    // without a key the wheel scrolls the page, unless the plot has been entered
    if (!event.ctrlKey && !event.metaKey && document.activeElement !== area) return;
    event.preventDefault();
    const at = scales();
    const [x, y] = place(event);
    zoom(event.deltaY < 0 ? 0.85 : 1 / 0.85, [at.x.back(x), at.y.back(y)]);
  }, { passive: false });
}

function drawRubber(from, to) {
  const box = { x: Math.min(from[0], to[0]), y: Math.min(from[1], to[1]), width: Math.abs(to[0] - from[0]), height: Math.abs(to[1] - from[1]) };
  for (const [name, value] of Object.entries(box)) byId("rubber").setAttribute(name, value);
}

function zoomTo(from, to) {
  if (Math.abs(to[0] - from[0]) < 8 || Math.abs(to[1] - from[1]) < 8) {
    drawLandscape();
    return;
  }
  const at = scales();
  const sorted = (p, q) => (p < q ? [p, q] : [q, p]);
  plot.window = { x: sorted(at.x.back(from[0]), at.x.back(to[0])), y: sorted(at.y.back(from[1]), at.y.back(to[1])) };
  drawLandscape();
}

function showTip(i) {
  const point = plot.points.find((p) => p.i === i);
  if (!point) return;
  const tip = byId("tip");
  const lines = [plot.x, plot.y].map((name) => `${QUANTITIES[name][0]} ${formatted(name, rows[name][i])} ${QUANTITIES[name][1]}`);
  if (rows.space_group[i]) lines.push(rows.space_group[i]);
  tip.replaceChildren(el("strong", {}, rows.rank[i] ? `${rows.rank[i]} · ${rows.name[i]}` : rows.name[i]), ...lines.map((line) => el("span", {}, line)), el("span", { class: "quiet" }, STATUS_TEXT[statusOf(i)]));
  tip.hidden = false;
  const left = point.x + 16 + tip.offsetWidth > plot.width ? point.x - 16 - tip.offsetWidth : point.x + 16;
  tip.style.left = `${Math.max(0, left)}px`;
  tip.style.top = `${Math.min(Math.max(0, point.y - 20), plot.height - tip.offsetHeight)}px`;
}

function hideTip() {
  byId("tip").hidden = true;
}

/** The next point in a direction: near, and not far off to the side. */
function neighborIn(direction) {
  const inside = plot.points.filter((p) => p.x >= MARGIN.left && p.x <= plot.width - MARGIN.right && p.y >= MARGIN.top && p.y <= plot.height - MARGIN.bottom);
  const here = inside.find((p) => p.i === choice.structure) ?? plot.points.find((p) => p.i === choice.structure);
  if (!here) return inside[inside.length - 1] ?? null;
  let best = null;
  for (const p of inside) {
    const ahead = (p.x - here.x) * direction[0] + (p.y - here.y) * direction[1];
    const aside = Math.abs((p.x - here.x) * direction[1] - (p.y - here.y) * direction[0]);
    if (ahead < 0.5) continue;
    const cost = ahead + 2 * aside;
    if (!best || cost < best.cost) best = { cost, point: p };
  }
  return best?.point ?? null;
}

function keyOnLandscape(event) {
  const directions = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] };
  if (event.key in directions) {
    const point = neighborIn(directions[event.key]);
    if (point) {
      choose(point.i);
      showTip(point.i);
    }
  } else if (event.key === "+" || event.key === "=") zoom(0.7);
  else if (event.key === "-") zoom(1 / 0.7);
  else if (event.key === "0" || event.key === "Escape") showAll();
  else if (event.key === "Enter" || event.key === " ") byId("structure").scrollIntoView({ block: "nearest" });
  else return;
  event.preventDefault();
}
