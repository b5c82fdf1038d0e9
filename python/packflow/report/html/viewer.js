// The structure in three dimensions, by 3Dmol.js.

const view = { made: null, kind: "cell", style: "ball", hydrogens: true, box: true, waiting: false, fresh: true };
const AXIS_COLORS = ["#d13c3c", "#1f9d55", "#3a6fe0"];
const OVERLAY_COLORS = { reference: "#8b95a5", structure: "#e8710a" };
const STYLES = {
  ball: { stick: { radius: 0.13 }, sphere: { scale: 0.24 } },
  stick: { stick: { radius: 0.16 } },
  space: { sphere: { scale: 1.0 } },
};

function hasWebGl() {
  const canvas = document.createElement("canvas");
  return Boolean(canvas.getContext("webgl2") ?? canvas.getContext("webgl"));
}

function startViewer() {
  if (!window["3Dmol"] || !hasWebGl()) {
    byId("viewer-note").textContent = "The three-dimensional view needs WebGL, which this browser does not offer. All else works without.";
    byId("viewer-note").hidden = false;
    byId("viewer").hidden = true;
    return;
  }
  view.made = window["3Dmol"].createViewer(byId("viewer"), {
    backgroundColor: "white",
    backgroundAlpha: 0,
    antialias: true,
    disableFog: true,
    keepTab: true,
  });
  for (const radio of document.querySelectorAll("input[name=kind]"))
    radio.addEventListener("change", () => changeView({ kind: radio.value, fresh: true }));
  byId("style").addEventListener("change", () => changeView({ style: byId("style").value }));
  byId("hydrogens").addEventListener("change", () => changeView({ hydrogens: byId("hydrogens").checked }));
  byId("box").addEventListener("change", () => changeView({ box: byId("box").checked }));
  for (const [k, name] of ["a", "b", "c"].entries()) byId(`along-${name}`).addEventListener("click", () => lookAlong(k));
  byId("viewer-frame").addEventListener("keydown", keyOnViewer);
  new ResizeObserver(() => view.made.resize()).observe(byId("viewer-frame"));
  on("structure", () => changeView({ fresh: true }));
  on("theme", () => changeView({}));
  changeView({ fresh: true });
}

function changeView(changes) {
  Object.assign(view, changes, { fresh: view.fresh || changes.fresh === true });
  if (!view.waiting) requestAnimationFrame(() => ((view.waiting = false), drawStructure()));
  view.waiting = true;
}

function drawStructure() {
  const i = choice.structure;
  const overlay = i === null ? null : report.overlays[rows.name[i]];
  byId("kind-overlay").disabled = !overlay;
  byId("kind-overlay").parentElement.title = overlay ? "on the known crystal" : "no known crystal was overlaid on this structure";
  const made = view.made;
  made.removeAllModels();
  made.removeAllShapes();
  made.removeAllLabels();
  const nothing = i === null || rows.first_atom[i] === null;
  byId("viewer-note").textContent = nothing ? (i === null ? "No structure is chosen." : `Not shown: ${rows.not_shown[i]}`) : "";
  byId("viewer-note").hidden = !nothing;
  byId("overlay-legend").hidden = true;
  if (!nothing) {
    if (view.kind === "overlay" && overlay) drawOverlay(i, overlay);
    else drawCrystal(i, view.kind === "overlay" ? "cell" : view.kind);
    if (view.fresh) orient();
  }
  view.fresh = false;
  made.render();
  byId("viewer-frame").dataset.structure = nothing ? "" : rows.name[i];
}

function styleOf(extra = {}) {
  const found = {};
  for (const [name, style] of Object.entries(STYLES[view.style])) found[name] = { ...style, colorscheme: "Jmol", ...extra };
  return found;
}

function drawCrystal(i, kind) {
  const crystal = structureOf(i);
  const n = kind === "packing" ? 2 : 1;
  const molecules = kind === "molecule" ? crystal.copies.slice(0, 1) : packed(crystal, n);
  addModel(crystal, molecules, styleOf());
  if (view.box && kind !== "molecule") {
    for (let x = 0; x < n; x++)
      for (let y = 0; y < n; y++) for (let z = 0; z < n; z++) drawBox(crystal.cell, along(crystal.cell, [x, y, z]), x + y + z === 0);
  }
}

function addModel(crystal, molecules, style) {
  const model = view.made.addModel();
  model.addAtoms(atomsOf(crystal, molecules, view.hydrogens));
  model.setStyle({}, style);
}

function drawOverlay(i, overlay) {
  const { reference, cluster, own, nearest } = overlaid(i, overlay);
  const sticks = (color, radius) => ({ stick: { radius, color } });
  addModel(reference, cluster, sticks(OVERLAY_COLORS.reference, 0.17));
  addModel(own, nearest, sticks(OVERLAY_COLORS.structure, 0.12));
  const said =
    overlay.n_matched === overlay.cluster.length
      ? `RMSD ${formatted("rmsd", overlay.rmsd)} Å`
      : `${overlay.n_matched} of ${overlay.cluster.length} molecules match`;
  const swatch = (color) =>
    svg("svg", { viewBox: "0 0 14 14", class: "sample", "aria-hidden": "true" }, svg("rect", { width: 14, height: 5, y: 5, fill: color }));
  byId("overlay-legend").replaceChildren(
    swatch(OVERLAY_COLORS.structure),
    `${rows.name[i]} on `,
    swatch(OVERLAY_COLORS.reference),
    `${overlay.reference}: ${said}`,
  );
  byId("overlay-legend").hidden = false;
}

function drawBox(cell, origin, named) {
  const corner = (x, y, z) => {
    const p = along(cell, [x, y, z]);
    return { x: p[0] + origin[0], y: p[1] + origin[1], z: p[2] + origin[2] };
  };
  const plain = hexOf(getComputedStyle(byId("viewer")).color);
  for (let axis = 0; axis < 3; axis++) {
    for (const [p, q] of [
      [0, 0],
      [0, 1],
      [1, 0],
      [1, 1],
    ]) {
      const ends = [0, 1].map((t) => corner(...[0, 1, 2].map((k) => (k === axis ? t : k === (axis + 1) % 3 ? p : q))));
      const first = named && p === 0 && q === 0;
      if (first) view.made.addCylinder({ start: ends[0], end: ends[1], radius: 0.06, color: AXIS_COLORS[axis], fromCap: 1, toCap: 1 });
      else view.made.addLine({ start: ends[0], end: ends[1], color: plain, linewidth: 1 });
    }
    if (named) {
      const steps = [0, 0, 0];
      steps[axis] = 1.06;
      view.made.addLabel("abc"[axis], {
        position: corner(...steps),
        fontColor: AXIS_COLORS[axis],
        backgroundOpacity: 0,
        fontSize: 16,
        bold: true,
        alignment: "center",
        inFront: true,
      });
    }
  }
}

/** rgb(1, 2, 3) as 3Dmol takes it. */
function hexOf(color) {
  const parts = color.match(/\d+/g).slice(0, 3);
  return `#${parts.map((x) => Number(x).toString(16).padStart(2, "0")).join("")}`;
}

/** A first look that shows all three axes, and everything in the frame. */
function orient() {
  const now = view.made.getView();
  if (!view.turned) now.splice(4, 4, ...quaternionOf(-1.25, 0.35));
  view.turned = true;
  view.made.setView(now);
  view.made.zoomTo();
  view.made.zoom(0.95);
}

/** Turned about the vertical axis, then about the horizontal one. */
function quaternionOf(aboutX, aboutZ) {
  const [sx, cx, sz, cz] = [Math.sin(aboutX / 2), Math.cos(aboutX / 2), Math.sin(aboutZ / 2), Math.cos(aboutZ / 2)];
  return [sx * cz, -sx * sz, cx * sz, cx * cz];
}

/** Look along a lattice vector, which then points at the reader. */
function lookAlong(axis) {
  if (choice.structure === null || rows.a[choice.structure] === null) return;
  const v = cellOf(latticeOf(choice.structure))[axis];
  const length = Math.hypot(...v);
  const d = v.map((x) => x / length);
  const now = view.made.getView();
  // the shortest turn that takes d to z
  const q = d[2] < -0.999999 ? [1, 0, 0, 0] : [d[1], -d[0], 0, 1 + d[2]];
  const size = Math.hypot(...q);
  now.splice(4, 4, ...q.map((x) => x / size));
  view.made.setView(now);
  view.made.zoomTo();
  view.made.render();
}

function keyOnViewer(event) {
  if (event.target !== byId("viewer-frame")) return;
  const turns = { ArrowLeft: ["y", -10], ArrowRight: ["y", 10], ArrowUp: ["x", -10], ArrowDown: ["x", 10] };
  if (event.key in turns) view.made.rotate(turns[event.key][1], turns[event.key][0]);
  else if (event.key === "+" || event.key === "=") view.made.zoom(1.15);
  else if (event.key === "-") view.made.zoom(1 / 1.15);
  else if (event.key === "0") view.made.zoomTo();
  else if ("abc".includes(event.key)) lookAlong("abc".indexOf(event.key));
  else return;
  event.preventDefault();
  view.made.render();
}
