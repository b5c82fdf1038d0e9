// What is known of the structure that is chosen.

const DETAILS = [
  "relative_energy",
  "lattice_energy",
  "density",
  "volume",
  "space_group",
  "z_prime",
  "n_copies",
  "rmsd",
  "n_matched",
  "energy_above_known",
  "clash",
  "n_duplicates",
  "n_steps",
];

function startDetails() {
  byId("download-cif").addEventListener("click", () => downloadCif(choice.structure));
  byId("previous").addEventListener("click", () => step(-1));
  byId("next").addEventListener("click", () => step(1));
  on("structure", drawDetails);
  on("shown", drawDetails);
}

function step(by) {
  const place = table.order.indexOf(choice.structure);
  const next = table.order[place < 0 ? 0 : Math.min(table.order.length - 1, Math.max(0, place + by))];
  if (next !== undefined) choose(next);
}

function drawDetails() {
  const i = choice.structure;
  byId("download-cif").disabled = i === null || rows.first_atom[i] === null;
  const place = table.order.indexOf(i);
  byId("previous").disabled = place <= 0;
  byId("next").disabled = place >= table.order.length - 1;
  if (i === null) {
    byId("structure-name").textContent = "No structure";
    byId("structure-status").textContent = "";
    byId("facts").replaceChildren();
    return;
  }
  byId("structure-name").textContent = rows.name[i];
  byId("structure-status").replaceChildren(...statusLine(i));
  const pairs = DETAILS.filter((name) => rows[name][i] !== null && rows[name][i] !== undefined).map((name) => factOf(name, i));
  const lattice = latticeOf(i);
  if (lattice[0] !== null) {
    pairs.push([
      "a, b, c",
      `${lattice
        .slice(0, 3)
        .map((x) => x.toFixed(3))
        .join(", ")} Å`,
      "wide",
    ]);
    pairs.push([
      "α, β, γ",
      `${lattice
        .slice(3)
        .map((x) => x.toFixed(2))
        .join(", ")}°`,
      "wide",
    ]);
  }
  byId("facts").replaceChildren(
    ...pairs.map(([name, value, kind, title]) => el("div", { class: kind ?? "", title }, el("dt", {}, name), el("dd", {}, value))),
  );
}

function factOf(name, i) {
  if (name === "space_group") return ["Space group", groupMark(rows.space_group[i])];
  if (name === "n_matched") return ["Known crystal", `${rows.n_matched[i]} of 15 match${rows.known[i] ? ` ${rows.known[i]}` : ""}`];
  return [QUANTITIES[name][0], `${formatted(name, rows[name][i])} ${QUANTITIES[name][1]}`, "", QUANTITIES[name][3]];
}

function statusLine(i) {
  const status = statusOf(i);
  const parts = [rows.rank[i] ? `Rank ${rows.rank[i]}` : STATUS_TEXT[status]];
  const other = rows.duplicate_of[i] ? rows.name.indexOf(rows.duplicate_of[i]) : -1;
  if (other >= 0) parts.push(" ", el("button", { type: "button", class: "link", onclick: () => choose(other) }, rows.duplicate_of[i]));
  else if (rows.reason[i]) parts.push(`: ${rows.reason[i]}`);
  if (!rows.hydrogens[i] && rows.first_atom[i] !== null) parts.push(" · as sampled, without hydrogens");
  if (rows.converged[i] === "no") parts.push(" · not converged");
  return parts;
}
