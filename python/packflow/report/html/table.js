// The table of structures: sorted, filtered, only the rows in sight are elements; arrow keys go from row to row.

const ROW_HEIGHT = 32;
const BEYOND = 12;
const TABLE_COLUMNS = [
  "rank",
  "relative_energy",
  "lattice_energy",
  "density",
  "space_group",
  "z_prime",
  "n_copies",
  "volume",
  "rmsd",
  "n_matched",
  "clash",
  "n_duplicates",
  "a",
  "b",
  "c",
  "alpha",
  "beta",
  "gamma",
];
const WIDTHS = {
  name: 170,
  status: 178,
  space_group: 104,
  file: 64,
  rank: 66,
  n_copies: 94,
  relative_energy: 108,
  lattice_energy: 124,
  density: 118,
  volume: 116,
  rmsd: 98,
  n_matched: 118,
  a: 80,
  b: 80,
  c: 80,
  alpha: 80,
  beta: 80,
  gamma: 80,
};
const table = { by: "", descending: false, order: [], columns: [], elements: new Map() };

function startTable() {
  const scroller = byId("table-scroller");
  let waiting = false;
  scroller.addEventListener("scroll", () => {
    if (!waiting) requestAnimationFrame(() => ((waiting = false), drawRows()));
    waiting = true;
  });
  new ResizeObserver(drawRows).observe(scroller);
  scroller.addEventListener("keydown", keyOnTable);
  byId("rows").addEventListener("click", clickOnRow);
  const words = byId("filter");
  words.addEventListener("input", () => {
    choice.words = words.value;
    filter();
  });
  byId("download-csv").addEventListener("click", () => download("structures.csv", csvText(table.order), "text/csv"));
  on("shown", resetTable);
  on("structure", () => {
    drawRows();
    showRow(choice.structure);
  });
}

function resetTable() {
  const all = ofMolecule();
  const known = TABLE_COLUMNS.filter((name) => (name === "space_group" ? all.some((i) => rows.space_group[i]) : isKnown(name, all)));
  table.columns = [...known.filter((name) => name === "rank"), "name", ...known.filter((name) => name !== "rank"), "status", "file"];
  if (!table.columns.includes(table.by)) table.by = "";
  drawHead();
  sortRows();
}

function drawHead() {
  const headings = { name: "Structure", space_group: "Space group", status: "What became of it", file: "File" };
  byId("columns").replaceChildren(...table.columns.map((name) => el("col", { style: `width: ${WIDTHS[name] ?? 88}px` })));
  byId("structures").style.width = `max(100%, ${table.columns.reduce((sum, name) => sum + (WIDTHS[name] ?? 88), 0)}px)`;
  const cells = table.columns.map((name) => {
    const numeric = name in QUANTITIES;
    const heading = headings[name] ?? headingOf(name);
    if (name === "file") return el("th", { scope: "col" }, heading);
    const sorted = table.by === name;
    return el(
      "th",
      { scope: "col", class: numeric ? "numeric" : "", "aria-sort": sorted ? (table.descending ? "descending" : "ascending") : "none" },
      el(
        "button",
        { type: "button", "data-column": name, title: QUANTITIES[name]?.[3] ?? "", onclick: () => sortBy(name) },
        heading,
        el("span", { class: "arrow", "aria-hidden": "true" }, sorted ? (table.descending ? "▼" : "▲") : ""),
      ),
    );
  });
  const focused = document.activeElement?.dataset?.column;
  byId("head").replaceChildren(el("tr", {}, cells));
  if (focused) byId("head").querySelector(`[data-column="${focused}"]`)?.focus();
}

function sortBy(name) {
  table.descending = table.by === name ? !table.descending : false;
  table.by = name;
  drawHead();
  sortRows();
}

function sortRows() {
  const key = table.by === "status" ? (i) => rows.status[i] : (i) => rows[table.by][i];
  const sign = table.descending ? -1 : 1;
  const compared = (p, q) => (typeof p === "string" ? p.localeCompare(q, "en", { numeric: true }) : p - q);
  const missing = (x) => x === null || x === undefined || x === "";
  table.order = [...choice.shown];
  // what is unknown comes last in both directions; the order of the store decides the rest
  if (table.by)
    table.order.sort((i, j) => missing(key(i)) - missing(key(j)) || (missing(key(i)) ? 0 : sign * compared(key(i), key(j))) || i - j);
  const total = ofMolecule().length;
  byId("count").textContent = choice.shown.length === total ? `${total} structures` : `${choice.shown.length} of ${total} structures`;
  byId("structures").setAttribute("aria-rowcount", table.order.length + 1);
  byId("no-rows").hidden = table.order.length > 0;
  table.elements.clear();
  byId("table-scroller").scrollTop = 0;
  drawRows();
  if (choice.structure !== null) showRow(choice.structure);
}

function drawRows() {
  const scroller = byId("table-scroller");
  const first = Math.max(0, Math.floor(scroller.scrollTop / ROW_HEIGHT) - BEYOND);
  const last = Math.min(table.order.length, Math.ceil((scroller.scrollTop + scroller.clientHeight) / ROW_HEIGHT) + BEYOND);
  const seen = new Map();
  for (let k = first; k < last; k++) {
    const i = table.order[k];
    const row = table.elements.get(i) ?? rowOf(i);
    row.classList.toggle("chosen", i === choice.structure);
    row.classList.toggle("odd", k % 2 === 1);
    row.setAttribute("aria-selected", i === choice.structure);
    row.setAttribute("aria-rowindex", k + 2);
    seen.set(i, row);
  }
  table.elements = seen;
  const space = (n) =>
    el("tr", { class: "space", "aria-hidden": "true" }, el("td", { colspan: table.columns.length, style: `height: ${n * ROW_HEIGHT}px` }));
  byId("rows").replaceChildren(space(first), ...seen.values(), space(table.order.length - last));
  const active = seen.has(choice.structure) ? `row-${choice.structure}` : "";
  scroller.setAttribute("aria-activedescendant", active);
}

function rowOf(i) {
  const cells = table.columns.map((name) => {
    if (name === "name") return el("th", { scope: "row", title: rows.name[i] }, rows.name[i]);
    if (name === "status")
      return el("td", { class: "status", title: rows.reason[i] || STATUS_TEXT[statusOf(i)] }, rows.reason[i] || STATUS_TEXT[statusOf(i)]);
    if (name === "space_group") return el("td", {}, groupMark(rows.space_group[i]));
    if (name === "file")
      return el(
        "td",
        {},
        rows.first_atom[i] === null
          ? el("span", { class: "quiet", title: rows.not_shown[i] }, "none")
          : el("button", { type: "button", tabindex: -1, class: "small", "data-cif": i, "aria-label": `CIF of ${rows.name[i]}` }, "CIF"),
      );
    return el("td", { class: "numeric" }, formatted(name, rows[name][i]));
  });
  return el("tr", { id: `row-${i}`, "data-i": i }, cells);
}

/** A space group symbol with subscripts and overbars, as it is printed: P2_1/c, P-1. */
function groupMark(symbol) {
  if (!symbol) return "–";
  const parts = [];
  for (const [part] of symbol.matchAll(/-\d|_\d|[^-_]+|./g)) {
    if (part.startsWith("_")) parts.push(el("sub", {}, part.slice(1)));
    else if (/^-\d$/.test(part)) parts.push(el("span", { class: "bar", "aria-label": `minus ${part[1]}` }, part[1]));
    else parts.push(part);
  }
  return el("span", { class: "group", title: symbol }, ...parts);
}

function clickOnRow(event) {
  const button = event.target.closest("[data-cif]");
  if (button) {
    downloadCif(Number(button.dataset.cif));
    return;
  }
  const row = event.target.closest("tr[data-i]");
  if (row) choose(Number(row.dataset.i));
}

function showRow(i) {
  const place = table.order.indexOf(i);
  const scroller = byId("table-scroller");
  if (place < 0) return;
  const head = byId("head").offsetHeight;
  const top = place * ROW_HEIGHT;
  if (top < scroller.scrollTop) scroller.scrollTop = top;
  else if (top + ROW_HEIGHT + head > scroller.scrollTop + scroller.clientHeight)
    scroller.scrollTop = top + ROW_HEIGHT + head - scroller.clientHeight;
  drawRows();
}

function keyOnTable(event) {
  if (event.target !== byId("table-scroller")) return;
  const page = Math.max(1, Math.floor(byId("table-scroller").clientHeight / ROW_HEIGHT) - 2);
  const place = table.order.indexOf(choice.structure);
  const moves = {
    ArrowDown: place + 1,
    ArrowUp: Math.max(0, place - 1),
    PageDown: place + page,
    PageUp: place - page,
    Home: 0,
    End: table.order.length - 1,
  };
  if (event.key in moves && table.order.length) choose(table.order[Math.min(table.order.length - 1, Math.max(0, moves[event.key]))]);
  else if ((event.key === "Enter" || event.key === " ") && place >= 0) byId("structure").scrollIntoView({ block: "nearest" });
  else if (event.key === "c" && place >= 0 && !event.ctrlKey && !event.metaKey && rows.first_atom[choice.structure] !== null)
    downloadCif(choice.structure);
  else return;
  event.preventDefault();
}
