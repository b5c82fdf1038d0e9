"""Datasets are read by the row and the column; those that are damaged or of another kind are refused in one line."""

import json
import os
import shutil

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from packflow.data.columns import Columns
from packflow.data.dataset import CrystalDataset
from packflow.errors import InputError


@pytest.fixture
def copy(dataset_folder, tmp_path):
    return shutil.copytree(dataset_folder, tmp_path / "copy")


def refused(path, message):
    with pytest.raises(InputError, match=message) as caught:
        CrystalDataset.open(path)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("name", ["positions.npy", "lattice.npy", "crystals.parquet", "molecules.parquet"])
def test_truncated_or_missing(copy, name):
    content = (copy / name).read_bytes()
    (copy / name).write_bytes(content[:-7])
    refused(copy, f"{name} is truncated")
    (copy / name).unlink()
    refused(copy, f"{name} is missing")


@pytest.mark.parametrize("name", ["positions.npy", "crystals.parquet"])
def test_corrupt(copy, name):
    content = (copy / name).read_bytes()
    (copy / name).write_bytes(b"\0" * len(content))
    refused(copy, f"{name} cannot be read")


def test_no_dataset(tmp_path):
    refused(tmp_path, "is not a PackFlow dataset")
    refused(tmp_path / "none", "is not a PackFlow dataset")


def test_manifest(copy):
    manifest = json.loads((copy / "dataset.json").read_text())
    (copy / "dataset.json").write_text(json.dumps({**manifest, "format": 99}))
    refused(copy, "dataset format 99")
    (copy / "dataset.json").write_text("{")
    refused(copy, "corrupt")


def test_a_dataset_that_becomes_shorter_while_it_is_open(copy):
    dataset = CrystalDataset.open(copy)
    os.truncate(copy / "lattice.npy", 200)
    with pytest.raises(InputError, match=r"lattice\.npy was changed while it was open"):
        dataset[len(dataset) - 1]


def test_a_column_that_is_missing(copy):
    table = pq.read_table(copy / "crystals.parquet").drop_columns(["n_copies"])
    pq.write_table(table, copy / "crystals.parquet")
    manifest = json.loads((copy / "dataset.json").read_text())
    manifest["bytes"]["crystals.parquet"] = (copy / "crystals.parquet").stat().st_size
    (copy / "dataset.json").write_text(json.dumps(manifest))
    refused(copy, "crystals.parquet has no column n_copies")


def test_crystals_are_the_rows_of_the_arrays(dataset_folder):
    dataset = CrystalDataset.open(dataset_folder)
    crystals = [dataset[i] for i in range(len(dataset))]
    np.testing.assert_array_equal(np.concatenate([c.positions for c in crystals]), dataset.positions.astype(np.float64))
    np.testing.assert_array_equal(np.stack([c.lattice for c in crystals]), dataset.lattice)
    assert [c.template.n_atoms for c in crystals] == dataset.n_atoms.tolist()
    assert [c.template.molecule.smiles for c in crystals] == [dataset.smiles[k] for k in dataset.molecule_index]
    assert list(dataset.smiles) == dataset.smiles[:] == pq.read_table(dataset_folder / "molecules.parquet")["smiles"].to_pylist()


def test_columns_are_those_of_the_table(dataset_folder):
    dataset, table = CrystalDataset.open(dataset_folder), pq.read_table(dataset_folder / "crystals.parquet")
    columns = {name: getattr(dataset, name) for name in ("name", "split", "molecule_index", "n_copies", "n_atoms")}
    assert set(columns) | set(dataset.notes) == set(table.column_names)
    for name, column in {**columns, **dataset.notes}.items():
        np.testing.assert_array_equal(column, np.array(table[name].to_pylist()), strict=True)


def test_a_column_is_read_when_it_is_asked_for_and_once(tmp_path):
    path = tmp_path / "table.parquet"
    pq.write_table(pa.table({"text": ["b", "a", "", "b"] * 3, "number": range(12), "hidden": range(12)}), path, row_group_size=5)
    columns = Columns(path, without=("hidden",))
    assert list(columns) == ["text", "number"]
    assert ("text" in columns, "hidden" in columns, len(columns)) == (True, False, 2)
    assert columns["text"].tolist() == ["b", "a", "", "b"] * 3
    with pytest.raises(KeyError, match="name must be one of text, number, got 'hidden'"):
        columns["hidden"]
    path.unlink()
    assert columns["text"] is columns["text"]
    with pytest.raises(InputError, match=r"table\.parquet cannot be read"):
        columns["number"]
