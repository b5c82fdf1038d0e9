"""From CIF files to a dataset: what is kept, what is refused and why."""

import csv
import shutil
import zipfile

import numpy as np
import pytest

from packflow.data.dataset import CrystalDataset
from packflow.data.filters import DEFAULT, PAPER_SPACE_GROUPS, PAPER_Z_PRIMES, check_symmetry
from packflow.data.prepare import PrepareConfig, prepare
from packflow.data.source import read_table
from packflow.errors import InputError, StructureError


def reasons(path):
    with path.open(newline="") as lines:
        return {row["file"]: row["reason"] for row in csv.DictReader(lines)}


def run(source, out, config=DEFAULT, **options):
    return prepare(source, out, config, **{"n_jobs": 1, "progress": False, **options})


def test_every_file_is_accounted_for(cif_folder, tmp_path):
    source = tmp_path / "cifs"
    shutil.copytree(cif_folder, source)
    (source / "broken.cif").write_text("data_x\nloop_\n_a")
    (source / "notes.txt").write_text("hello")
    two = (source / "4501703.cif").read_text() + (source / "1511801.cif").read_text()
    (source / "two.cif").write_text(two)
    (source / "salt.cif").write_text((source / "4501703.cif").read_text())
    table = tmp_path / "table.csv"
    table.write_text((cif_folder / "table.csv").read_text() + "salt.cif,C[NH3+].[Cl-],,\n")
    report = run(source, tmp_path / "out", PrepareConfig(duplicate_tolerance=0), table=table)
    rejected = reasons(tmp_path / "out" / "rejected.csv")
    assert rejected == {
        "broken.cif": "not readable as CIF",
        "notes.txt": "not a structure file",
        "salt.cif": "unusable SMILES",
        "table.csv": "not a structure file",
    }
    dataset = CrystalDataset.open(tmp_path / "out")
    assert len(dataset) == sum(report.n_crystals.values()) == 16 + 2
    assert report.n_files == 16 + 5
    assert sum("two.cif#" in name for name in dataset.name) == 2


def test_crystals_survive_the_disk(dataset_folder):
    dataset = CrystalDataset.open(dataset_folder)
    urea = dataset[int(np.flatnonzero(dataset.name == "2019369.cif")[0])]
    assert urea.template.n_copies == 2
    assert urea.template.n_atoms == len(urea.positions) == 8
    # measured: a = b = 5.565 Å, c = 4.684 Å (COD 2019369)
    np.testing.assert_allclose(np.sort(urea.lattice[:3]), [4.68, 5.56, 5.56], atol=0.05)
    i, j = urea.template.bond_index
    lengths = np.linalg.norm(urea.positions[i] - urea.positions[j], axis=1)
    assert ((lengths > 1.2) & (lengths < 1.4)).all()
    assert dataset.notes["licence"].tolist() == ["CC0 (COD)"] * len(dataset)
    with pytest.raises(IndexError):
        dataset[len(dataset)]


def test_zip_and_processes_give_the_same(cif_folder, dataset_folder, tmp_path):
    archive = tmp_path / "cifs.zip"
    with zipfile.ZipFile(archive, "w") as files:
        for path in sorted(cif_folder.glob("*.cif")):
            files.write(path, f"inner/{path.name}")
    run(archive, tmp_path / "out", table=cif_folder / "table.csv", n_jobs=2)
    a, b = CrystalDataset.open(dataset_folder), CrystalDataset.open(tmp_path / "out")
    np.testing.assert_array_equal(a.positions, b.positions)
    np.testing.assert_array_equal(a.lattice, b.lattice)


def test_limits_are_applied(cif_folder, tmp_path):
    run(cif_folder, tmp_path / "out", config=PrepareConfig(max_atoms=10), table=cif_folder / "table.csv")
    dataset = CrystalDataset.open(tmp_path / "out")
    assert dataset.n_atoms.max() <= 10
    assert "too large" in reasons(tmp_path / "out" / "rejected.csv").values()


def test_cell_as_given(cif_folder, tmp_path):
    run(cif_folder / "7238218.cif", tmp_path / "out", config=PrepareConfig(niggli=False))
    given = CrystalDataset.open(tmp_path / "out").lattice[0]
    line = next(line for line in (cif_folder / "7238218.cif").read_text().splitlines() if line.startswith("_cell_length_a"))
    assert given[0] == pytest.approx(float(line.split()[1]), abs=1e-4)


def test_refused(cif_folder, tmp_path):
    with pytest.raises(InputError, match="does not exist"):
        run(tmp_path / "nowhere", tmp_path / "out")
    (tmp_path / "empty").mkdir()
    with pytest.raises(InputError, match="holds no files"):
        run(tmp_path / "empty", tmp_path / "out")
    (tmp_path / "taken").mkdir()
    with pytest.raises(InputError, match="exists already"):
        run(cif_folder, tmp_path / "taken")
    bad = tmp_path / "bad.csv"
    bad.write_text("name,smiles\n")
    with pytest.raises(InputError, match="columns file and smiles"):
        run(cif_folder, tmp_path / "out", table=bad)
    with pytest.raises(InputError, match=r"table .* does not exist"):
        read_table(tmp_path / "none.csv")
    (tmp_path / "junk").mkdir()
    (tmp_path / "junk" / "a.cif").write_text("data_a\n")
    with pytest.raises(InputError, match="none of the 1 files"):
        run(tmp_path / "junk", tmp_path / "out")
    assert reasons(tmp_path / "out.rejected.csv") == {"a.cif": "no atoms"}
    assert not (tmp_path / "out").exists()


def test_filters(cif_folder, dataset_folder, tmp_path):
    """What the filters leave is what the unfiltered dataset says of its crystals, and nothing else goes."""
    everything = CrystalDataset.open(dataset_folder)
    group, z_prime = everything.notes["space_group"], everything.notes["z_prime"]
    urea = everything.name == "2019369.cif"
    assert (group[urea], z_prime[urea]) == (113, 0.25)
    config = PrepareConfig(space_groups=PAPER_SPACE_GROUPS, z_primes=PAPER_Z_PRIMES)
    run(cif_folder, tmp_path / "paper", config=config, table=cif_folder / "table.csv")
    kept = CrystalDataset.open(tmp_path / "paper").name
    wanted = everything.name[np.isin(group, PAPER_SPACE_GROUPS) & np.isin(z_prime, PAPER_Z_PRIMES)]
    assert 0 < len(kept) < len(everything)
    np.testing.assert_array_equal(kept, wanted)
    found = reasons(tmp_path / "paper" / "rejected.csv")
    assert found["2019369.cif"] == "other space group"
    run(cif_folder, tmp_path / "elements", config=PrepareConfig(elements=("C", "H", "N", "O")), table=cif_folder / "table.csv")
    smiles = CrystalDataset.open(tmp_path / "elements").smiles
    assert not any(symbol in s for s in smiles for symbol in ("S", "F", "Cl", "Br"))
    assert "other element" in reasons(tmp_path / "elements" / "rejected.csv").values()
    run(cif_folder, tmp_path / "all", config=PrepareConfig(max_atoms=0), table=cif_folder / "table.csv")
    assert len(CrystalDataset.open(tmp_path / "all")) == 16


def test_no_symmetry_is_refused_only_where_it_is_asked_for():
    check_symmetry(None, 1, PrepareConfig())
    with pytest.raises(StructureError, match="no space group"):
        check_symmetry(None, 1, PrepareConfig(z_primes=(1,)))
