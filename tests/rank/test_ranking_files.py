"""The table, its files, and the CIFs of the ranks."""

import csv
from dataclasses import replace

import ase.io
import gemmi
import numpy as np
import pyarrow.parquet as pq
import pytest
from pymatgen.core import Structure

from packflow import InputError
from packflow.rank import Candidate, Known, compare_with_known, rank_crystals, ranking_table, write_ranking
from packflow.rank.conformers import ConformerConfig, conformers
from packflow.rank.ranking_files import SCHEMA, cif_names


@pytest.fixture
def ranking(urea, swollen, other_setting, ended):
    made = {"a": (urea, -4.0), "b": (other_setting(urea), -7.9996), "c": (swollen(urea, 1.05), -3.8)}
    candidates = [
        Candidate(n, s.template, ended(s, e), before=urea if n == "a" else None, index=k) for k, (n, (s, e)) in enumerate(made.items())
    ]
    return rank_crystals([*candidates, Candidate("d", urea.template, None, problem="it burst, alas", seed=5)])


def test_table(ranking, urea):
    table = ranking_table(ranking)
    assert table.schema == SCHEMA
    first, second, *others = table.to_pylist()
    assert (first["rank"], first["name"], first["index"], first["n_duplicates"], first["members"]) == (1, "a", 0, 1, ["a", "b"])
    assert (first["space_group"], first["space_group_number"], first["z"], first["z_prime"]) == ("P-42_1m", 113, 2, 0.25)
    assert (first["energy"], first["relative_energy_kj_mol"], first["lattice_energy_kj_mol"]) == (-2.0, 0.0, None)
    assert first["gas_problem"] == "no gas phase was asked for"
    assert first["volume"] == pytest.approx(abs(np.linalg.det(urea.cell)))
    assert first["max_stress_gpa"] == pytest.approx(1e-4 * 160.21766)
    assert (first["intact_before"], second["intact_before"]) == (True, None)
    assert second["relative_energy_kj_mol"] == pytest.approx(0.1 * 96.48533)
    assert (first["cif"], second["cif"]) == ("rank_0001.cif", "rank_0002.cif")
    assert [row["reason"] for row in others] == ["duplicate of a", "it burst, alas"]
    assert (others[0]["duplicate_of"], others[0]["space_group"], others[0]["cif"]) == ("a", None, None)
    assert (others[1]["energy"], others[1]["density"], others[1]["converged"], others[1]["n_broken"]) == (None,) * 4
    assert others[1]["seed"] == 5
    assert first["known"] is first["rmsd_15"] is first["match_problem"] is None


def test_files(ranking, tmp_path):
    table = write_ranking(ranking, tmp_path / "out")
    assert pq.read_table(tmp_path / "out" / "ranking.parquet").equals(table)
    with (tmp_path / "out" / "ranking.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert [row["name"] for row in rows] == table["name"].to_pylist()
    assert rows[0]["members"] == "a;b"
    assert rows[3]["reason"] == "it burst, alas"
    assert float(rows[1]["relative_energy_kj_mol"]) == table["relative_energy_kj_mol"][1].as_py()
    assert sorted(p.name for p in (tmp_path / "out" / "cifs").iterdir()) == ["rank_0001.cif", "rank_0002.cif"]


def test_cifs(ranking, tmp_path, urea):
    write_ranking(ranking, tmp_path)
    path = tmp_path / "cifs" / "rank_0002.cif"
    volume = 1.05**3 * abs(np.linalg.det(urea.cell))
    small = gemmi.read_small_structure(str(path))
    atoms, structure = ase.io.read(path), Structure.from_file(path)
    assert len(small.sites) == len(atoms) == len(structure) == 16
    assert atoms.get_chemical_formula() == "C2H8N4O2"
    for found in (small.cell.volume, atoms.get_volume(), structure.volume):
        assert found == pytest.approx(volume, rel=1e-5)
    near = atoms.get_all_distances(mic=True)[atoms.numbers == 1] + 9.0 * (np.arange(16) == np.flatnonzero(atoms.numbers == 1)[:, None])
    assert np.allclose(near.min(1), 1.0, atol=0.05)
    block = gemmi.cif.read_file(str(path)).sole_block()
    assert block.find_value("_packflow_rank") == "2"
    assert float(block.find_value("_packflow_relative_energy_kj_mol")) == pytest.approx(9.649, abs=1e-3)
    assert block.find_value("_packflow_lattice_energy_kj_mol").strip("'") == "?"


def test_folder_per_molecule(urea, apart, ended, tmp_path):
    ethane = apart(conformers("CC", ConformerConfig(1)), 6.0)
    ranking = rank_crystals([Candidate(n, s.template, ended(s)) for n, s in (("u", urea), ("e", ethane))])
    assert cif_names(ranking) == {"e": "molecule_0001/rank_0001.cif", "u": "molecule_0002/rank_0001.cif"}
    write_ranking(ranking, tmp_path)
    assert gemmi.read_small_structure(str(tmp_path / "cifs" / "molecule_0002" / "rank_0001.cif")).sites


def test_known_columns(ranking, urea, ended):
    compared = compare_with_known(ranking, [Known("measured", urea, ended(urea, -4.2))])
    first = ranking_table(compared).to_pylist()[0]
    assert (first["known"], first["n_matched"]) == ("measured", 15)
    assert first["rmsd_15"] < 1e-3
    assert first["energy_above_known_kj_mol"] == pytest.approx(0.1 * 96.48533)


def test_empty(tmp_path):
    table = write_ranking(rank_crystals([]), tmp_path)
    assert (table.num_rows, table.schema) == (0, SCHEMA)
    assert pq.read_table(tmp_path / "ranking.parquet").num_rows == 0
    assert len((tmp_path / "ranking.csv").read_text().splitlines()) == 1


def test_folder_with_files(ranking, tmp_path):
    (tmp_path / "mine.txt").write_text("keep")
    with pytest.raises(InputError, match="holds files already"):
        write_ranking(ranking, tmp_path)
    with pytest.raises(InputError, match="cannot be made"):
        write_ranking(ranking, tmp_path / "mine.txt" / "below")


def test_wide_numbers(ranking):
    """Names sort as numbers, also beyond 9999."""
    rows = tuple(replace(row, rank=12345) if row.rank == 2 else row for row in ranking.rows)
    assert sorted(cif_names(replace(ranking, rows=rows)).values()) == ["rank_00001.cif", "rank_12345.cif"]
