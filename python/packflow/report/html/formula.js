// The structural formula of a molecule.

const BOND_GAP = 0.16;

function labelOf([, , symbol, hydrogens, charge], alone, toLeft) {
  if (symbol === "C" && charge === 0 && !alone) return "";
  const digits = "₀₁₂₃₄₅₆₇₈₉";
  const h = hydrogens ? "H" + (hydrogens > 1 ? digits[hydrogens] : "") : "";
  const size = Math.abs(charge) > 1 ? Math.abs(charge) : "";
  const sign = charge
    ? `${size}${charge > 0 ? "+" : "−"}`
        .replace(/\d/g, (d) => "⁰¹²³⁴⁵⁶⁷⁸⁹"[d])
        .replace("+", "⁺")
        .replace("−", "⁻")
    : "";
  return toLeft ? h + symbol + sign : symbol + h + sign;
}

function formula(molecule, title) {
  const { atoms, bonds } = molecule.drawing;
  const points = atoms.map(([x, y]) => [x, -y]);
  const neighbors = atoms.map((_, i) => bonds.filter((b) => b.includes(i) && b.indexOf(i) < 2).map((b) => (b[0] === i ? b[1] : b[0])));
  const toLeft = points.map((p, i) => neighbors[i].length === 1 && points[neighbors[i][0]][0] > p[0] + 0.3);
  const labels = atoms.map((atom, i) => labelOf(atom, atoms.length === 1, toLeft[i]));
  const lines = [];
  for (const [i, j, order] of bonds) lines.push(...bondLines(points, i, j, order, labels, neighbors));
  const texts = labels.map((label, i) => {
    const anchor = toLeft[i] ? "end" : label.length > 1 && neighbors[i].length === 1 ? "start" : "middle";
    const nudge = anchor === "start" ? -0.28 : anchor === "end" ? 0.28 : 0;
    return label
      ? svg("text", { x: points[i][0] + nudge, y: points[i][1] + 0.27, "text-anchor": anchor, class: `element-${atoms[i][2]}` }, label)
      : null;
  });
  const reach = (i) => 0.55 * (labels[i].length - 1);
  const [x0, x1] = rangeOf(
    points.flatMap((p, i) => (toLeft[i] ? [p[0] - reach(i), p[0]] : [p[0], p[0] + reach(i)])),
    0,
  );
  const [y0, y1] = rangeOf(
    points.map((p) => p[1]),
    0,
  );
  const box = [x0 - 0.8, y0 - 0.8, x1 - x0 + 1.6, y1 - y0 + 1.6];
  return svg("svg", { viewBox: box.join(" "), class: "formula", role: "img", "aria-label": title }, ...lines, ...texts);
}

function bondLines(points, i, j, order, labels, neighbors) {
  const [p, q] = [points[i], points[j]];
  const length = Math.hypot(q[0] - p[0], q[1] - p[1]) || 1;
  const u = [(q[0] - p[0]) / length, (q[1] - p[1]) / length];
  const [start, end] = [labels[i] ? 0.45 : 0, labels[j] ? 0.45 : 0];
  // the second line lies on the side where more neighbours are, which is inside a ring
  const around = [...neighbors[i], ...neighbors[j]].reduce(
    (sum, k) => sum + (points[k][0] - p[0]) * -u[1] + (points[k][1] - p[1]) * u[0],
    0,
  );
  const side = around >= 0 ? 1 : -1;
  const terminal = neighbors[i].length === 1 || neighbors[j].length === 1;
  const offsets =
    order === 2 ? (terminal ? [-BOND_GAP / 2, BOND_GAP / 2] : [0, side * BOND_GAP]) : order === 3 ? [-BOND_GAP, 0, BOND_GAP] : [0];
  return offsets.map((offset, k) => {
    const shorten = order === 2 && !terminal && k === 1 ? 0.2 : 0;
    const at = (point, along) => [point[0] + u[0] * along - u[1] * offset, point[1] + u[1] * along + u[0] * offset];
    const [x1, y1] = at(p, Math.max(start, shorten));
    const [x2, y2] = at(q, -Math.max(end, shorten));
    return svg("line", { x1, y1, x2, y2 });
  });
}
