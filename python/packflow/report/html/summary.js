// The run at a glance: molecule, what became of its proposals, the main numbers; how it was made.

function stages(molecule) {
  const n = molecule.counts;
  const total = Object.values(n).reduce((sum, x) => sum + x, 0);
  const finished = n.ranked + n.duplicate + n["left out"] + n.relaxed;
  const found = [
    ["proposals", total],
    ["plausible", total - n["no crystal"] - n.implausible],
  ];
  if (finished + n.failed) found.push(["relaxed", finished], ["converged", molecule.n_converged]);
  if (n.ranked) found.push(["distinct", n.ranked]);
  return found;
}

function funnel(molecule) {
  const found = stages(molecule);
  const most = Math.max(1, ...found.map(([, n]) => n));
  return el(
    "ol",
    { class: "funnel", "aria-label": "What became of the proposals" },
    found.map(([name, n]) =>
      el(
        "li",
        {},
        el("span", { class: "funnel-name" }, name),
        el("span", { class: "funnel-bar" }, svgBar(n / most)),
        el("span", { class: "number" }, n.toLocaleString("en")),
      ),
    ),
  );
}

function svgBar(share) {
  return svg(
    "svg",
    { viewBox: "0 0 100 10", preserveAspectRatio: "none", "aria-hidden": "true" },
    svg("rect", { width: 100 * share, height: 10, rx: 1 }),
  );
}

function cards(molecule, which) {
  const found = [];
  const best = which.find((i) => rows.rank[i] === 1);
  if (best !== undefined) {
    if (rows.lattice_energy[best] !== null)
      found.push(["Best lattice energy", formatted("lattice_energy", rows.lattice_energy[best]), "kJ/mol"]);
    found.push(["Best crystal", groupMark(rows.space_group[best]), `${formatted("density", rows.density[best])} g/cm³`]);
    const second = which.find((i) => rows.rank[i] === 2);
    if (second !== undefined) found.push(["Gap to the second", formatted("relative_energy", rows.relative_energy[second]), "kJ/mol"]);
  } else {
    const energies = which.filter((i) => rows.relative_energy[i] !== null);
    if (energies.length)
      found.push(["Energies span", formatted("relative_energy", Math.max(...energies.map((i) => rows.relative_energy[i]))), "kJ/mol"]);
    found.push(["Median density", formatted("density", median(which.map((i) => rows.density[i]))), "g/cm³"]);
    found.push(["Median V / molecule", formatted("volume", median(which.map((i) => rows.volume[i]))), "Å³"]);
  }
  const nearest = which.filter((i) => rows.rmsd[i] !== null).sort((i, j) => rows.rmsd[i] - rows.rmsd[j])[0];
  if (nearest !== undefined)
    found.push([
      "Known crystal found",
      rows.rank[nearest] ? `rank ${rows.rank[nearest]}` : "yes",
      `RMSD₁₅ ${formatted("rmsd", rows.rmsd[nearest])} Å`,
    ]);
  else if (report.references.some((one) => one.molecule === choice.molecule)) {
    const most = Math.max(0, ...which.map((i) => rows.n_matched[i] ?? 0));
    found.push(["Known crystal", "not found", `at most ${most} of 15 molecules match`]);
  }
  return found.map(([name, value, unit]) =>
    el("div", { class: "card" }, el("dt", {}, name), el("dd", {}, el("strong", {}, value), " ", el("span", {}, unit))),
  );
}

function median(values) {
  const known = values.filter(Number.isFinite).sort((x, y) => x - y);
  return known.length ? known[Math.floor(known.length / 2)] : null;
}

function drawSummary() {
  const molecule = report.molecules[choice.molecule];
  byId("formula").replaceChildren(...(molecule.drawing ? [formula(molecule, `Structural formula of ${molecule.name}`)] : []));
  byId("smiles").textContent = molecule.smiles;
  byId("funnel").replaceChildren(funnel(molecule));
  byId("cards").replaceChildren(...cards(molecule, ofMolecule()));
}

function drawNotes() {
  const notes = [...report.warnings];
  if (report.n_listed < report.n_proposals)
    notes.push(`The best ${report.n_listed} of ${report.n_proposals} proposals are listed; all are counted.`);
  byId("notes").replaceChildren(
    ...notes.map((text) => el("p", { class: "note" }, text)),
    ...report.problems.map((text) => el("p", { class: "note problem" }, text)),
  );
}

function drawSettings() {
  byId("settings").replaceChildren(
    ...report.settings.map(([heading, pairs]) =>
      el(
        "section",
        {},
        el("h3", {}, heading),
        el(
          "dl",
          { class: "pairs" },
          pairs.map(([name, value]) => el("div", {}, el("dt", {}, name), el("dd", {}, value))),
        ),
      ),
    ),
  );
}

function startSummary() {
  const select = byId("molecule");
  select.append(...report.molecules.map((molecule, k) => el("option", { value: k }, molecule.name)));
  byId("molecule-field").hidden = report.molecules.length < 2;
  select.addEventListener("change", () => {
    chooseMolecule(Number(select.value));
    drawSummary();
  });
  drawSummary();
  drawNotes();
  drawSettings();
}
