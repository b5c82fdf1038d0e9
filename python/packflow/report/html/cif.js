// Files for other programs: a structure as CIF, the table as CSV.

function cifName(text) {
  return text.replace(/[^\p{L}\p{N}\-_.]/gu, "_");
}

/** A value as CIF has it: quoted where it holds what would end it. */
function cifValue(text) {
  if (!/'(\s|$)/.test(text)) return `'${text}'`;
  return /"(\s|$)/.test(text) ? `\n;${text}\n;` : `"${text}"`;
}

function fixed(x, decimals) {
  return x === null ? "?" : x.toFixed(decimals);
}

/** CIF in P1: cell, labelled atoms of whole molecules, bonds; as `packflow rank` writes it, coordinates as in the store. */
function cifText(i) {
  const crystal = structureOf(i, false);
  const lattice = latticeOf(i);
  const fractional = toFractional(crystal.cell);
  const lines = [
    `data_${cifName((rows.rank[i] ? `rank_${rows.rank[i]}_` : "") + rows.name[i])}`,
    `_chemical_identifier_smiles ${cifValue(moleculeOf(i).smiles)}`,
    `_cell_formula_units_Z ${rows.n_copies[i]}`,
    ...["length_a", "length_b", "length_c", "angle_alpha", "angle_beta", "angle_gamma"].map(
      (key, k) => `_cell_${key} ${lattice[k].toFixed(6)}`,
    ),
    `_cell_volume ${volumeOf(crystal.cell).toFixed(4)}`,
    "_space_group_name_H-M_alt 'P 1'",
    "_space_group_IT_number 1",
    `_packflow_proposal ${cifValue(rows.name[i])}`,
    `_packflow_status ${cifValue(statusOf(i))}`,
    `_packflow_rank ${rows.rank[i] ?? "?"}`,
    `_packflow_relative_energy_kj_mol ${fixed(rows.relative_energy[i], 3)}`,
    `_packflow_lattice_energy_kj_mol ${fixed(rows.lattice_energy[i], 3)}`,
    `_packflow_density_g_cm3 ${fixed(rows.density[i], 4)}`,
    `_packflow_space_group_found ${rows.space_group[i] ? cifValue(rows.space_group[i]) : "?"}`,
    "loop_",
    "_space_group_symop_operation_xyz",
    "'x,y,z'",
    "loop_",
    ...["label", "type_symbol", "fract_x", "fract_y", "fract_z", "occupancy"].map((key) => `_atom_site_${key}`),
  ];
  const labels = [];
  const counts = {};
  for (const copy of crystal.copies)
    copy.forEach((point, k) => {
      const symbol = crystal.elements[k];
      counts[symbol] = (counts[symbol] ?? 0) + 1;
      labels.push(symbol + counts[symbol]);
      lines.push(
        `${symbol}${counts[symbol]} ${symbol} ${fractional(point)
          .map((x) => x.toFixed(6))
          .join(" ")} 1`,
      );
    });
  if (crystal.bonds.length) {
    lines.push("loop_", ...["atom_site_label_1", "atom_site_label_2", "distance"].map((key) => `_geom_bond_${key}`));
    crystal.copies.forEach((copy, m) => {
      for (const [p, q] of crystal.bonds) {
        const length = Math.hypot(...copy[p].map((x, k) => x - copy[q][k]));
        const first = m * crystal.elements.length;
        lines.push(`${labels[first + p]} ${labels[first + q]} ${length.toFixed(4)}`);
      }
    });
  }
  return lines.join("\n") + "\n";
}

function downloadCif(i) {
  download(`${cifName(rows.name[i])}.cif`, cifText(i), "chemical/x-cif");
}

function csvText(which) {
  const quoted = (x) => {
    const text = x === null || x === undefined ? "" : String(x);
    // a leading "=" would be a formula to a spreadsheet
    const safe = /^[=+@]/.test(text) ? `'${text}` : text;
    return /[",\n]/.test(safe) ? `"${safe.replaceAll('"', '""')}"` : safe;
  };
  const names = ["name", "status", "smiles", ...Object.keys(QUANTITIES), "space_group", "known", "duplicate_of", "reason"];
  const value = { status: statusOf, smiles: (i) => moleculeOf(i).smiles };
  const lines = which.map((i) => names.map((name) => quoted(value[name] ? value[name](i) : rows[name][i])).join(","));
  return [names.join(","), ...lines].join("\n") + "\n";
}
