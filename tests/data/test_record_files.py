"""Records of the released code give the crystals that they were made of; what is none is refused in one line."""

import csv
import json
import os
import pickle
import zipfile
from pathlib import Path

import numpy as np
import pytest
import torch

from packflow.data.dataset import CrystalDataset
from packflow.data.prepare import PrepareConfig, prepare
from packflow.data.record_files import Record, sites_of_record
from packflow.data.site_files import structures_in
from packflow.errors import InputError, StructureError
from packflow.structure.bonds import find_bonds
from packflow.structure.cif import read_cif
from packflow.structure.recognize import recognize

PARITY = Path(__file__).parents[3] / "shared" / "parity" / "preprocess.json"
REFCODES = {"PROPAN": "1511801", "BENZEN": "4501703", "MALNAC01": "4116140"}


def record_of(sites, refcode, smiles):
    """What the released code keeps of a cell: heavy atoms, wrapped, in single precision, both directions of every bond."""
    numbers, fractional = sites.atomic_numbers[sites.heavy], sites.fractional[sites.heavy]
    bonds = find_bonds(numbers, fractional, sites.cell)
    return {
        "refcode": refcode,
        "smiles": f"{smiles}.{smiles}",
        "atom_types": torch.from_numpy(numbers),
        "edge_index": torch.from_numpy(np.concatenate([bonds.index, bonds.index[:, ::-1]]).T.copy()),
        "lattice_1": torch.from_numpy(sites.lattice).float(),
        "frac_coords": torch.from_numpy(fractional % 1).float(),
        "whole_cartesian_coords": torch.zeros(len(numbers), 3),
        "file_path": f"data/train/{refcode}.mmcif",
        "ring_sizes": None,
    }


@pytest.fixture(scope="module")
def records(cif_folder, smiles_of):
    return [record_of(read_cif(cif_folder / f"{cod}.cif")[0], refcode, smiles_of[cod]) for refcode, cod in REFCODES.items()]


def prepared(source, out, **options):
    prepare(source, out, PrepareConfig(duplicate_tolerance=0), n_jobs=1, progress=False, **options)
    return CrystalDataset.open(out)


def rejected(out):
    with (out / "rejected.csv").open(newline="") as lines:
        return {row["file"]: (row["reason"], row["detail"]) for row in csv.DictReader(lines)}


def sites_in(source, name):
    return [make() for _, make in structures_in(source, name)]


@pytest.mark.parametrize("kind", ["file", "folder", "archive"])
def test_same_as_cif(records, cif_folder, smiles_of, tmp_path, kind):
    folder = tmp_path / "processed"
    folder.mkdir()
    torch.save(records, folder / "train.pt")
    source = {"file": folder / "train.pt", "folder": folder, "archive": tmp_path / "all.zip"}[kind]
    if kind == "archive":
        with zipfile.ZipFile(source, "w") as files:
            files.write(folder / "train.pt", "train.pt")
    found = prepared(source, tmp_path / "out")
    assert found.name.tolist() == [f"train.pt#{refcode}" for refcode in REFCODES]
    for k, cod in enumerate(REFCODES.values()):
        expected = recognize(read_cif(cif_folder / f"{cod}.cif")[0].niggli(), smiles_of[cod])
        assert found[k].template.n_copies == expected.template.n_copies
        np.testing.assert_allclose(found.lattice[k], expected.lattice, atol=1e-5)
        ours, theirs = (np.sort(np.linalg.norm(c.positions, axis=1)) for c in (found[k], expected))
        np.testing.assert_allclose(ours, theirs, atol=1e-4)


def test_the_released_split(records, tmp_path):
    torch.save(records, tmp_path / "all.pt")
    for split, name in (("train", "PROPAN\nBENZEN\n"), ("validation", "MALNAC01\nXAFPAY01\n")):
        (tmp_path / f"{split}.list").write_text(name)
    found = prepared(tmp_path / "all.pt", tmp_path / "out", split_lists={s: tmp_path / f"{s}.list" for s in ("train", "validation")})
    assert found.split.tolist() == ["train", "train", "validation"]


def test_stated_bonds_are_taken(records):
    """An edge of 2.61 Å to iodine is a bond, of which distances know nothing; the same edge without its atom is none."""
    record = {
        "atom_types": torch.tensor([6, 53, 9, 9, 9]),
        "edge_index": torch.tensor([[0, 1, 0, 2, 0, 3, 0, 4], [1, 0, 2, 0, 3, 0, 4, 0]]),
        "lattice_1": torch.tensor([[9.0, 9, 9, 90, 90, 90]]),
        "frac_coords": torch.tensor([[0.75, 0.25, 0.25], [0.04, 0.25, 0.25], [0.70, 0.38, 0.25], [0.70, 0.19, 0.36], [0.70, 0.19, 0.14]]),
        "smiles": "FC(F)(F)I",
    }
    assert recognize(sites_of_record(Record.of(record), "a")).template.n_copies == 1
    for edges in (torch.tensor([[0, 1], [1, 7]]), torch.tensor([0, 1]), torch.zeros(2, 0), torch.tensor([[0, 1], [1, 1]])):
        sites = sites_of_record(Record.of({**record, "edge_index": edges}), "a")
        assert sites.bonds is None
        with pytest.raises(StructureError, match="another molecule"):
            recognize(sites)


def test_atoms_on_special_positions_once(records):
    """The released code lists an atom on a mirror plane once for each operation."""
    record = records[0]
    twice = {key: torch.cat([record[key], record[key]]) for key in ("atom_types", "frac_coords")}
    once, doubled = sites_of_record(Record.of(record), "a"), sites_of_record(Record.of({**record, **twice}), "a")
    np.testing.assert_array_equal(doubled.fractional, once.fractional)


class Code:
    def __reduce__(self):
        return os.mkdir, ("was-run",)


def without(record, key):
    return {k: value for k, value in record.items() if k != key}


def test_what_cannot_be_read_is_a_row(records, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    source = tmp_path / "processed"
    source.mkdir()
    record = without(records[0], "refcode")
    wrong = [
        record,
        without(record, "lattice_1"),
        {**record, "frac_coords": [0.0]},
        {**record, "frac_coords": torch.zeros(3, 3)},
        {**record, "atom_types": record["atom_types"] * torch.nan},
        {**record, "frac_coords": record["frac_coords"] * torch.nan},
        {**record, "smiles": "CCO"},
        without(record, "smiles"),
        {**record, "frac_coords": record["frac_coords"].to_sparse()},
        {**record, "frac_coords": record["frac_coords"] * 1j},
        "text",
        {**record, "frac_coords": record["frac_coords"] + 1e30},
    ]
    torch.save(wrong, source / "rows.pt")
    torch.save([], source / "empty.pt")
    torch.save({"model_state_dict": {}}, source / "model.pt")
    torch.save([*records, Code()], source / "code.pt")
    torch.save(records, source / "old.pt", _use_new_zipfile_serialization=False)
    (source / "pickle.pt").write_bytes(pickle.dumps([Code()]))
    content = (source / "rows.pt").read_bytes()
    (source / "short.pt").write_bytes(content[:-100])
    place = content.index(record["frac_coords"].numpy().tobytes())
    (source / "damaged.pt").write_bytes(content[:place] + b"\x00\x01" + content[place + 2 :])
    # the name of a function: to torch it is that of pickled code
    (source / "renamed.pt").write_bytes(content.replace(b"_rebuild_tensor_v2", b"_rebuild_tensor_v9"))
    assert prepared(source, tmp_path / "out").name.tolist() == ["rows.pt#0"]
    found = rejected(tmp_path / "out")
    assert {name: reason for name, (reason, _) in found.items()} == {
        "code.pt": "pickled code",
        "damaged.pt": "not readable as torch.save file",
        "empty.pt": "no atoms",
        "model.pt": "no records",
        "old.pt": "not readable as torch.save file",
        "pickle.pt": "not readable as torch.save file",
        "renamed.pt": "not readable as torch.save file",
        "rows.pt#1": "no record",
        "rows.pt#2": "no record",
        "rows.pt#3": "no record",
        "rows.pt#4": "no record",
        "rows.pt#5": "missing coordinates",
        "rows.pt#6": "another connectivity",
        "rows.pt#7": "no SMILES",
        "rows.pt#8": "no record",
        "rows.pt#9": "no record",
        "rows.pt#10": "no record",
        "rows.pt#11": "no valid coordinates",
        "short.pt": "not readable as torch.save file",
    }
    assert all("\n" not in detail for _, detail in found.values())
    assert "posix.mkdir" in found["code.pt"][1]
    assert found["rows.pt#1"][1].endswith("missing is lattice_1")
    assert not (tmp_path / "was-run").exists()


def test_nothing_usable_is_one_line(tmp_path):
    torch.save([{"refcode": "ABCDEF", "positions": torch.zeros(2, 3)}], tmp_path / "other.pt")
    with pytest.raises(InputError, match=r"none of the 1 files of .*other\.pt is usable; the reasons are in out\.rejected\.csv"):
        prepared(tmp_path / "other.pt", tmp_path / "out")


@pytest.mark.skipif(not PARITY.exists(), reason="the released code's numbers (../shared/parity) are not here")
def test_recorded_output(tmp_path):
    """Records that the released code made: its molecules, atom by atom, and the bond lengths of its whole coordinates."""
    outputs = {refcode: case["output"] for refcode, case in json.loads(PARITY.read_text()).items()}
    texts = ("refcode", "smiles")
    torch.save([{k: v if k in texts else torch.tensor(v) for k, v in output.items()} for output in outputs.values()], tmp_path / "test.pt")
    sites = sites_in(tmp_path, "test.pt")
    assert [s.name for s in sites] == [f"test.pt#{refcode}" for refcode in outputs]
    for one, output in zip(sites, outputs.values(), strict=True):
        assert one.bonds is not None
        crystal = recognize(one)
        assert crystal.template.n_copies == max(output["molecule_ids"]) + 1
        assert sorted(crystal.template.atomic_numbers.tolist()) == sorted(output["atom_types"])
        whole = np.array(output["whole_cartesian_coords"])
        expected = np.linalg.norm(whole[output["edge_index"][0]] - whole[output["edge_index"][1]], axis=1)
        i, j = crystal.template.bond_index
        lengths = np.linalg.norm(crystal.positions[i] - crystal.positions[j], axis=1)
        np.testing.assert_allclose(np.sort(lengths), np.sort(expected), atol=1e-4)
