"""mmCIF files in a folder: crystals for a dataset, structures to be judged, and what is none."""

import csv

import torch

from packflow.data.dataset import CrystalDataset
from packflow.data.prepare import prepare
from packflow.data.structures import read_structures

NAMES = ("2019369", "1511801", "4501703")


def test_prepare(cif_folder, smiles_of, mmcif_of, tmp_path):
    """Both endings, operations in a column of another name; a truncated file is a row, and so is one without symmetry or coordinates."""
    source = tmp_path / "mmcif"
    source.mkdir()
    for name, ending in zip(NAMES, ("mmcif", "cif", "mmcif"), strict=True):
        (source / f"{name}.{ending}").write_text(mmcif_of(cif_folder / f"{name}.cif", smiles_of[name]))
    text = (source / f"{NAMES[0]}.mmcif").read_text()
    (source / "perceived.mmcif").write_text(mmcif_of(cif_folder / "4116140.cif"))
    (source / "short.mmcif").write_text(text[: text.index("_struct_conn.ptnr2_symmetry") + 80])
    (source / "column.mmcif").write_text(text.replace("_pdbx_struct_oper_list.symmetry_operation", "_pdbx_struct_oper_list.name", 1))
    (source / "nothing.mmcif").write_text(text.replace("_pdbx_struct_oper_list.", "_other."))
    (source / "Cartesian.mmcif").write_text(text.replace("fract_", "Cartn_"))
    prepare(source, tmp_path / "out", n_jobs=1, progress=False)
    found = CrystalDataset.open(tmp_path / "out")
    expected = [f"{NAMES[1]}.cif", f"{NAMES[0]}.mmcif", f"{NAMES[2]}.mmcif", "perceived.mmcif"]
    assert sorted(found.name) == sorted(expected)
    assert found[found.name.tolist().index("perceived.mmcif")].template.molecule.smiles == "O=C(O)CC(=O)O"
    with (tmp_path / "out" / "rejected.csv").open(newline="") as lines:
        rejected = {row["file"]: row["reason"] for row in csv.DictReader(lines)}
    assert rejected == {
        "Cartesian.mmcif": "no atoms",
        "column.mmcif": "duplicate",
        "nothing.mmcif": "no symmetry",
        "short.mmcif": "not readable as CIF",
    }


def test_mmcif_is_judged_like_cif(cif_folder, smiles_of, mmcif_of, tmp_path):
    names = ("2019369", "4501703")
    for name in names:
        (tmp_path / f"{name}.mmcif").write_text(mmcif_of(cif_folder / f"{name}.cif", f"{smiles_of[name]}.{smiles_of[name]}"))
    (tmp_path / "short.mmcif").write_text("data_x\nloop_\n_atom_site.fract_x\n_atom_site.fract_y\n0.1")
    found = read_structures(tmp_path)
    assert found.names == [*names, "short"]
    assert found.problem[:2] == ["", ""]
    assert found.problem[2].startswith("not readable as CIF")
    for k, name in enumerate(names):
        expected = read_structures(cif_folder / f"{name}.cif")
        ours = found.atoms.positions[found.atoms.atom_ptr[k] : found.atoms.atom_ptr[k + 1]]
        assert len(ours) == len(expected.atoms.positions)
        assert torch.allclose(found.atoms.cell[k], expected.atoms.cell[0], atol=1e-5)
