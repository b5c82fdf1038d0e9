// What the page was given: columns of the listed proposals, and coordinates that are decoded when a structure is shown.

const report = JSON.parse(document.getElementById("report-data").textContent);
const coordinates = document.getElementById("report-coordinates").textContent;
const rows = report.columns;
const nRows = report.n_listed;
// characters of base64 for the three float32 of an atom
const CHARACTERS = 16;

// quantities that can be an axis, a column or a distribution: heading, unit, decimals, what it is
const QUANTITIES = {
  rank: ["Rank", "", 0, "place by energy among the distinct crystals of the molecule"],
  relative_energy: ["ΔE", "kJ/mol", 2, "energy per molecule above the best of the molecule"],
  lattice_energy: ["E lattice", "kJ/mol", 2, "energy per molecule above the best conformer in vacuum"],
  density: ["Density", "g/cm³", 3, "with hydrogens"],
  volume: ["V / molecule", "Å³", 1, "volume of the cell for each molecule"],
  n_copies: ["Molecules", "", 0, "molecules in the cell that was sampled"],
  z_prime: ["Z′", "", 2, "molecules in the asymmetric unit"],
  clash: ["Clash", "%", 1, "atoms in clash, as sampled"],
  rmsd: ["RMSD₁₅", "Å", 3, "to the known crystal, where all 15 molecules match"],
  n_matched: ["Matched", "of 15", 0, "molecules that overlay on the known crystal"],
  energy_above_known: ["ΔE known", "kJ/mol", 2, "energy per molecule above the most stable known crystal"],
  n_duplicates: ["Merged", "", 0, "proposals that are the same crystal and were merged into this one"],
  a: ["a", "Å", 3, "length of the cell"],
  b: ["b", "Å", 3, "length of the cell"],
  c: ["c", "Å", 3, "length of the cell"],
  alpha: ["α", "°", 2, "angle of the cell"],
  beta: ["β", "°", 2, "angle of the cell"],
  gamma: ["γ", "°", 2, "angle of the cell"],
  n_steps: ["Steps", "", 0, "of the relaxation"],
};
const STATUS_TEXT = {
  ranked: "distinct crystal",
  relaxed: "relaxed, not ranked",
  sampled: "sampled, not relaxed",
  duplicate: "same as a better one",
  "left out": "left out of the ranking",
  failed: "could not be relaxed",
  implausible: "implausible as sampled",
  "no crystal": "not a crystal",
};

function valueOf(name, i) {
  return rows[name][i];
}

function statusOf(i) {
  return report.statuses[rows.status[i]];
}

function moleculeOf(i) {
  return report.molecules[rows.molecule[i]];
}

function isKnown(name, which) {
  return which.some((i) => Number.isFinite(rows[name][i]));
}

function formatted(name, x) {
  if (x === null || x === undefined) return "–";
  if (name === "z_prime") return String(Number(x.toFixed(3)));
  return x.toFixed(QUANTITIES[name][2]).replace("-", "−");
}

function headingOf(name) {
  const [heading, unit] = QUANTITIES[name];
  return unit ? `${heading} (${unit})` : heading;
}

function atomsPerCopy(i) {
  const molecule = moleculeOf(i);
  return rows.hydrogens[i] ? molecule.elements.length : molecule.n_heavy;
}

/** Positions in Å, x, y, z of each atom in a row; null where there are none. */
function positionsOf(i) {
  const first = rows.first_atom[i];
  if (first === null) return null;
  const n = rows.n_copies[i] * atomsPerCopy(i);
  const text = atob(coordinates.slice(first * CHARACTERS, (first + n) * CHARACTERS));
  const bytes = Uint8Array.from(text, (c) => c.charCodeAt(0));
  return new Float32Array(bytes.buffer);
}

function latticeOf(i) {
  return ["a", "b", "c", "alpha", "beta", "gamma"].map((name) => rows[name][i]);
}
