"""The CSD as a source, against a stand-in with the documented interface of the CSD Python API (`ccdc.io.EntryReader`)."""

import csv
import os
import subprocess
import sys
import weakref
from types import ModuleType, SimpleNamespace
from typing import ClassVar

import pytest

from packflow.cli import main
from packflow.data.csd import is_csd, open_csd
from packflow.data.dataset import CrystalDataset
from packflow.data.prepare import PrepareConfig, prepare
from packflow.errors import InputError

COD = {"UREAXX": "2019369", "PROPAN": "1511801", "BENZEN": "4501703", "BENZEN02": "4501703", "MALNAC": "4116140"}
GOOD = {"has_3d_structure": True, "has_disorder": False, "is_organic": True, "is_polymeric": False}


class Entry:
    """What the source uses of `ccdc.entry.Entry`; a callable among the facts is what the API raises or returns when asked."""

    alive: ClassVar = weakref.WeakSet()
    most = 0

    def __init__(self, identifier, facts):
        self.identifier, self.facts = identifier, facts
        Entry.alive.add(self)
        Entry.most = max(Entry.most, len(Entry.alive))

    def __getattr__(self, name):
        if name not in self.facts:
            raise AttributeError(f"Entry has no attribute {name}")
        value = self.facts[name]
        return value() if callable(value) else value


class Crystal:
    def __init__(self, text):
        self.text = text

    def to_string(self, format="mol2"):
        return self.text if format == "cif" else "another format"


def molecule(*components):
    return SimpleNamespace(components=[SimpleNamespace(formula=formula, smiles=smiles) for formula, smiles in components])


def no_molecule():
    raise TypeError("no 3D information\nabout the atoms")


@pytest.fixture
def entries(cif_folder, smiles_of):
    """Five usable entries and one that fails for each reason."""
    texts = {refcode: (cif_folder / f"{cod}.cif").read_text() for refcode, cod in COD.items()}
    found = {
        refcode: {**GOOD, "crystal": Crystal(texts[refcode]), "molecule": molecule(("C1", smiles_of[cod]), ("C1", smiles_of[cod]))}
        for refcode, cod in COD.items()
    }
    urea = found["UREAXX"]
    found["MALNAC"] = {**found["MALNAC"], "molecule": molecule(("C3 H4 O4", None))}
    found["FLATAA"] = {**urea, "has_3d_structure": False}
    found["DISORD"] = {**urea, "has_disorder": True}
    found["METALL"] = {**urea, "is_organic": False}
    found["CATENA"] = {**urea, "is_polymeric": True}
    found["HYDRAT"] = {**urea, "molecule": molecule(("C1 H4 N2 O1", "NC(N)=O"), ("H2 O1", "O"))}
    found["EMPTYY"] = {**urea, "molecule": molecule()}
    found["THROWS"] = {**urea, "molecule": no_molecule}
    found["OLDAPI"] = {key: value for key, value in urea.items() if key != "is_organic"}
    found["NOCELL"] = {**urea, "crystal": Crystal("data_NOCELL\n")}
    found["BADTXT"] = {**urea, "crystal": Crystal("loop_\n_a")}
    found["OTHERS"] = {**urea, "molecule": molecule(("C3 H8", "CCC"))}
    return found


@pytest.fixture
def csd(entries, monkeypatch):
    """The stand-in, in place of the API."""

    class EntryReader:
        def __init__(self, database):
            assert database == "CSD"

        def __iter__(self):
            return (Entry(refcode, facts) for refcode, facts in entries.items())

        def entry(self, identifier):
            if identifier not in entries:
                raise RuntimeError(f"{identifier} not found\nin database")
            return Entry(identifier, entries[identifier])

    install(monkeypatch, EntryReader)
    yield entries
    open_csd.cache_clear()


def install(monkeypatch, reader):
    open_csd.cache_clear()
    package, io = ModuleType("ccdc"), ModuleType("ccdc.io")
    package.io, io.EntryReader = io, reader
    monkeypatch.setitem(sys.modules, "ccdc", package)
    monkeypatch.setitem(sys.modules, "ccdc.io", io)


def run(source, out, **options):
    return prepare(source, out, PrepareConfig(**options), n_jobs=1, progress=False)


def rejected(path):
    with path.open(newline="") as lines:
        return {row["file"]: (row["reason"], row["detail"]) for row in csv.DictReader(lines)}


def test_whole_database(csd, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Entry.most = 0
    report = run("csd", tmp_path / "out")
    dataset = CrystalDataset.open(tmp_path / "out")
    assert report.n_files == len(csd)
    assert dataset.name.tolist() == ["UREAXX", "PROPAN", "BENZEN", "MALNAC"]
    assert [dataset[k].template.n_copies for k in range(4)] == [2, 4, 2, 2]
    assert dataset[3].template.molecule.smiles == "O=C(O)CC(=O)O"
    found = rejected(tmp_path / "out" / "rejected.csv")
    assert {refcode: reason for refcode, (reason, _) in found.items()} == {
        "BENZEN02": "duplicate",
        "FLATAA": "no 3D coordinates",
        "DISORD": "disorder",
        "METALL": "not organic",
        "CATENA": "polymer",
        "HYDRAT": "several components",
        "EMPTYY": "no atoms",
        "THROWS": "not readable by the CSD Python API",
        "OLDAPI": "not readable by the CSD Python API",
        "NOCELL": "no atoms",
        "BADTXT": "not readable as CIF",
        "OTHERS": "another molecule",
    }
    assert found["THROWS"][1] == "TypeError: no 3D information about the atoms"
    assert found["OLDAPI"][1] == "AttributeError: Entry has no attribute is_organic"
    assert found["HYDRAT"][1] == "C1 H4 N2 O1; H2 O1"
    # the one that is read, and the one before it while the next is made
    assert Entry.most <= 2


def test_list_of_refcodes(csd, tmp_path):
    """In the order of the list, each once, with the filters of all sources, split lists and a table of SMILES."""
    (tmp_path / "some.gcd").write_text("BENZEN02\nNOTHERE\nUREAXX\nPROPAN\nUREAXX\n")
    (tmp_path / "train.txt").write_text("BENZEN02\n")
    (tmp_path / "test.txt").write_text("PROPAN\nUREAXX\n")
    (tmp_path / "table.csv").write_text("file,smiles,kind\nPROPAN,CCC,experimental\n")
    lists = {split: tmp_path / f"{split}.txt" for split in ("train", "test")}
    config = PrepareConfig(elements=("C", "H"))
    report = prepare(tmp_path / "some.gcd", tmp_path / "out", config, tmp_path / "table.csv", 1, progress=False, split_lists=lists)
    assert report.n_files == 4
    dataset = CrystalDataset.open(tmp_path / "out")
    assert dataset.name.tolist() == ["BENZEN02", "PROPAN"]
    assert dataset.split.tolist() == ["train", "test"]
    assert dataset.notes["kind"].tolist() == ["", "experimental"]
    found = rejected(tmp_path / "out" / "rejected.csv")
    assert {refcode: reason for refcode, (reason, _) in found.items()} == {"NOTHERE": "not in the CSD", "UREAXX": "other element"}
    assert found["NOTHERE"][1] == "NOTHERE not found in database"


def test_families_of_refcodes_are_kept_together(csd, tmp_path):
    (tmp_path / "all.gcd").write_text("\n".join(COD))
    run(tmp_path / "all.gcd", tmp_path / "out", duplicate_tolerance=0, fractions=(0.5, 0.25, 0.25))
    dataset = CrystalDataset.open(tmp_path / "out")
    split = dict(zip(dataset.name, dataset.split, strict=True))
    assert len(split) == 5
    assert split["BENZEN"] == split["BENZEN02"]


def raises(error):
    class EntryReader:
        def __init__(self, database):
            raise error

    return EntryReader


def breaks_off(database):
    yield Entry("ABCDEF", GOOD)
    raise RuntimeError("disk\nfull")


@pytest.mark.parametrize(
    ("reader", "message"),
    [
        (raises(RuntimeError("no valid\nlicence")), r"the CSD cannot be opened \(no valid licence\): install the database and activate"),
        (breaks_off, r"the CSD cannot be opened \(disk full\)"),
        (lambda database: [], "the CSD holds no entries"),
    ],
    ids=["no licence", "breaks off", "empty"],
)
def test_database_that_cannot_be_read(reader, message, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    install(monkeypatch, reader)
    with pytest.raises(InputError, match=message) as caught:
        run("csd", tmp_path / "out")
    assert "\n" not in str(caught.value)
    open_csd.cache_clear()


@pytest.mark.parametrize("source", ["csd", "some.gcd"])
def test_without_the_api_one_line(source, tmp_path, monkeypatch, capfd):
    monkeypatch.chdir(tmp_path)
    for name in ("ccdc", "ccdc.io"):
        monkeypatch.setitem(sys.modules, name, None)
    open_csd.cache_clear()
    (tmp_path / "some.gcd").write_text("UREAXX\n")
    assert main(["prepare", source, "out"]) == 2
    error = capfd.readouterr().err
    assert error.startswith("packflow prepare: the CSD needs the CSD Python API, which cannot be imported")
    assert "install csd-python-api of the CCDC, for which a CSD licence is needed" in error
    assert error.count("\n") == 1


@pytest.mark.parametrize(
    ("content", "message"),
    [(b"", "lists no names"), (b"A B\n", "one name a line, got 'A B'"), (b"\xff\xfe", "cannot be read"), (None, "cannot be read")],
    ids=["empty", "two words", "no text", "missing"],
)
def test_bad_lists(content, message, csd, tmp_path):
    if content is not None:
        (tmp_path / "bad.gcd").write_bytes(content)
    with pytest.raises(InputError, match=r"refcode list .*bad\.gcd.*" + message) as caught:
        run(tmp_path / "bad.gcd", tmp_path / "out")
    assert "\n" not in str(caught.value)


def test_nothing_usable(csd, tmp_path):
    (tmp_path / "bad.gcd").write_text("FLATAA\nNOTHERE\n")
    with pytest.raises(InputError, match=r"none of the 2 files of .* is usable"):
        run(tmp_path / "bad.gcd", tmp_path / "out")
    assert set(rejected(tmp_path / "out.rejected.csv")) == {"FLATAA", "NOTHERE"}


def test_a_folder_of_that_name_is_a_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    found = [is_csd(type(tmp_path)(name)) for name in ("csd", "CSD", "some.gcd", "train.txt", "./sub/csd", "csd.zip")]
    assert found == [True, True, True, True, False, False]
    (tmp_path / "csd").mkdir()
    (tmp_path / "list.txt").mkdir()
    assert not is_csd(type(tmp_path)("csd"))
    assert not is_csd(tmp_path / "list.txt")


PACKAGE = """
from pathlib import Path
from types import SimpleNamespace

FOLDER = Path({folder!r})


def entry_of(path):
    component = SimpleNamespace(formula="X", smiles=None)
    return SimpleNamespace(
        identifier=path.stem,
        has_3d_structure=True,
        has_disorder=False,
        is_organic=True,
        is_polymeric=False,
        molecule=SimpleNamespace(components=[component]),
        crystal=SimpleNamespace(to_string=lambda format: path.read_text()),
    )


class EntryReader:
    def __init__(self, database):
        self.entry = lambda identifier: entry_of(FOLDER / f"{{identifier}}.cif")

    def __iter__(self):
        return map(entry_of, sorted(FOLDER.glob("*.cif")))
"""


def test_command_in_several_processes(cif_folder, tmp_path):
    """Every process opens the database itself; nothing of the API is handed from one to another."""
    (tmp_path / "ccdc").mkdir()
    (tmp_path / "ccdc" / "__init__.py").write_text("")
    (tmp_path / "ccdc" / "io.py").write_text(PACKAGE.format(folder=str(cif_folder)))
    words = ["prepare", "csd", "out", "--jobs", "2", "--duplicate-tolerance", "0"]
    environment = {**os.environ, "PYTHONPATH": str(tmp_path)}
    subprocess.run([sys.executable, "-m", "packflow.cli", *words], cwd=tmp_path, env=environment, check=True, capture_output=True)
    prepare(cif_folder, tmp_path / "expected", PrepareConfig(duplicate_tolerance=0), n_jobs=1, progress=False)
    found, expected = CrystalDataset.open(tmp_path / "out"), CrystalDataset.open(tmp_path / "expected")
    assert [f"{name}.cif" for name in found.name] == expected.name.tolist()
    assert found.positions.tobytes() == expected.positions.tobytes()
