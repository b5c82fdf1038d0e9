// What is drawn in the landscape: axes, points, known crystals, and the legend.

function axisMarks(to, range, axis, bottom, right) {
  const n = axis === "x" ? Math.max(3, Math.round((right - MARGIN.left) / 90)) : Math.max(3, Math.round((bottom - MARGIN.top) / 45));
  const { values, text } = ticks(range[0], range[1], n);
  const marks = values.map((value) => {
    const p = to(value);
    return axis === "x"
      ? [
          svg("line", { class: "grid", x1: p, x2: p, y1: MARGIN.top, y2: bottom }),
          svg("text", { x: p, y: bottom + 18, "text-anchor": "middle" }, text(value)),
        ]
      : [
          svg("line", { class: "grid", x1: MARGIN.left, x2: right, y1: p, y2: p }),
          svg("text", { x: MARGIN.left - 8, y: p + 4, "text-anchor": "end" }, text(value)),
        ];
  });
  const heading = headingOf(plot[axis]);
  const title =
    axis === "x"
      ? svg("text", { class: "axis-title", x: (MARGIN.left + right) / 2, y: bottom + 38, "text-anchor": "middle" }, heading)
      : svg(
          "text",
          { class: "axis-title", transform: `translate(16 ${(MARGIN.top + bottom) / 2}) rotate(-90)`, "text-anchor": "middle" },
          heading,
        );
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
    const diamond =
      mark.x !== null && mark.y !== null ? svg("path", { class: "reference-mark", d: `M${x} ${y - 8}l7 8l-7 8l-7 -8z` }) : null;
    return [
      diamond,
      svg("text", { class: "reference-name", x: x + (anchor === "end" ? -11 : 11), y: y - 8, "text-anchor": anchor }, mark.name),
    ];
  });
}

/** Which class a structure is coloured by, and what the classes mean. */
function colorOf() {
  if (plot.color === "status") return { of: (i) => "by-status", entries: [] };
  const counts = new Map();
  for (const i of ofMolecule())
    if (rows[plot.color][i] !== null) counts.set(rows[plot.color][i], (counts.get(rows[plot.color][i]) ?? 0) + 1);
  const most = [...counts]
    .sort((p, q) => q[1] - p[1])
    .slice(0, COLORS - 1)
    .map(([value]) => value);
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
    const sample = svg(
      "svg",
      { viewBox: "-7 -7 14 14", class: "sample", "aria-hidden": "true" },
      markOf(status, color.entries.length ? "color-other" : "by-status"),
    );
    return el(
      "button",
      {
        type: "button",
        class: "chip",
        "aria-pressed": String(pressed),
        "data-status": status,
        title: pressed ? "hide these" : "show these",
        onclick: () => toggleStatus(status),
      },
      sample,
      `${STATUS_TEXT[status]} `,
      el("span", { class: "number" }, String(report.molecules[choice.molecule].counts[status])),
    );
  });
  const focused = document.activeElement?.dataset?.status;
  const meanings = color.entries.map(([text, kind]) =>
    el(
      "span",
      { class: "meaning" },
      svg("svg", { viewBox: "-7 -7 14 14", class: "sample", "aria-hidden": "true" }, svg("circle", { class: `point ${kind}`, r: 5 })),
      plot.color === "space_group" && text !== "others" ? groupMark(text) : text,
    ),
  );
  byId("legend").replaceChildren(...chips, ...meanings);
  if (focused) byId("legend").querySelector(`[data-status="${focused}"]`)?.focus();
}

function markOf(status, kind) {
  const name = `point ${status.replace(" ", "-")} ${kind}`;
  if (["no crystal", "implausible", "failed", "left out"].includes(status))
    return svg("path", { class: name, d: "M-3.5 -3.5l7 7m0 -7l-7 7" });
  return svg("circle", { class: name, r: status === "duplicate" ? 3.5 : 5 });
}

function toggleStatus(status) {
  if (!choice.statuses.delete(status)) choice.statuses.add(status);
  filter();
}
