"""Datasets that are damaged or of another kind are refused in one line."""

import json
import shutil

import pytest

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
