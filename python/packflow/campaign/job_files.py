"""Files of molecules -> jobs: CSV, SMILES (.smi) or JSON, with what is wrong in them by line."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from packflow.campaign.job import Job
from packflow.errors import InputError

COLUMNS = ("name", "smiles", "n_copies", "n_samples")
# column that only jobs have which add to others
FIRST = "first_index"
SUFFIXES = (".csv", ".smi", ".json")
# invalid rows that an error names, at most
SHOWN = 10

# (place in the file, values by column or what is wrong)
Record = tuple[str, dict[str, object] | str]


@dataclass
class JobList:
    """What a file asks for.

    jobs:     in the order of the file.
    problems: of each row that was left out, its place and what is wrong.
    """

    jobs: list[Job] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)


def read_jobs(path: str | Path, n_copies: int = 4, n_samples: int = 32, skip_invalid: bool = False) -> JobList:
    """Read molecules and how often each is to be sampled.

    CSV has a header with `smiles` and, if wanted, `name`, `n_copies` (a number, or several such as 2;4: a job each), `n_samples` (of
    each) and `first_index` (of the first proposal, else 0); other columns are left alone. A .smi file has a SMILES and, if wanted, a name
    on each line. JSON is a list of objects with the keys of the CSV, or of SMILES. A row without a name is called molecule_N, N its number
    among the rows from 1.

    Args:
        path: File whose name ends in .csv, .smi or .json.
        n_copies: Molecules per unit cell where a row does not say.
        n_samples: Proposals where a row does not say.
        skip_invalid: Leave out rows that cannot be used instead of refusing the file.

    Raises:
        InputError: the file cannot be read, has no `smiles`, no usable row, or rows that cannot be used.
    """
    path = Path(path)
    found = JobList()
    defaults = {"n_copies": n_copies, "n_samples": n_samples}
    seen: dict[tuple[str, int], str] = {}
    for number, (place, record) in enumerate(records_of(path), 1):
        try:
            if isinstance(record, str):
                raise InputError(record)
            given = {key: value for key, value in record.items() if value not in (None, "")}
            found.jobs += jobs_of({"name": f"molecule_{number}", **defaults, **given}, place, seen)
        except InputError as error:
            found.problems.append(f"{place}: {error}")
    if found.problems and not skip_invalid:
        raise InputError(f"{path} has {len(found.problems)} invalid rows, --skip-invalid leaves them out: {some_of(found.problems)}")
    if not found.jobs:
        raise InputError(f"{path} has no usable row" + (f": {some_of(found.problems)}" if found.problems else ", it is empty"))
    return found


def some_of(problems: Sequence[str]) -> str:
    """The first problems and how many more there are, on one line."""
    more = f"; and {len(problems) - SHOWN} more" if len(problems) > SHOWN else ""
    return "; ".join(problems[:SHOWN]) + more


def jobs_of(values: dict[str, object], place: str, seen: dict[tuple[str, int], str]) -> list[Job]:
    """The jobs of one row, one for each n_copies; `seen` remembers the place of each (name, n_copies)."""
    name, smiles = (text_of(key, values.get(key, "")).strip() for key in ("name", "smiles"))
    if not smiles:
        raise InputError("smiles is missing")
    n_samples, first_index = count_of("n_samples", values["n_samples"]), count_of(FIRST, values.get(FIRST, 0))
    jobs = [Job.of(name, smiles, n, n_samples, first_index) for n in counts_of(values["n_copies"])]
    keys = [(job.name, job.n_copies) for job in jobs]
    for n, key in enumerate(keys):
        if key in seen or key in keys[:n]:
            raise InputError(f"name {name!r} with n_copies {key[1]} is there already, on {seen.get(key, place)}")
    seen.update(dict.fromkeys(keys, place))
    return jobs


def text_of(key: str, value: object) -> str:
    """A text, or the whole number that a name may be."""
    if isinstance(value, str) or (isinstance(value, int) and key == "name" and not isinstance(value, bool)):
        return str(value)
    raise InputError(f"{key} must be text, got {value!r}")


def counts_of(value: object) -> list[int]:
    """One number, a list of numbers, or a text such as "2;4"."""
    parts = value if isinstance(value, list) else value.split(";") if isinstance(value, str) else [value]
    if not parts:
        raise InputError("n_copies must be a number or several such as 2;4, got an empty list")
    return [count_of("n_copies", part) for part in parts]


def count_of(key: str, value: object) -> int:
    """A whole number, given as such or as text."""
    if isinstance(value, int) and not isinstance(value, bool):
        return value
    try:
        return int(value) if isinstance(value, str) else int(str(value))
    except ValueError:
        raise InputError(f"{key} must be a whole number, got {value!r}") from None


def records_of(path: Path) -> Iterator[Record]:
    """Rows of a file, by its ending; raises InputError as `read_jobs` where the file as a whole is at fault."""
    if path.suffix.lower() not in SUFFIXES:
        raise InputError(f"input must end in {', '.join(SUFFIXES)}, got {path}")
    try:
        text = path.read_text(encoding="utf-8-sig")
    except OSError as error:
        raise InputError(f"{path} cannot be read: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise InputError(f"{path} is no text in UTF-8: save it as such") from error
    readers = {".csv": csv_records, ".smi": smi_records, ".json": json_records}
    return readers[path.suffix.lower()](text, path)


def csv_records(text: str, path: Path) -> Iterator[Record]:
    """Rows of a CSV, by the line on which they end."""
    rows = csv.DictReader(io.StringIO(text, newline=""), skipinitialspace=True, strict=True)
    try:
        if "smiles" not in (rows.fieldnames or ()):
            raise InputError(f"{path} must have a column smiles, has {', '.join(rows.fieldnames or ()) or 'none'}")
        for row in rows:
            n_extra = len(row.pop(None, ()))
            place = f"line {rows.line_num}"
            yield place, f"{n_extra} more values than columns" if n_extra else {k: v for k, v in row.items() if k in (*COLUMNS, FIRST)}
    except csv.Error as error:
        raise InputError(f"{path} is no CSV from line {rows.line_num}: {error}") from error


def smi_records(text: str, path: Path) -> Iterator[Record]:
    """Lines of SMILES and name."""
    for number, line in enumerate(text.splitlines(), 1):
        smiles, _, name = line.strip().replace("\t", " ").partition(" ")
        if smiles:
            yield f"line {number}", {"smiles": smiles, "name": name.strip()}


def json_records(text: str, path: Path) -> Iterator[Record]:
    """Entries of a list of objects or of SMILES."""
    try:
        entries = json.loads(text)
    except (json.JSONDecodeError, RecursionError) as error:
        raise InputError(f"{path} is no JSON: {error}") from error
    if not isinstance(entries, list):
        raise InputError(f"{path} must hold a list of objects with smiles, got {type(entries).__name__}")
    for number, entry in enumerate(entries, 1):
        if isinstance(entry, str):
            yield f"entry {number}", {"smiles": entry}
        elif isinstance(entry, dict):
            yield f"entry {number}", {key: value for key, value in entry.items() if key in (*COLUMNS, FIRST)}
        else:
            yield f"entry {number}", f"must be an object or a SMILES, got {type(entry).__name__}"


def jobs_text(jobs: Sequence[Job]) -> str:
    """Jobs as CSV that `read_jobs` reads."""
    lines = io.StringIO()
    writer = csv.writer(lines, lineterminator="\n")
    columns = (*COLUMNS, FIRST) if any(job.first_index for job in jobs) else COLUMNS
    writer.writerow(columns)
    writer.writerows([getattr(job, key) for key in columns] for job in jobs)
    return lines.getvalue()
