"""Test sets from datasets and files, and what is left out of them."""

import pytest

from packflow.data.dataset import CrystalDataset
from packflow.errors import InputError
from packflow.evaluate.test_set import TestSet, read_test_set


def test_the_split_of_a_dataset(dataset_folder):
    found = read_test_set(dataset_folder)
    dataset = CrystalDataset.open(dataset_folder)
    names = [name for case in found.cases for name in case.references]
    assert names == [str(dataset.name[row]) for row in dataset.indices("test")]
    assert found.n_references == len(names)
    assert {case.molecule for case in found.cases} == {dataset.template(int(row)).molecule.smiles for row in dataset.indices("test")}
    others = read_test_set(dataset_folder, "train", max_molecules=2)
    assert len(others.molecules) == 2
    assert not set(others.molecules) & set(found.molecules)


def test_polymorphs_of_a_template_are_one_case(dataset_folder):
    dataset = CrystalDataset.open(dataset_folder)
    one, other = dataset[0], dataset[1]
    found = TestSet.of([("a", one), ("b", other), ("c", one)])
    assert [(case.name, case.references) for case in found.cases] == [
        (f"molecule_1#{one.template.n_copies}", ("a", "c")),
        (f"molecule_2#{other.template.n_copies}", ("b",)),
    ]
    job = found.cases[0].job(7)
    assert (job.smiles, job.n_copies, job.n_samples) == (one.template.molecule.smiles, one.template.n_copies, 7)
    assert found.cases[0].digest() != found.cases[1].digest()


def test_files_that_hold_no_crystal_are_named(cif_folder, smiles_of, tmp_path):
    (tmp_path / "broken.cif").write_text("data_x\n_cell_length_a 5\n")
    (tmp_path / "notes.txt").write_text("nothing")
    (tmp_path / "2019369.cif").write_text((cif_folder / "2019369.cif").read_text())
    found = read_test_set(tmp_path)
    assert [case.molecule for case in found.cases] == [smiles_of["2019369"]]
    assert len(found.left_out) == 1
    assert found.left_out[0].startswith("broken.cif (")


def test_nothing_to_compare_with(tmp_path, dataset_folder):
    with pytest.raises(InputError, match="does not exist"):
        read_test_set(tmp_path / "missing")
    (tmp_path / "broken.cif").write_text("data_x\n")
    with pytest.raises(InputError, match=r"holds no crystal that can be a reference: broken\.cif"):
        read_test_set(tmp_path)
    with pytest.raises(InputError, match="split must be one with crystals"):
        read_test_set(dataset_folder, "tests")
    with pytest.raises(InputError, match="max_molecules must be at least 1, got 0"):
        read_test_set(dataset_folder, max_molecules=0)
