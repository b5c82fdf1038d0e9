"""Files of molecules: what becomes a job, and what is said of rows that do not."""

import json

import pytest

from packflow.campaign.job import Job
from packflow.campaign.job_files import jobs_text, read_jobs
from packflow.errors import InputError


def written(path, text):
    path.write_text(text)
    return path


def test_csv(tmp_path):
    text = "\ufeffsmiles,name,n_copies,n_samples,source\nNC(N)=O,urea,2;4,5,x\n\nC,,,,\nCCO,ethanol\n"
    found = read_jobs(written(tmp_path / "a.csv", text), n_copies=3, n_samples=7)
    assert found.jobs == [
        Job("urea", "NC(N)=O", 2, 5, 8),
        Job("urea", "NC(N)=O", 4, 5, 16),
        Job("molecule_2", "C", 3, 7, 3),
        Job("ethanol", "CCO", 3, 7, 9),
    ]
    assert found.problems == []


def test_smi(tmp_path):
    found = read_jobs(written(tmp_path / "a.smi", "C methane\n\nCCO\tgrain alcohol\nN\n"))
    assert [(job.name, job.smiles) for job in found.jobs] == [("methane", "C"), ("grain alcohol", "CCO"), ("molecule_3", "N")]


def test_json(tmp_path):
    entries = ["C", {"smiles": "CCO", "n_copies": [1, 2], "n_samples": 3, "name": 17, "doi": "x"}]
    found = read_jobs(written(tmp_path / "a.json", json.dumps(entries)))
    assert [(job.name, job.n_copies, job.n_samples) for job in found.jobs] == [("molecule_1", 4, 32), ("17", 1, 3), ("17", 2, 3)]


def test_jobs_are_read_as_they_were_written(tmp_path, jobs):
    jobs = [*jobs, Job.of("1,2-comma and 'quotes' µ", "c1ccccc1", 1, 1, first_index=17)]
    assert read_jobs(written(tmp_path / "a.csv", jobs_text(jobs))).jobs == jobs


BAD_ROWS = {
    "C((,a": "line 2: SMILES 'C((' cannot be parsed",
    "[Na+].[Cl-],salt": "line 2: SMILES '[Na+].[Cl-]' holds several molecules",
    "[Fe],iron": "line 2: SMILES '[Fe]' holds unsupported element Fe",
    ",nothing": "line 2: smiles is missing",
    "C,a,0": "line 2: n_copies must be at least 1, got 0",
    "C,a,2;x": "line 2: n_copies must be a whole number, got 'x'",
    "C,a,2;2": "line 2: name 'a' with n_copies 2 is there already, on line 2",
    "C,a,2,-3": "line 2: n_samples must be at least 1, got -3",
    "C,a,2,1.5": "line 2: n_samples must be a whole number, got '1.5'",
    "C,a,2,1,x,y": "line 2: 1 more values than columns",
    "C,../up": "line 2: name must have 1 to 100 printable characters",
    "C,a#b": "line 2: name must have 1 to 100 printable characters",
    'C,"a\nb"': "line 3: name must have 1 to 100 printable characters",
}


@pytest.mark.parametrize("row", BAD_ROWS, ids=list(BAD_ROWS))
def test_bad_row(tmp_path, row):
    path = written(tmp_path / "a.csv", f"smiles,name,n_copies,n_samples,source\n{row}\nCCO,good\n")
    with pytest.raises(InputError) as error:
        read_jobs(path)
    assert BAD_ROWS[row] in str(error.value)
    assert "has 1 invalid rows" in str(error.value)
    assert "\n" not in str(error.value)
    found = read_jobs(path, skip_invalid=True)
    assert [job.name for job in found.jobs] == ["good"]
    assert len(found.problems) == 1


def test_bad_json_entries(tmp_path):
    entries = [3, {"smiles": 3}, {"smiles": "C", "n_samples": True}, {"smiles": "C", "n_copies": []}, {"smiles": "C", "n_copies": 1.5}]
    with pytest.raises(InputError, match="5 invalid rows") as error:
        read_jobs(written(tmp_path / "a.json", json.dumps(entries)))
    for message in ("entry 1: must be an object", "entry 2: smiles must be text", "entry 3: n_samples must be", "entry 4", "entry 5"):
        assert message in str(error.value)


def test_repeated_names(tmp_path):
    with pytest.raises(InputError, match="line 3: name 'a' with n_copies 4 is there already, on line 1"):
        read_jobs(written(tmp_path / "a.smi", "C a\nC b\nCC a\n"))


def test_many_bad_rows_are_counted(tmp_path):
    with pytest.raises(InputError, match=r"has 25 invalid rows.* line 10: .*; and 15 more$"):
        read_jobs(written(tmp_path / "a.smi", "C(( a\n" * 25))


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("a.txt", b"C", "input must end in .csv, .smi, .json"),
        ("a.csv", b"", "must have a column smiles, has none"),
        ("a.csv", b"name\na\n", "must have a column smiles, has name"),
        ("a.csv", b"smiles\n", "has no usable row, it is empty"),
        ("a.csv", b'smiles,name\n"C\n', "is no CSV from line"),
        ("a.smi", b"\xff\xfe", "no text in UTF-8"),
        ("a.json", b"[", "is no JSON"),
        ("a.json", b"{}", "must hold a list"),
    ],
)
def test_bad_file(tmp_path, name, content, message):
    (tmp_path / name).write_bytes(content)
    with pytest.raises(InputError, match=message):
        read_jobs(tmp_path / name)


def test_no_file(tmp_path):
    with pytest.raises(InputError, match="cannot be read: No such file"):
        read_jobs(tmp_path / "nothing.csv")
