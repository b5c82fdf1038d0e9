// What the reader chose: a molecule, a filter, a structure; parts of the page are told when it changes.

// ranges: by quantity, those between two bars of its distribution, see distributions.js
const choice = { molecule: 0, words: "", ranges: new Map(), statuses: new Set(), structure: null, shown: [] };
const listeners = { shown: [], structure: [], theme: [] };

function on(what, listener) {
  listeners[what].push(listener);
}

function tell(what) {
  for (const listener of listeners[what]) listener();
}

/** A condition such as density>1.4 or rank<=10, or a word that a name, space group or reason holds. */
function conditionOf(word) {
  const match = /^([a-zA-Z_Δ′₁₅]+)(<=|>=|<|>|=)(-?[\d.]+)$/.exec(word);
  const name = match && quantityCalled(match[1]);
  if (name) {
    const limit = Number(match[3]);
    const holds = {
      "<": (x) => x < limit,
      ">": (x) => x > limit,
      "<=": (x) => x <= limit,
      ">=": (x) => x >= limit,
      "=": (x) => x === limit,
    };
    return (i) => rows[name][i] !== null && holds[match[2]](rows[name][i]);
  }
  const text = word.toLowerCase();
  return (i) => textOf(i).includes(text);
}

function quantityCalled(text) {
  const aliases = {
    energy: "relative_energy",
    e: "relative_energy",
    z: "n_copies",
    zprime: "z_prime",
    v: "volume",
    duplicates: "n_duplicates",
  };
  const lower = text.toLowerCase();
  return aliases[lower] ?? (lower in QUANTITIES ? lower : null);
}

function textOf(i) {
  return [rows.name[i], rows.space_group[i], rows.reason[i], rows.known[i], statusOf(i)].filter(Boolean).join(" ").toLowerCase();
}

function ofMolecule() {
  const found = [];
  for (let i = 0; i < nRows; i++) if (rows.molecule[i] === choice.molecule) found.push(i);
  return found;
}

function filter() {
  const conditions = choice.words.split(/\s+/).filter(Boolean).map(conditionOf);
  for (const [name, range] of choice.ranges) conditions.push((i) => isInRange(range, rows[name][i]));
  choice.shown = ofMolecule().filter((i) => !choice.statuses.has(statusOf(i)) && conditions.every((holds) => holds(i)));
  tell("shown");
}

/** Whether a value lies in one of the bars of a range: { low, high } of the distribution, { first, last } of its bars. */
function isInRange(range, x) {
  const bar = barOf(x, range.low, range.high);
  return bar !== null && range.first <= bar && bar <= range.last;
}

function setRange(name, range) {
  if (range) choice.ranges.set(name, range);
  else choice.ranges.delete(name);
  filter();
}

function clearFilters() {
  choice.words = "";
  choice.ranges.clear();
  filter();
}

function choose(i) {
  choice.structure = i;
  tell("structure");
}

function chooseMolecule(m) {
  choice.molecule = m;
  choice.statuses = new Set();
  choice.ranges.clear();
  filter();
  choose(choice.shown[0] ?? null);
}
