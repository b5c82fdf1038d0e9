// Geometry of a crystal: cell, whole molecules in it, images; atoms as 3Dmol takes them.

const RADIANS = Math.PI / 180;

/** Rows a, b, c in Å, c along z and a in the xz plane, as packflow has them. */
function cellOf(lattice) {
  const [a, b, c] = lattice;
  const [alpha, beta, gamma] = lattice.slice(3).map((x) => x * RADIANS);
  const cosine = (Math.cos(alpha) * Math.cos(beta) - Math.cos(gamma)) / (Math.sin(alpha) * Math.sin(beta));
  const star = Math.acos(Math.min(1, Math.max(-1, cosine)));
  return [
    [a * Math.sin(beta), 0, a * Math.cos(beta)],
    [-b * Math.sin(alpha) * Math.cos(star), b * Math.sin(alpha) * Math.sin(star), b * Math.cos(alpha)],
    [0, 0, c],
  ];
}

function cross(u, v) {
  return [u[1] * v[2] - u[2] * v[1], u[2] * v[0] - u[0] * v[2], u[0] * v[1] - u[1] * v[0]];
}

function dot(u, v) {
  return u[0] * v[0] + u[1] * v[1] + u[2] * v[2];
}

/** Fractional coordinates of a point: its products with the reciprocal vectors. */
function toFractional(cell) {
  const [a, b, c] = cell;
  const volume = dot(a, cross(b, c));
  const reciprocal = [cross(b, c), cross(c, a), cross(a, b)].map((v) => v.map((x) => x / volume));
  return (point) => reciprocal.map((v) => dot(v, point));
}

/** Where a lattice vector of whole numbers points, in Å. */
function along(cell, steps) {
  return [0, 1, 2].map((k) => steps[0] * cell[0][k] + steps[1] * cell[1][k] + steps[2] * cell[2][k]);
}

function volumeOf(cell) {
  return Math.abs(dot(cell[0], cross(cell[1], cell[2])));
}

/**
 * A structure as molecules: cell, elements and bonds of one copy, points of each copy, moved so that its centroid lies in the cell.
 * wrapped false leaves the copies where they are.
 */
function crystalOf(positions, cell, nCopies, molecule, hydrogens, wrapped = true) {
  const n = hydrogens ? molecule.elements.length : molecule.n_heavy;
  const fractional = toFractional(cell);
  const copies = [];
  for (let m = 0; m < nCopies; m++) {
    const points = Array.from({ length: n }, (_, k) => Array.from(positions.slice(3 * (m * n + k), 3 * (m * n + k) + 3)));
    const steps = wrapped ? fractional(centroid(points)).map((x) => -Math.floor(x + 1e-6)) : [0, 0, 0];
    copies.push(moved(points, along(cell, steps)));
  }
  return {
    cell,
    elements: molecule.elements.slice(0, n),
    nHeavy: molecule.n_heavy,
    bonds: molecule.bonds.filter(([i, j]) => i < n && j < n),
    copies,
  };
}

function structureOf(i, wrapped = true) {
  return crystalOf(positionsOf(i), cellOf(latticeOf(i)), rows.n_copies[i], moleculeOf(i), rows.hydrogens[i], wrapped);
}

function referenceCrystal(reference, wrapped = true) {
  return crystalOf(reference.positions, reference.cell, reference.n_copies, report.molecules[reference.molecule], true, wrapped);
}

function centroid(points) {
  return [0, 1, 2].map((k) => points.reduce((sum, p) => sum + p[k], 0) / points.length);
}

function moved(points, by) {
  return points.map((p) => [p[0] + by[0], p[1] + by[1], p[2] + by[2]]);
}

/** Whole molecules of n cells along each axis. */
function packed(crystal, n) {
  const molecules = [];
  for (let x = 0; x < n; x++)
    for (let y = 0; y < n; y++)
      for (let z = 0; z < n; z++) for (const copy of crystal.copies) molecules.push(moved(copy, along(crystal.cell, [x, y, z])));
  return molecules;
}

/** Atoms of molecules for 3Dmol, bonds within each; without hydrogens where those are not wanted. */
function atomsOf(crystal, molecules, hydrogens) {
  const keep = crystal.elements.map((_, k) => hydrogens || k < crystal.nHeavy);
  const place = [];
  keep.forEach((kept, k) => (place[k] = kept ? place.filter((p) => p >= 0).length : -1));
  const n = keep.filter(Boolean).length;
  const atoms = [];
  molecules.forEach((points, m) => {
    const first = m * n;
    points.forEach((p, k) => {
      if (keep[k])
        atoms.push({
          elem: crystal.elements[k],
          x: p[0],
          y: p[1],
          z: p[2],
          bonds: [],
          bondOrder: [],
          index: first + place[k],
          serial: first + place[k],
        });
    });
    for (const [i, j, order] of crystal.bonds) {
      if (!keep[i] || !keep[j]) continue;
      atoms[first + place[i]].bonds.push(first + place[j]);
      atoms[first + place[i]].bondOrder.push(order);
      atoms[first + place[j]].bonds.push(first + place[i]);
      atoms[first + place[j]].bondOrder.push(order);
    }
  });
  return atoms;
}

/** A cluster of the reference, and the molecules of a structure that lie nearest to it when that is moved onto it. */
function overlaid(i, overlay) {
  const reference = referenceCrystal(
    report.references.find((one) => one.name === overlay.reference),
    false,
  );
  const cluster = overlay.cluster.map(([copy, ...steps]) => moved(reference.copies[copy], along(reference.cell, steps)));
  const own = structureOf(i, false);
  const r = overlay.rotation;
  const onto = (p) => [0, 1, 2].map((k) => r[3 * k] * p[0] + r[3 * k + 1] * p[1] + r[3 * k + 2] * p[2] + overlay.shift[k]);
  const back = (p) => {
    const q = p.map((x, k) => x - overlay.shift[k]);
    return [0, 1, 2].map((k) => r[k] * q[0] + r[3 + k] * q[1] + r[6 + k] * q[2]);
  };
  const heavy = (points) => points.slice(0, own.nHeavy);
  const fractional = toFractional(own.cell);
  const nearest = cluster.map((molecule) => {
    const wanted = back(centroid(heavy(molecule)));
    let best = null;
    for (const copy of own.copies) {
      const center = centroid(heavy(copy));
      const nearly = fractional(wanted.map((x, k) => x - center[k])).map(Math.round);
      for (const dx of [-1, 0, 1])
        for (const dy of [-1, 0, 1])
          for (const dz of [-1, 0, 1]) {
            const by = along(own.cell, [nearly[0] + dx, nearly[1] + dy, nearly[2] + dz]);
            const distance = Math.hypot(...wanted.map((x, k) => x - center[k] - by[k]));
            if (!best || distance < best.distance) best = { distance, points: moved(copy, by) };
          }
    }
    return best.points.map(onto);
  });
  return { reference, cluster, own, nearest };
}
