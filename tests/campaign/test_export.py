"""From a store to CIF, extended XYZ and ASE databases, and back as structures to be judged."""

import ase.db
import numpy as np
import pytest

from packflow.campaign import run
from packflow.campaign.export import export
from packflow.campaign.store import shard_paths
from packflow.data.structures import read_structures
from packflow.errors import InputError


@pytest.fixture
def store(model, jobs, config, tmp_path):
    list(run(model, jobs, tmp_path / "store", config, max_atoms=40))
    return tmp_path / "store"


def test_metrics_reads_a_store(store, rows_in):
    found = read_structures(store)
    rows = rows_in(store)
    assert found.names == [row["name"] for row in rows]
    assert found.problem == [row["problem"] for row in rows]
    assert set(found.bonds) <= {"stated", ""}


@pytest.mark.parametrize("kind", ["cif", "extxyz"])
def test_structures_are_read_back(store, rows_in, tmp_path, kind):
    out = tmp_path / f"out.{kind}"
    good = [row for row in rows_in(store) if not row["problem"]]
    assert 0 < len(good) < 12
    assert export(store, out, kind) == len(good)
    found = read_structures(out)
    names = {f"{row['name'].split('#')[0]}_{row['n_copies']}_{row['index']:06d}": row for row in good}
    rows = [names[name] for name in found.names] if kind == "cif" else good
    assert len(found) == len(rows)
    assert found.molecule == [row["smiles"] for row in rows]
    assert set(found.bonds) == {"stated"}
    n_atoms = found.atoms.atom_ptr.diff().tolist()
    assert n_atoms == [len(row["atomic_numbers"]) for row in rows]
    for k, row in enumerate(rows):
        volume = abs(np.linalg.det(found.atoms.cell[k].numpy()))
        assert volume == pytest.approx(row["volume"], rel=1e-4)
    if kind == "extxyz":
        assert found.names == [row["name"] for row in rows]
        np.testing.assert_allclose(found.atoms.positions.reshape(-1), np.concatenate([row["positions"] for row in rows]), atol=1e-6)


def test_database(store, rows_in, tmp_path):
    good = [row for row in rows_in(store) if not row["problem"]]
    assert export(store, tmp_path / "out.db", "db") == len(good)
    with ase.db.connect(tmp_path / "out.db") as opened:
        rows = list(opened.select())
    assert [(r.key_value_pairs["name"], r.key_value_pairs["smiles"]) for r in rows] == [(row["name"], row["smiles"]) for row in good]
    for r, row in zip(rows, good, strict=True):
        np.testing.assert_allclose(r.positions.ravel(), row["positions"], atol=1e-6)
        assert r.key_value_pairs["density"] == pytest.approx(row["density"])


@pytest.mark.parametrize("kind", ["cif", "extxyz", "db"])
def test_everything(store, tmp_path, kind):
    assert export(store, tmp_path / f"out.{kind}", kind, everything=True) == 12


def test_damaged_shard(store, tmp_path):
    """A flipped bit in the middle is found by the checksum; there is then no half result."""
    path = list(shard_paths(store))[1]
    data = bytearray(path.read_bytes())
    data[200] ^= 1
    path.write_bytes(data)
    with pytest.raises(InputError, match=r"00000001.parquet is damaged"):
        export(store, tmp_path / "out.extxyz", "extxyz")
    assert sorted(p.name for p in tmp_path.iterdir()) == ["store"]


def test_refused(store, tmp_path):
    with pytest.raises(InputError, match="format must be one of cif, extxyz, db, got 'pdb'"):
        export(store, tmp_path / "out", "pdb")
    with pytest.raises(InputError, match="exists already"):
        export(store, store)
    with pytest.raises(InputError, match="is no store of a campaign"):
        export(tmp_path, tmp_path / "out")
    with pytest.raises(InputError, match="cannot be written"):
        export(store, store / "manifest.json" / "out")
