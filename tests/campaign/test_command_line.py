"""`packflow sample --input`, `packflow export` and `packflow metrics` on a store, as a user types them."""

import pytest

from packflow.campaign.shard import Result
from packflow.cli import executors, main

INPUT = "smiles,name,n_copies,n_samples\nNC(N)=O,urea,2;4,3\nCCO,ethanol,,\n"


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "m.csv").write_text(INPUT)
    return tmp_path


@pytest.fixture
def sample(weights, folder):
    def run(*words, source="m.csv"):
        return main(["sample", "--input", source, "--model", weights, "--n-steps", "3", "--n-samples", "2", "--out", "store", *words])

    return run


def test_sample_continue_export_and_judge(sample, folder, capfd, rows_in):
    assert sample() == 0
    printed = capfd.readouterr().out
    assert "8 proposals, " in printed
    assert "acceptance" in printed
    assert "8 in this run" in printed
    assert len(rows_in(folder / "store")) == 8
    assert sample("--max-atoms", "20") == 0
    assert "all of them were there" in capfd.readouterr().out
    for kind, out in (("cif", "cifs"), ("extxyz", "all.extxyz"), ("db", "all.db")):
        assert main(["export", "store", out, "--format", kind]) == 0
        assert f"written: {out}" in capfd.readouterr().out
        assert (folder / out).exists()
    assert main(["metrics", "store"]) == 0
    assert "8 structures" in capfd.readouterr().out
    assert main(["export", "store", "cifs"]) == 2
    assert capfd.readouterr().err == "packflow export: cifs exists already; choose another name or remove it\n"


def test_valid_only(sample, folder, capfd, rows_in):
    lenient = ("--max-clash", "100", "--min-bonds-valid", "0", "--min-density", "0", "--max-density", "100")
    assert sample("--valid-only", "--budget", "20", *lenient) == 0
    rows = rows_in(folder / "store")
    assert not any(row["flag"] for row in rows)
    n_sampled = sum(1 + len(row["rejected"]) for row in rows)
    acceptance = f"acceptance {100 * 8 / n_sampled:.1f} %: 8 of {n_sampled} samples are valid\nflagged for "
    printed = capfd.readouterr().out
    assert acceptance in printed
    assert "no proposal stayed flagged within the budget of 20 samples each" in printed
    # the same is said of what was there
    assert sample("--valid-only", "--budget", "20", *lenient) == 0
    assert acceptance in capfd.readouterr().out
    assert sample() == 2
    assert "store was begun with budget 20, got 1" in capfd.readouterr().err
    assert main(["export", "store", "cifs", "--valid-only"]) == 0
    assert "written: cifs, 8 structures" in capfd.readouterr().out


def test_invalid_rows(sample, folder, capfd, rows_in):
    (folder / "bad.csv").write_text(INPUT + "C((,broken,,\n")
    assert sample(source="bad.csv") == 2
    error = capfd.readouterr().err
    assert "has 1 invalid rows, --skip-invalid leaves them out: line 4: SMILES 'C((' cannot be parsed" in error
    assert error.count("\n") == 1
    assert not (folder / "store").exists()
    assert sample("--skip-invalid", source="bad.csv") == 0
    assert "1 invalid rows left out: line 4" in capfd.readouterr().err
    assert len(rows_in(folder / "store")) == 8


def test_units_that_were_given_up(sample, capfd, monkeypatch):
    def broken(work, units):
        return (Result(unit, b"", "it always fails") for unit in units)

    with monkeypatch.context() as patch:
        patch.setattr(executors, "here", broken)
        assert sample() == 2
    printed = capfd.readouterr()
    assert "0 of 8 proposals" in printed.out
    assert "1 units (8 proposals) could not be sampled, the same command tries them again; the first: it always fails" in printed.err
    assert sample() == 0


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["sample", "--out", "o"], "give a SMILES or --input, got neither"),
        (["sample", "C", "--input", "m.csv", "--out", "o"], "give a SMILES or --input, got both"),
        (["sample", "C", "--executor", "processes", "--out", "o"], "are for --input, got a SMILES"),
        (["sample", "--input", "m.csv", "--address", "a:1", "--out", "o"], "--address is for --executor ray, got --executor here"),
        (["sample", "--input", "nothing.csv", "--out", "o"], "nothing.csv cannot be read"),
        (["sample", "--input", "m.csv", "--n-copies", "100000000", "--out", "o"], "lower n_copies"),
        (["sample", "--input", "m.csv", "--max-atoms", "0", "--out", "o"], "max_atoms must be at least 1"),
        (["sample", "--input", "m.csv", "--seed", "-1", "--out", "o"], "seed must be 0 or more"),
        (["sample", "--input", "m.csv", "--valid-only", "--budget", "-1", "--out", "o"], "budget must be at least 1"),
        (["export", "nothing", "o", "--all", "--valid-only"], "all and valid-only exclude each other, got both"),
        (["export", "nothing", "o"], "nothing is no store of a campaign"),
    ],
)
def test_one_line_for_bad_input(folder, capfd, words, message):
    assert main(words) == 2
    error = capfd.readouterr().err
    assert message in error
    assert error.count("\n") == 1
    assert not (folder / "o").exists()
