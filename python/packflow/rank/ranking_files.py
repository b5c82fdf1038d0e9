"""A ranking as a table, and as a folder: Parquet, CSV and a CIF file for each rank."""

from __future__ import annotations

import math
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv
import pyarrow.parquet as pq

from packflow.errors import InputError
from packflow.rank.ranking import Ranked, Ranking
from packflow.relax.relax import GPA_PER_EV_A3
from packflow.structure.full_cif import full_cif_text

TABLE, CSV, CIFS = "ranking.parquet", "ranking.csv", "cifs"
LATTICE = ("a", "b", "c", "alpha", "beta", "gamma")
SCHEMA = pa.schema(
    [
        ("rank", pa.int64()),
        ("name", pa.string()),
        ("index", pa.int64()),
        ("seed", pa.int64()),
        ("smiles", pa.string()),
        ("n_copies", pa.int64()),
        ("energy", pa.float64()),
        ("lattice_energy_kj_mol", pa.float64()),
        ("relative_energy_kj_mol", pa.float64()),
        ("density", pa.float64()),
        ("space_group", pa.string()),
        ("space_group_number", pa.int64()),
        ("symmetry_tolerance", pa.float64()),
        ("z", pa.int64()),
        ("z_prime", pa.float64()),
        *((name, pa.float64()) for name in LATTICE),
        ("volume", pa.float64()),
        ("n_duplicates", pa.int64()),
        ("members", pa.list_(pa.string())),
        ("duplicate_of", pa.string()),
        ("reason", pa.string()),
        ("converged", pa.bool_()),
        ("n_steps", pa.int64()),
        ("max_force", pa.float64()),
        ("max_stress_gpa", pa.float64()),
        ("worst_bond_error", pa.float64()),
        ("n_invalid_heavy", pa.int64()),
        ("n_invalid_hydrogen", pa.int64()),
        ("n_broken", pa.int64()),
        ("n_formed", pa.int64()),
        ("intact_before", pa.bool_()),
        ("gas_energy", pa.float64()),
        ("gas_problem", pa.string()),
        ("known", pa.string()),
        ("n_matched", pa.int64()),
        ("rmsd_15", pa.float64()),
        ("energy_above_known_kj_mol", pa.float64()),
        ("match_problem", pa.string()),
        ("cif", pa.string()),
    ]
)


def ranking_table(ranking: Ranking) -> pa.Table:
    """A row of SCHEMA for each structure, in the order of the ranking; what is unknown is null.

    Columns: rank (of the molecule; null with a reason), name, index and seed of the proposal, smiles (canonical), n_copies, energy (eV per
    molecule), lattice_energy_kj_mol and relative_energy_kj_mol (per molecule; above the gas phase, above the best), density (g/cm3), space
    group (symbol in the standard setting), its number and the tolerance (Å), z (molecules in the conventional cell), z_prime, a, b, c (Å),
    alpha, beta, gamma (degrees), volume (Å3), n_duplicates (that were merged into this one), members (their names, this one first),
    duplicate_of, reason (why there is no rank, else empty), converged, n_steps, max_force (eV/Å), max_stress_gpa, worst_bond_error (Å),
    n_invalid_heavy, n_invalid_hydrogen (bonds outside eq. 40), n_broken, n_formed, intact_before, gas_energy (eV), gas_problem, known
    (crystal that is most like it), n_matched (molecules of the cluster), rmsd_15 (Å, where all match), energy_above_known_kj_mol,
    match_problem, cif (path in the folder).
    """
    cifs = cif_names(ranking)
    rows = [{**_of_structure(row), **_of_rank(row, ranking), **_of_match(row), "cif": cifs.get(row.name)} for row in ranking.rows]
    return pa.Table.from_pylist(rows, SCHEMA)


def _number(x: float) -> float | None:
    return float(x) if math.isfinite(x) else None


def _count(n: int) -> int | None:
    return n if n >= 0 else None


def _of_structure(row: Ranked) -> dict[str, object]:
    """Columns that a structure has by itself."""
    checked, relaxed = row.checked, row.checked.candidate.relaxed
    return {
        "name": row.name,
        "index": checked.candidate.index,
        "seed": checked.candidate.seed,
        "smiles": row.smiles,
        "n_copies": checked.candidate.template.n_copies,
        "energy": _number(checked.energy),
        "density": _number(checked.density),
        **{name: _number(x) for name, x in zip(LATTICE, checked.lattice.tolist(), strict=True)},
        "volume": _number(checked.volume),
        "converged": relaxed.converged if relaxed else None,
        "n_steps": relaxed.n_steps if relaxed else None,
        "max_force": _number(relaxed.max_force) if relaxed else None,
        "max_stress_gpa": _number(float(abs(relaxed.stress).max()) * GPA_PER_EV_A3) if relaxed else None,
        "worst_bond_error": _number(checked.worst_bond_error),
        "n_invalid_heavy": _count(checked.n_invalid_heavy),
        "n_invalid_hydrogen": _count(checked.n_invalid_hydrogen),
        "n_broken": _count(checked.n_broken),
        "n_formed": _count(checked.n_formed),
        "intact_before": checked.intact_before,
    }


def _of_rank(row: Ranked, ranking: Ranking) -> dict[str, object]:
    """Columns that come from the other structures and the gas phase."""
    group, gas = row.space_group, ranking.gas[row.smiles]
    return {
        "rank": row.rank,
        "reason": row.reason,
        "lattice_energy_kj_mol": _number(row.lattice_energy),
        "relative_energy_kj_mol": _number(row.relative_energy),
        "space_group": group.symmetry.symbol if group else None,
        "space_group_number": group.symmetry.number if group else None,
        "symmetry_tolerance": ranking.config.symmetry_tolerance if row.rank else None,
        "z": group.z if group else None,
        "z_prime": float(group.z_prime) if group else None,
        "n_duplicates": len(row.members) - 1 if row.rank else None,
        "members": list(row.members),
        "duplicate_of": row.duplicate_of or None,
        "gas_energy": _number(gas.energy),
        "gas_problem": gas.problem,
    }


def _of_match(row: Ranked) -> dict[str, object]:
    """Columns of the comparison with known crystals."""
    match = row.match
    if match is None:
        return {}
    return {
        "known": match.known or None,
        "n_matched": _count(match.n_matched),
        "rmsd_15": _number(match.rmsd) if match.n_matched == match.n_molecules else None,
        "energy_above_known_kj_mol": _number(match.energy_above),
        "match_problem": match.problem,
    }


def cif_names(ranking: Ranking) -> dict[str, str]:
    """Path of the CIF file of each ranked structure by its name: rank_0001.cif, in a folder per molecule where there are several."""
    molecules = sorted({row.smiles for row in ranking.rows})
    digits = max(4, len(str(max((row.rank or 0 for row in ranking.rows), default=0))))
    folder = {smiles: f"molecule_{k + 1:04d}/" if len(molecules) > 1 else "" for k, smiles in enumerate(molecules)}
    return {row.name: f"{folder[row.smiles]}rank_{row.rank:0{digits}d}.cif" for row in ranking.ranked}


def ranked_cif_text(row: Ranked, ranking: Ranking) -> str:
    """CIF of a ranked structure: all atoms in P1, with its place in the ranking."""
    numbers = {
        "rank": str(row.rank),
        "proposal": row.name,
        "energy_ev_per_molecule": f"{row.checked.energy:.6f}",
        "lattice_energy_kj_mol": f"{row.lattice_energy:.3f}" if math.isfinite(row.lattice_energy) else "?",
        "relative_energy_kj_mol": f"{row.relative_energy:.3f}",
        "density_g_cm3": f"{row.checked.density:.4f}",
        "space_group_found": f"{row.space_group.symmetry.symbol} ({row.space_group.symmetry.number})" if row.space_group else "?",
        "space_group_tolerance": f"{ranking.config.symmetry_tolerance:g}",
    }
    about = {f"_packflow_{key}": value for key, value in numbers.items()}
    return full_cif_text(row.checked.structure, f"rank_{row.rank}_{row.name}", about)


def write_ranking(ranking: Ranking, folder: str | Path) -> pa.Table:
    """Write ranking.parquet, ranking.csv (members joined by ";") and cifs/.

    Args:
        ranking: To be written.
        folder: Must not exist or be empty.

    Returns:
        The table.

    Raises:
        InputError: the folder holds files already, or cannot be made.
    """
    folder = Path(folder)
    if folder.is_dir() and any(folder.iterdir()):
        raise InputError(f"{folder} holds files already; choose another folder, nothing in it was changed")
    try:
        (folder / CIFS).mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InputError(f"{folder} cannot be made: {error.strerror}") from error
    table, names = ranking_table(ranking), cif_names(ranking)
    for row in ranking.ranked:
        path = folder / CIFS / names[row.name]
        path.parent.mkdir(exist_ok=True)
        path.write_text(ranked_cif_text(row, ranking))
    pq.write_table(table, folder / TABLE)
    at = SCHEMA.get_field_index("members")
    pyarrow.csv.write_csv(table.set_column(at, "members", pc.binary_join(table["members"], ";")), folder / CSV)
    return table
