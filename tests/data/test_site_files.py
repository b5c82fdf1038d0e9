"""Extended-XYZ files and ASE databases make the same dataset as the CIF files of the same crystals."""

import csv
import zipfile

import ase
import ase.db
import ase.io
import numpy as np
import pytest

from packflow.data.dataset import CrystalDataset
from packflow.data.prepare import prepare
from packflow.data.site_files import structures_in
from packflow.errors import StructureError
from packflow.structure.cif import read_cif

NAMES = ("2019369", "1511801", "4501703")


def reasons(path):
    with path.open(newline="") as lines:
        return {row["file"]: (row["reason"], row["detail"]) for row in csv.DictReader(lines)}


def prepared(source, out):
    prepare(source, out, n_jobs=1, progress=False)
    return CrystalDataset.open(out)


@pytest.fixture
def frames(cif_folder, smiles_of):
    """ASE atoms in a frame that is not pymatgen's."""
    found = []
    for name in NAMES:
        sites = read_cif(cif_folder / f"{name}.cif")[0]
        cell = ase.geometry.cellpar_to_cell(sites.lattice)
        atoms = ase.Atoms(numbers=sites.atomic_numbers, scaled_positions=sites.fractional, cell=cell, pbc=True)
        atoms.info.update(name=name, smiles=smiles_of[name])
        found.append(atoms)
    return found


def write_database(path, frames):
    database = ase.db.connect(path)
    for atoms in frames:
        pairs = {"name": int(atoms.info["name"])} if "name" in atoms.info else {}
        database.write(atoms, **pairs, smiles=atoms.info.get("smiles", "C"))


@pytest.mark.parametrize("kind", ["one xyz", "xyz each", "database", "archive"])
def test_same_as_cif(frames, cif_folder, tmp_path, kind):
    source = tmp_path / "source"
    source.mkdir()
    if kind == "one xyz":
        source = source / "all.extxyz"
        ase.io.write(source, frames, format="extxyz")
    elif kind == "xyz each":
        for atoms in frames:
            ase.io.write(source / f"{atoms.info['name']}.xyz", atoms, format="extxyz")
    else:
        write_database(source / "all.db", frames)
    if kind == "archive":
        archive = tmp_path / "all.zip"
        with zipfile.ZipFile(archive, "w") as files:
            files.write(source / "all.db", "inner/all.db")
        source = archive
    found = prepared(source, tmp_path / "out")
    cifs = tmp_path / "cifs"
    cifs.mkdir()
    for name in NAMES:
        (cifs / f"{name}.cif").write_bytes((cif_folder / f"{name}.cif").read_bytes())
    prepare(cifs, tmp_path / "expected", table=cif_folder / "table.csv", n_jobs=1, progress=False)
    expected = CrystalDataset.open(tmp_path / "expected")
    titles = [name.split("#")[-1] for name in found.name]
    assert sorted(titles) == sorted(NAMES)
    for k, title in enumerate(titles):
        other = int(np.flatnonzero(expected.name == f"{title}.cif")[0])
        assert found[k].template.molecule.smiles == expected[other].template.molecule.smiles
        assert found.notes["space_group"][k] == expected.notes["space_group"][other]
        np.testing.assert_allclose(found.lattice[k], expected.lattice[other], atol=1e-5)
        # 8 digits are written to an extended-XYZ file
        ours, theirs = (np.sort(np.linalg.norm(c.positions, axis=1)) for c in (found[k], expected[other]))
        if title != "2019369":  # urea's cell has a = b: which of them comes first is a matter of rounding
            np.testing.assert_allclose(ours, theirs, atol=1e-4)


def test_what_cannot_be_read_is_a_row(frames, tmp_path):
    source = tmp_path / "source"
    source.mkdir()
    slab = frames[0].copy()
    slab.pbc = [True, True, False]
    del slab.info["name"]
    write_database(source / "rows.db", [frames[0], slab])
    (source / "junk.db").write_text("no database")
    (source / "none.db").write_bytes(b"")
    (source / "empty.xyz").write_text("\n")
    (source / "broken.xyz").write_text('1\nLattice="a" Properties=species:S:1:pos:R:3 pbc="T T T"\nC 0 0 0\n')
    (source / "nowhere.xyz").write_text('1\nLattice="5 0 0 0 5 0 0 0 5" Properties=species:S:1 pbc="T T T"\nC\n')
    assert prepared(source, tmp_path / "out").name.tolist() == ["rows.db#2019369"]
    found = reasons(tmp_path / "out" / "rejected.csv")
    assert {name: reason for name, (reason, _) in found.items()} == {
        "broken.xyz": "not readable as extended XYZ",
        "empty.xyz": "no atoms",
        "junk.db": "not readable as ASE database",
        "none.db": "no atoms",
        "nowhere.xyz": "missing coordinates",
        "rows.db#2": "no cell",
    }
    assert all("\n" not in detail for _, detail in found.values())


def test_damaged_archive_member(frames, cif_folder, tmp_path):
    archive = tmp_path / "all.zip"
    with zipfile.ZipFile(archive, "w") as files:
        files.write(cif_folder / "2019369.cif", "bad.cif")
        files.write(cif_folder / "1511801.cif", "good.cif")
    content = archive.read_bytes()
    archive.write_bytes(content.replace(b"_cell_length_a", b"_cell_lengthza", 1))
    assert prepared(archive, tmp_path / "out").name.tolist() == ["good.cif"]
    assert reasons(tmp_path / "out" / "rejected.csv")["bad.cif"][0] == "not readable"


def test_left_handed_cell_is_no_mirror_image(tmp_path):
    """Four different atoms span a volume whose sign must stay; ASE's positions say which."""
    positions = np.array([[0.0, 0, 0], [1.5, 0, 0], [0, 1.4, 0], [0, 0, 1.3]])
    cell = np.array([[0.0, 6, 0], [5, 0, 0], [0.5, 0.7, 7]])
    assert np.linalg.det(cell) < 0
    ase.io.write(tmp_path / "left.xyz", ase.Atoms("CNOF", positions=positions, cell=cell, pbc=True), format="extxyz")
    title, make = structures_in(tmp_path, "left.xyz")[0]
    sites = make()
    assert title == "left.xyz"
    cartesian = sites.fractional @ sites.cell
    assert np.linalg.det(cartesian[1:] - cartesian[0]) == pytest.approx(np.linalg.det(positions[1:]), rel=1e-6)


def test_other_kinds(tmp_path):
    (tmp_path / "a.mol").write_text("")
    with pytest.raises(StructureError, match="not a structure file: wanted are"):
        structures_in(tmp_path, "a.mol")
