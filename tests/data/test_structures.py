"""Sets of structures: every kind of file gives back the crystals it was made from, and nothing that fails drops out."""

import csv
import io
import zipfile

import ase.io
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch

from packflow.data.structure_table import read_structure_table
from packflow.data.structures import read_structures
from packflow.errors import InputError
from packflow.flow.sampler import Proposal
from packflow.report.proposals import ProposalFolder
from packflow.structure import AtomsBatch, Crystal, Molecule, Template
from packflow.structure.cif import cif_text, read_cif, to_ase
from packflow.structure.lattice import lattice_from_cell
from packflow.structure.recognize import recognize

UREA = Template(Molecule.from_smiles("NC(N)=O"), 2)
XYZ = '1\nLattice="{cell}" Properties=species:S:1:pos:R:3 pbc="T T T"\n{symbol} {x} 0 0\n'
CELL = "5 0 0 0 5 0 0 0 5"


@pytest.fixture(scope="module")
def crystals(cif_folder, smiles_of):
    return [recognize(read_cif(cif_folder / f"{name}.cif")[0], smiles) for name, smiles in sorted(smiles_of.items())]


@pytest.fixture
def results(crystals, tmp_path):
    """What `packflow sample` leaves: several molecules here, and two proposals that are no crystals."""
    proposals = [Proposal(c, k, 7) for k, c in enumerate(crystals)]
    proposals.insert(3, Proposal(crystals[0], 98, 7, "impossible cell"))
    broken = Crystal(UREA, np.full((8, 3), np.nan), np.array([6.0, 7, 8, 80, 95, 100]))
    with ProposalFolder(tmp_path / "out", {}) as folder:
        folder.write([*proposals, Proposal(broken, 99, 7, "not finite")])
    return tmp_path / "out"


def assert_same(found, crystals, atol):
    """Cell, elements in order, positions up to lattice translations and one shift, bonds and hydrogens."""
    expected = AtomsBatch.from_crystals(crystals)
    assert not any(found.problem)
    atoms = found.atoms
    assert atoms.positions.dtype == torch.float64
    assert torch.equal(atoms.atom_ptr, expected.atom_ptr)
    assert torch.equal(atoms.atomic_numbers, expected.atomic_numbers)
    assert torch.equal(atoms.bond_index, expected.bond_index)
    assert torch.equal(atoms.n_hydrogens, expected.n_hydrogens)
    assert atoms.has_bonds.all()
    torch.testing.assert_close(lattice_from_cell(atoms.cell), lattice_from_cell(expected.cell), atol=atol, rtol=0)
    inverse = torch.linalg.inv(expected.cell)[expected.structure_index]
    shift = torch.einsum("ni,nij->nj", atoms.positions - expected.positions, inverse)
    torch.testing.assert_close(shift, shift.round(), atol=atol, rtol=0)


def test_proposals_of_sample(results, crystals):
    for source in (results, results / "proposals.parquet"):
        found = read_structures(source)
        assert len(found) == len(crystals) + 2
        assert found.names[:3] == ["proposals#0", "proposals#1", "proposals#2"]
        assert found.names[3] == "proposals#98"
        assert (found.problem[3], found.problem[-1]) == ("impossible cell", "not finite")
        assert found.molecule[3] == crystals[0].template.molecule.smiles
        assert found.atoms.sizes[[3, -1]].tolist() == [0, 0]
        assert found.atoms.cell[[3, -1]].isnan().all()
        assert found.columns["seed"] == [7] * len(found)
        good = [k for k, problem in enumerate(found.problem) if not problem]
        assert {found.bonds[k] for k in good} == {"stated"}
        kept = type(found)([], [], [], [], found.atoms.select(torch.tensor(good)))
        assert_same(kept, crystals, atol=1e-5)


def test_cif_files_of_sample(results, crystals):
    found = read_structures(results / "cifs")
    assert found.names == [f"proposal_{k:06d}" for k in range(len(crystals))]
    assert found.molecule == [c.template.molecule.smiles for c in crystals]
    assert set(found.bonds) == {"stated"}
    assert_same(found, crystals, atol=1e-5)


def test_stated_bonds_survive_a_broken_molecule(crystals, tmp_path):
    """A prediction whose atoms are far apart, or in one place, keeps the bonds it should have."""
    spread = Crystal(UREA, np.random.default_rng(0).uniform(size=(8, 3)) * 8, np.array([9.0, 9, 9, 90, 90, 90]))
    heap = Crystal(UREA, np.zeros((8, 3)), spread.lattice)
    for name, crystal in (("spread", spread), ("heap", heap)):
        (tmp_path / f"{name}.cif").write_text(cif_text(crystal, name))
    assert_same(read_structures(tmp_path), [heap, spread], atol=1e-5)


def test_a_cif_that_lists_other_bonds_states_nothing(tmp_path):
    crystal = Crystal(UREA, np.random.default_rng(0).uniform(size=(8, 3)) * 8, np.array([9.0, 9, 9, 90, 90, 90]))
    lines = cif_text(crystal, "a").splitlines()
    last_bond = max(k for k, line in enumerate(lines) if line.strip())
    (tmp_path / "a.cif").write_text("\n".join(lines[:last_bond]))
    found = read_structures(tmp_path / "a.cif")
    assert found.names == ["a"]
    assert found.bonds == ["another molecule"]
    assert not found.atoms.has_bonds.any()
    assert found.atoms.bond_index.shape == (2, 0)
    assert found.atoms.n_hydrogens.sum() == 0


def test_experimental_cif_files(cif_folder, smiles_of, crystals):
    """Symmetry is expanded, hydrogens removed and counted; bonds are recognized by the SMILES of a table, else unknown."""
    found = read_structures(cif_folder, table=cif_folder / "table.csv")
    assert found.names == sorted(smiles_of)
    assert set(found.bonds) == {"recognized"}
    assert found.atoms.has_bonds.all()
    # positions are those of the file, not centred
    expected = AtomsBatch.from_crystals(crystals)
    assert torch.equal(found.atoms.bond_index, expected.bond_index)
    assert torch.equal(found.atoms.atomic_numbers, expected.atomic_numbers)
    for structure in range(len(found)):
        mine, theirs = (b.select(torch.tensor([structure])) for b in (found.atoms, expected))
        shift = (mine.positions - theirs.positions) @ torch.linalg.inv(mine.cell[0])
        torch.testing.assert_close((shift - shift[0]).round(), shift - shift[0], atol=1e-6, rtol=0)
    bare = read_structures(cif_folder)
    assert set(bare.bonds) == {"no SMILES"}
    assert not bare.atoms.has_bonds.any()
    assert bare.atoms.sizes.tolist() == found.atoms.sizes.tolist()


@pytest.mark.parametrize(("name", "per_element"), [("2019369", {6: 0, 7: 2, 8: 0}), ("4501703", {6: 1}), ("2100665", {6: 2, 7: 2})])
def test_hydrogens_are_counted(cif_folder, name, per_element):
    atoms = read_structures(cif_folder / f"{name}.cif").atoms
    for number, count in per_element.items():
        assert set(atoms.n_hydrogens[atoms.atomic_numbers == number].tolist()) == {count}


def test_a_shared_hydrogen_counts_once(tmp_path):
    """Halfway between two oxygens, as in a strong hydrogen bond; a lone one belongs to nobody."""
    atoms = ase.Atoms("OHOHC", [[0, 0, 0], [1.2, 0, 0], [2.41, 0, 0], [5, 5, 5], [0, 4, 0]], cell=np.eye(3) * 10, pbc=True)
    ase.io.write(tmp_path / "a.xyz", atoms, format="extxyz")
    found = read_structures(tmp_path / "a.xyz").atoms
    assert found.atomic_numbers.tolist() == [8, 8, 6]
    assert found.n_hydrogens.tolist() == [1, 0, 0]


@pytest.mark.parametrize("folder", [False, True])
def test_extended_xyz(crystals, tmp_path, folder):
    """Frames in ASE's own frame of axes, rotated, with what they say of themselves."""
    frames = []
    for k, crystal in enumerate(crystals):
        atoms = to_ase(crystal)
        molecule = crystal.template.molecule
        atoms.info.update(smiles=molecule.smiles, n_copies=crystal.template.n_copies, seconds=0.5 * k)
        frames.append(atoms)
    frames[2].info["name"] = "mine"
    ase.io.write(tmp_path / "all.extxyz", frames, format="extxyz")
    found = read_structures(tmp_path if folder else tmp_path / "all.extxyz")
    assert found.names[:4] == ["all#0", "all#1", "mine", "all#3"]
    assert found.columns == {"seconds": [0.5 * k for k in range(len(crystals))]}
    assert set(found.bonds) == {"stated"}
    assert_same(found, crystals, atol=1e-6)
    for atoms in frames:
        del atoms.info["n_copies"]
        atoms.rotate(40, (1, 2, 3), rotate_cell=True)
    ase.io.write(tmp_path / "all.extxyz", frames, format="extxyz")
    found = read_structures(tmp_path if folder else tmp_path / "all.extxyz")
    assert set(found.bonds) == {"recognized"}
    assert_same_distances(found.atoms, AtomsBatch.from_crystals(crystals))


def assert_same_distances(found, expected):
    """Lengths of all bonds over the nearest image, in any frame; bonds recognized anew may be listed in another atom order."""
    lengths = []
    for atoms in (found, expected):
        i, j = atoms.bond_index
        cell = atoms.cell[atoms.structure_index[i]]
        shift = torch.einsum("ni,nij->nj", atoms.positions[j] - atoms.positions[i], torch.linalg.inv(cell))
        lengths.append(torch.einsum("ni,nij->nj", shift - shift.round(), cell).norm(dim=1).sort().values)
    torch.testing.assert_close(*lengths, atol=1e-5, rtol=0)


def test_zip_archive(results, cif_folder, crystals, tmp_path):
    with zipfile.ZipFile(tmp_path / "all.zip", "w") as archive:
        for file in sorted(cif_folder.glob("*.cif")):
            archive.write(file, f"cif/{file.name}")
        archive.writestr("__MACOSX/cif/._2019369.cif", "shadow")
        archive.writestr("notes.txt", "not a structure")
        archive.write(results / "proposals.parquet", "sampled/proposals.parquet")
        archive.write(results / "cifs" / "proposal_000000.cif", "sampled/cifs/proposal_000000.cif")
    found = read_structures(tmp_path / "all.zip")
    assert len(found) == 2 * len(crystals) + 2
    assert found.names[0] == "1010060"
    assert found.names[-1] == "proposals#99"
    assert found.columns["index"][0] is None
    assert found.columns["index"][-1] == 99


def test_mixed_folder(results, cif_folder, tmp_path):
    """Every readable file once, others left alone; a result of `packflow sample` by its table; stems that repeat get a path."""
    (tmp_path / "b").mkdir()
    (tmp_path / "b" / "x.cif").write_bytes((cif_folder / "2019369.cif").read_bytes())
    (tmp_path / "x.xyz").write_text(XYZ.format(cell=CELL, symbol="C", x=1))
    (tmp_path / "notes.txt").write_text("mine")
    (tmp_path / "two.cif").write_text(cif_text(Crystal(UREA, np.eye(8, 3), np.array([9.0, 9, 9, 90, 90, 90])), "p"))
    found = read_structures(tmp_path)
    assert [name for name in found.names if "#" not in name] == ["b/x", "two", "x"]
    assert sum("proposals#" in name for name in found.names) == len(found) - 3


def test_blocks_of_one_file(cif_folder, tmp_path):
    texts = [(cif_folder / f"{name}.cif").read_text() for name in ("2019369", "4501703")]
    (tmp_path / "two.cif").write_text("\n".join(texts) + "\ndata_three\n_atom_site_fract_x 0.5\n")
    found = read_structures(tmp_path / "two.cif")
    assert len(found) == 3
    assert [name.split("#")[0] for name in found.names] == ["two"] * 3
    assert found.names[2] == "two#three"
    assert [bool(problem) for problem in found.problem] == [False, False, True]


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        (lambda text: "junk", "not readable as CIF"),
        (lambda text: "", "no atoms"),
        (lambda text: text.replace("_cell_length_a 9.000000", "_cell_length_a 0.0"), "no valid cell"),
        (lambda text: text.replace("_cell_length_a 9.000000", "_cell_length_a nan"), "no valid cell"),
        (lambda text: text.replace("_cell_angle_alpha 90.000000", "_cell_angle_alpha 179.99"), "no valid cell"),
        (lambda text: text.replace("N1 N 0.111111", "N1 N ?"), "missing coordinates"),
        (lambda text: text.replace("N1 N ", "N1 Fe "), "unsupported element"),
    ],
    ids=["junk", "empty", "zero length", "NaN length", "flat", "no coordinates", "iron"],
)
def test_a_broken_cif_is_a_row(tmp_path, change, problem):
    text = cif_text(Crystal(UREA, np.eye(8, 3), np.array([9.0, 9, 9, 90, 90, 90])), "a")
    changed = change(text)
    assert changed != text
    (tmp_path / "a.cif").write_text(changed)
    (tmp_path / "b.cif").write_text(text)
    found = read_structures(tmp_path)
    assert found.names == ["a", "b"]
    assert found.problem[0].startswith(problem)
    assert found.problem[1] == ""
    assert found.atoms.sizes.tolist() == [0, 8]
    assert found.atoms.cell[0].isnan().all()


@pytest.mark.parametrize(
    ("frame", "problem"),
    [
        (XYZ.format(cell="5 0 0 0 5 0 5 5 0", symbol="C", x=0), "no valid cell"),
        (XYZ.format(cell="5 0 0 0 5 0 0 0 inf", symbol="C", x=0), "no valid cell"),
        (XYZ.format(cell="5 0 0 0 5 0 0 0 0.5", symbol="C", x=0), "no valid cell"),
        (XYZ.format(cell=CELL, symbol="C", x="nan"), "missing coordinates"),
        (XYZ.format(cell=CELL, symbol="C", x="far"), "not readable as extended XYZ"),
        (XYZ.format(cell=CELL, symbol="Qq", x=0), "not readable as extended XYZ"),
        (XYZ.format(cell=CELL, symbol="Fe", x=0), "unsupported element"),
        (XYZ.format(cell=CELL, symbol="H", x=0), "no heavy atoms"),
        ("1\nno cell\nC 0 0 0\n", "no cell"),
        (f'1\nLattice="{CELL}" Properties=species:S:1\nC\n', "missing coordinates"),
        (f'0\nLattice="{CELL}"\n', "no atoms"),
    ],
)
def test_a_broken_frame_is_a_row(tmp_path, frame, problem):
    good = XYZ.format(cell=CELL, symbol="C", x=1)
    (tmp_path / "a.xyz").write_text(f"{good}{frame}\n{good}")
    found = read_structures(tmp_path / "a.xyz")
    assert found.names == ["a#0", "a#1", "a#2"]
    assert found.problem[1].startswith(problem)
    assert found.atoms.sizes.tolist() == [1, 0, 1]


def test_the_rest_of_a_file_that_is_no_xyz(tmp_path):
    (tmp_path / "a.xyz").write_text(XYZ.format(cell=CELL, symbol="C", x=1) + "junk\n" * 3)
    (tmp_path / "b.xyz").write_text("")
    found = read_structures(tmp_path)
    assert found.names == ["a#0", "a#1", "b"]
    assert found.problem[0] == ""
    assert "not readable" in found.problem[1]
    assert found.problem[2] == "no atoms: the file holds no frames"


def table_of(**changes):
    """Three rows of urea; `changes` are whole columns."""
    cell = {name: [9.0] * 3 for name in "abc"} | {name: [90.0] * 3 for name in ("alpha", "beta", "gamma")}
    columns = {"smiles": ["NC(N)=O"] * 3, "n_copies": [1] * 3, **cell, "atomic_numbers": [[7, 6, 7, 8]] * 3}
    columns["positions"] = [[0.0, 0, 0, 1.4, 0, 0, 2, 1.2, 0, 2, -1.2, 0]] * 3
    file = io.BytesIO()
    pq.write_table(pa.table(columns | changes), file)
    return file.getvalue()


@pytest.mark.parametrize(
    ("changes", "problem"),
    [
        ({"a": [9.0, 0.0, 9.0]}, "no valid cell"),
        ({"a": [9.0, float("nan"), 9.0]}, "no valid cell"),
        ({"a": [9.0, None, 9.0]}, "no valid cell"),
        ({"a": [9.0, -9.0, 9.0]}, "no valid cell"),
        ({"gamma": [90.0, 179.99, 90.0]}, "no valid cell"),
        ({"positions": [[0.0] * 12, [float("nan")] * 12, [0.0] * 12]}, "missing coordinates"),
        ({"positions": [[0.0] * 12, [None] * 12, [0.0] * 12]}, "missing coordinates"),
        ({"positions": [[0.0] * 12, [0.0] * 9, [0.0] * 12]}, "atomic_numbers and positions differ in length"),
        ({"positions": [[0.0] * 12, None, [0.0] * 12]}, "atomic_numbers and positions differ in length"),
        ({"atomic_numbers": [[7, 6, 7, 8], None, [7, 6, 7, 8]]}, "no atoms"),
        ({"atomic_numbers": [[7, 6, 7, 8], [7, 6, 7, 26], [7, 6, 7, 8]]}, "unsupported element"),
        ({"atomic_numbers": [[7, 6, 7, 8], [1, 1, 1, 1], [7, 6, 7, 8]]}, "no heavy atoms"),
        ({"atomic_numbers": [[7, 6, 7, 8], [7, 6, 8, 7], [7, 6, 7, 8]]}, "the atoms are not 1 copies of NC(N)=O"),
        ({"n_copies": [1, 2, 1]}, "the atoms are not 2 copies of NC(N)=O"),
        ({"problem": ["", "as given", None]}, "as given"),
    ],
)
def test_a_broken_row_of_a_table_stays(changes, problem):
    found = read_structure_table(table_of(**changes), "t")
    assert found.names == ["t#0", "t#1", "t#2"]
    assert found.problem == ["", problem, ""]
    assert found.atoms.sizes.tolist() == [4, 0, 4]
    assert found.atoms.has_bonds.tolist() == [True, False, True]
    assert found.atoms.n_hydrogens.tolist() == [2, 0, 2, 0] * 2
    assert found.atoms.positions.isfinite().all()


def test_a_table_without_molecules():
    found = read_structure_table(table_of(smiles=["NC(N)=O", None, "not a SMILES"], n_copies=[None, 1, 1], name=["x", "y", None]), "t")
    assert found.names == ["x", "y", "t#2"]
    assert found.molecule == ["NC(N)=O", "", "not a SMILES"]
    assert found.bonds == ["no n_copies", "no SMILES", "unusable SMILES"]
    assert not found.atoms.has_bonds.any()
    assert not any(found.problem)


def test_a_table_that_lists_hydrogens():
    """One of its rows does: they are removed and counted, in place of the molecule's own."""
    numbers = [[7, 6, 7, 8], [1, 7, 6, 7, 8], [7, 6, 7, 8]]
    flat = [0.0, 0, 0, 1.4, 0, 0, 2, 1.2, 0, 2, -1.2, 0]
    found = read_structure_table(table_of(atomic_numbers=numbers, positions=[flat, [-1.0, 0, 0, *flat], flat]), "t")
    assert not any(found.problem)
    assert found.atoms.atomic_numbers.tolist() == [7, 6, 7, 8] * 3
    assert found.atoms.n_hydrogens.tolist() == [2, 0, 2, 0, 1, 0, 0, 0, 2, 0, 2, 0]
    assert found.atoms.has_bonds.all()
    assert torch.equal(found.atoms.positions[:4], found.atoms.positions[4:8])


def test_what_cannot_be_read_at_all(tmp_path):
    def refused(path, message):
        with pytest.raises(InputError, match=message) as error:
            read_structures(path)
        assert "\n" not in str(error.value)

    refused(tmp_path / "nowhere", "nowhere does not exist")
    refused(tmp_path, "holds no files")
    (tmp_path / "notes.txt").write_text("mine")
    refused(tmp_path, "holds no .cif, .mmcif, .parquet, .xyz, .extxyz file")
    refused(tmp_path / "notes.txt", "must be a folder, a zip archive or")
    (tmp_path / "a.zip").write_bytes(b"PK not an archive")
    refused(tmp_path / "a.zip", "must be a folder, a zip archive or")
    with zipfile.ZipFile(tmp_path / "empty.zip", "w"):
        pass
    refused(tmp_path / "empty.zip", "holds no files")
    (tmp_path / "a.parquet").write_bytes(b"junk")
    refused(tmp_path / "a.parquet", "a.parquet: not readable as Parquet")
    pq.write_table(pa.table({"a": [1.0]}), tmp_path / "a.parquet")
    refused(tmp_path / "a.parquet", "lacks b, c")
    (tmp_path / "a.parquet").write_bytes(table_of(positions=[1.0, 2.0, 3.0]))
    refused(tmp_path / "a.parquet", "column positions must hold lists")
    (tmp_path / "a.parquet").write_bytes(table_of(atomic_numbers=[["N", "C"]] * 3))
    refused(tmp_path / "a.parquet", "a column is not of numbers")
    (tmp_path / "a.parquet").write_bytes(table_of(smiles=[["C"]] * 3))
    refused(tmp_path / "a.parquet", "column smiles must hold text, got list")
    pq.write_table(pq.read_table(io.BytesIO(table_of())).slice(0, 0), tmp_path / "a.parquet")
    refused(tmp_path / "a.parquet", "holds no structures")


def test_a_damaged_member_of_an_archive_is_a_row(cif_folder, tmp_path):
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as archive:
        archive.writestr("a.cif", "data_a\n" + "#" * 200)
        archive.write(cif_folder / "2019369.cif", "b.cif")
    damaged = bytearray((tmp_path / "a.zip").read_bytes())
    damaged[60:70] = b"xxxxxxxxxx"
    (tmp_path / "a.zip").write_bytes(damaged)
    found = read_structures(tmp_path / "a.zip")
    assert found.names == ["a", "b"]
    assert "damaged or encrypted" in found.problem[0]
    assert found.problem[1] == ""


def test_processes_give_the_same(cif_folder, monkeypatch):
    monkeypatch.setattr("packflow.data.structures.FEW", 3)
    alone, together = read_structures(cif_folder), read_structures(cif_folder, n_jobs=2)
    assert together.names == alone.names
    assert torch.equal(together.atoms.positions, alone.atoms.positions)


def test_a_table_names_files_with_or_without_their_folder(cif_folder, tmp_path):
    with (tmp_path / "t.csv").open("w", newline="") as lines:
        csv.writer(lines).writerows([("file", "smiles"), ("2019369.cif", "NC(N)=O")])
    assert read_structures(cif_folder, table=tmp_path / "t.csv").molecule.count("NC(N)=O") == 1
