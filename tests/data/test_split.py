"""Families stay together."""

import numpy as np
import pytest

from packflow.data.dataset import CrystalDataset
from packflow.data.prepare import prepare
from packflow.data.split import families_of, family, refcode_family, split_families
from packflow.data.split_lists import read_split_lists
from packflow.errors import InputError


@pytest.mark.parametrize(
    ("a", "b", "same"),
    [
        ("C[C@H](N)C(=O)O", "C[C@@H](N)C(=O)O", True),
        ("NCC(=O)O", "[NH3+]CC(=O)[O-]", True),
        ("Oc1ccccn1", "O=c1cccc[nH]1", True),
        ("CCO", "CCN", False),
        ("CCCO", "CC(C)O", False),
    ],
)
def test_family(a, b, same):
    assert (family(a) == family(b)) == same


def test_no_family_in_two_splits():
    rng = np.random.default_rng(0)
    families = [f"f{k}" for k in rng.integers(0, 300, 1000)]
    split = split_families(families, (0.8, 0.1, 0.1), seed=1)
    for name in set(families):
        assert len({s for f, s in zip(families, split, strict=True) if f == name}) == 1
    for name, share in (("train", 0.8), ("validation", 0.1), ("test", 0.1)):
        assert np.mean(split == name) == pytest.approx(share, abs=0.02)
    np.testing.assert_array_equal(split, split_families(families, (0.8, 0.1, 0.1), seed=1))
    assert (split != split_families(families, (0.8, 0.1, 0.1), seed=2)).any()


def test_fractions_must_add_up():
    with pytest.raises(ValueError, match="sum 1"):
        split_families(["a"], (0.5, 0.1, 0.1), 0)


def test_dataset_has_all_splits(dataset_folder):
    assert set(CrystalDataset.open(dataset_folder).split) == {"train", "validation", "test"}


@pytest.mark.parametrize(
    ("name", "prefix"), [("DOLBIR", "DOLBIR"), ("DOLBIR07", "DOLBIR"), ("dolbir07", ""), ("DOLBIR7", ""), ("2019369", ""), ("DOLBIRS", "")]
)
def test_refcode_family(name, prefix):
    assert refcode_family(name) == prefix


def test_families_join_refcodes_and_molecules():
    crystals = [
        ("CCO", "AAAAAA"),
        ("CCN", "AAAAAA02"),
        ("CCN", "BBBBBB"),
        ("CCCl", "BBBBBB01"),
        ("CCBr", "CCCCCC"),
        ("CCF", "1234567"),
        ("CC", ""),
    ]
    found = families_of(*zip(*crystals, strict=True))
    assert found["CCO"] == found["CCN"] == found["CCCl"]
    assert len(set(found.values())) == 4
    # names that are no refcodes leave the families of the molecules
    assert families_of(["CCO", "CCN"], ["1", "1"]) == {"CCO": family("CCO"), "CCN": family("CCN")}


@pytest.fixture
def lists(tmp_path):
    def write(**names):
        paths = {split: tmp_path / f"{split}.txt" for split in names}
        for split, path in paths.items():
            path.write_bytes(names[split].encode("latin-1"))
        return paths

    return write


def test_listed_splits(cif_folder, tmp_path, lists):
    paths = lists(train="# comment\n\n1010060\n1511801\r\nABCDEF01\n", test="2019369\n")
    report = prepare(cif_folder, tmp_path / "out", table=cif_folder / "table.csv", n_jobs=1, progress=False, split_lists=paths)
    dataset = CrystalDataset.open(tmp_path / "out")
    found = dict(zip(dataset.name.tolist(), dataset.split.tolist(), strict=True))
    assert found == {"1010060.cif": "train", "1511801.cif": "train", "2019369.cif": "test"}
    assert report.rejected["in no split list"] == 13
    assert report.n_molecules == {"train": 2, "test": 1}


@pytest.mark.parametrize(
    ("names", "message"),
    [
        ({"train": "A\nB\n", "test": "B\n"}, r"B must be in one split list, got train .* and test"),
        ({"train": "\n# nothing\n"}, "lists no names"),
        ({"train": "A B\n"}, "one name a line, got 'A B'"),
        ({"train": "\xff\xfe"}, "cannot be read"),
        ({"holdout": "A\n"}, "must be for train, validation, test, got 'holdout'"),
    ],
)
def test_bad_lists(lists, names, message):
    with pytest.raises(InputError, match=message) as caught:
        read_split_lists(lists(**names))
    assert "\n" not in str(caught.value)


def test_missing_list(tmp_path):
    with pytest.raises(InputError, match="cannot be read"):
        read_split_lists({"train": tmp_path / "none.txt"})
