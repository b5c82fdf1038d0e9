"""The page about a dataset: its numbers are the dataset's."""

from collections import Counter

import numpy as np
import pytest
import torch

from packflow.data.dataset import CrystalDataset
from packflow.data.prepare import PrepareConfig, prepare
from packflow.data.summary import Counts, Report, density, summary_text
from packflow.metrics import density as metric_density
from packflow.structure.atoms import AtomsBatch


def tables(text):
    """Rows of the table under each heading, as lists of cells."""
    found = {}
    for part in text.split("\n## ")[1:]:
        title, *lines = part.splitlines()
        found[title] = [[cell.strip() for cell in line.strip("|").split(" | ")] for line in lines if line.startswith("|")][2:]
    return found


@pytest.fixture(scope="module")
def page(dataset_folder):
    return tables((dataset_folder / "summary.md").read_text())


def test_numbers_are_those_of_the_dataset(dataset_folder, page):
    dataset = CrystalDataset.open(dataset_folder)
    crystals = {row[0]: int(row[1]) for row in page["Splits"]}
    assert crystals == Counter(dataset.split.tolist())
    assert {row[0]: int(row[1]) for row in page["Z (molecules per cell)"]} == Counter(map(str, dataset.n_copies.tolist()))
    groups = {int(row[0].split()[0]): int(row[1]) for row in page["Space group"]}
    assert groups == Counter(dataset.notes["space_group"].tolist())
    assert "113 P-421m" in {row[0] for row in page["Space group"]}
    assert {row[0] for row in page["Z' (molecules per asymmetric unit)"]} >= {"1", "1/4"}
    for title in ("Heavy atoms per cell", "Density, g/cm3"):
        assert sum(int(row[1]) for row in page[title]) == len(dataset)
    assert page["Rejected"] == [["not a structure file", "1"]]
    cells = next(row for row in page["Quantities"] if row[0] == "heavy atoms per cell")
    assert [float(cells[k]) for k in (1, 3, 6)] == [dataset.n_atoms.min(), np.median(dataset.n_atoms), dataset.n_atoms.max()]
    assert ["seed", "0"] in page["Settings"]


def test_density_is_that_of_the_metrics(dataset_folder):
    dataset = CrystalDataset.open(dataset_folder)
    for k in (0, 5, 10):
        expected = metric_density(AtomsBatch.from_crystals([dataset[k]]))
        torch.testing.assert_close(torch.tensor([density(dataset[k])], dtype=torch.float64), expected, rtol=1e-6, atol=0)


def test_same_bytes_again(cif_folder, tmp_path):
    """Also in two processes."""
    lists = {"train": tmp_path / "train.txt"}
    lists["train"].write_text("2019369\n1511801\nABCDEF\n")
    for name, n_jobs in (("a", 1), ("b", 2)):
        report = prepare(cif_folder, tmp_path / name, PrepareConfig(), cif_folder / "table.csv", n_jobs, False, lists)
        assert report.missing == {"train": 1}
    files = sorted(path.name for path in (tmp_path / "a").iterdir())
    assert {"summary.md", "rejected.csv", "dataset.json"} < set(files)
    for file in files:
        assert (tmp_path / "a" / file).read_bytes() == (tmp_path / "b" / file).read_bytes(), file
    assert ["listed for train, not found", "1", "", ""] in tables((tmp_path / "a" / "summary.md").read_text())["Splits"]


def test_long_tables_end_in_a_sum():
    values = [k for k in range(40) for _ in range(40 - k)]
    lines = Counts(["C"] * len(values)).section("Value", values)[1].splitlines()
    assert lines[2].startswith("| 0 | 40 |")
    assert len(lines) == 2 + 25 + 1
    assert lines[-1].startswith(f"| 15 others | {sum(range(1, 16))} |")


def test_what_a_reader_must_know(dataset_folder):
    """Families in two splits, unknown symmetry and a bar inside a cell."""
    dataset = CrystalDataset.open(dataset_folder)
    columns = {"split": ["train", "test"], "space_group": [0, 14], "z_prime": [float("nan"), 1.0], "kind": ["a|b", ""]}
    report = Report(2, Counter(train=1, test=1), Counter(train=1, test=1), Counter())
    text = summary_text(report, [dataset[0], dataset[0]], columns, ["f", "f"], {})
    assert "**Families in more than one split: 1**" in text
    assert "| unknown | 1 | 50.0 % | 1 |" in text
    assert "| a\\|b | 1 |" in text
    assert "| not stated | 1 |" in text
    assert "Rejected" not in text
