"""Where structure files come from: a folder, a zip archive or one file, and the table that goes with them."""

import csv
import gzip
import zipfile
import zlib
from functools import lru_cache
from pathlib import Path, PurePosixPath

from packflow.errors import InputError, StructureError

# Columns of a table that are kept with each crystal, where present.
NOTES = ("kind", "licence")
# What `prepare` reads: CIF and mmCIF, extended XYZ, ASE databases, records of the released code.
RECORD_FILE = ".pt"
STRUCTURE_FILES = (".cif", ".mmcif", ".xyz", ".extxyz", ".db", RECORD_FILE)
# What a damaged or encrypted member of an archive raises.
ZIP_ERRORS = (OSError, RuntimeError, NotImplementedError, zipfile.BadZipFile, zlib.error)


def list_files(source: Path) -> list[str]:
    """Names of all files in a folder (with its subfolders) or zip archive, sorted.

    Raises:
        InputError: the source does not exist, is not a folder or zip archive, or is empty.
    """
    if source.is_dir():
        names = sorted(str(p.relative_to(source)) for p in source.rglob("*") if p.is_file())
    elif source.is_file() and source.suffix.lower() in STRUCTURE_FILES:
        names = [source.name]
    elif source.is_file() and zipfile.is_zipfile(source):
        names = sorted(open_zip(source).namelist())
        names = [name for name in names if not name.endswith("/")]
    elif source.exists():
        raise InputError(f"{source} is neither a folder, a zip archive nor a {', '.join(STRUCTURE_FILES)} file")
    else:
        raise InputError(f"{source} does not exist")
    if not names:
        raise InputError(f"{source} holds no files")
    return names


def read_bytes(source: Path, name: str) -> bytes:
    """Contents of one file of `list_files`.

    Raises:
        StructureError: it cannot be read, or is a damaged or encrypted member of an archive.
    """
    try:
        if source.is_dir():
            return (source / name).read_bytes()
        if source.suffix.lower() in STRUCTURE_FILES:
            return source.read_bytes()
        return open_zip(source).read(name)
    except ZIP_ERRORS as error:
        raise StructureError("not readable", " ".join(str(error).split())) from error


@lru_cache(maxsize=4)
def open_zip(source: Path) -> zipfile.ZipFile:
    """The archive, opened once per process."""
    return zipfile.ZipFile(source)


def read_table(path: Path | None) -> dict[str, dict[str, str]]:
    """Rows of a CSV (or .csv.gz) by file name: `file` and `smiles` are needed, `kind` and `licence` are kept if present.

    Raises:
        InputError: the file does not exist or lacks a needed column.
    """
    if path is None:
        return {}
    if not path.is_file():
        raise InputError(f"table {path} does not exist")
    with gzip.open(path, "rt", newline="") if path.suffix == ".gz" else path.open(newline="") as lines:
        table = csv.DictReader(lines)
        missing = {"file", "smiles"} - set(table.fieldnames or ())
        if missing:
            raise InputError(f"table {path} must have columns file and smiles, got {table.fieldnames}")
        return {row["file"]: {key: row.get(key) or "" for key in ("smiles", *NOTES)} for row in table}


def row_of(table: dict[str, dict[str, str]], name: str) -> dict[str, str]:
    """Row of a file by its path in the source, else by its name alone; empty if there is none."""
    return table.get(name) or table.get(PurePosixPath(name).name) or {}


def read_names(path: Path, what: str) -> list[str]:
    """Names in a file, one a line; empty lines and those that begin with # do not count.

    Args:
        path: Of the file.
        what: It is, for messages: "split list".

    Raises:
        InputError: it does not exist, is no text, has two words on a line, or lists nothing.
    """
    try:
        lines = [line.strip() for line in path.read_text(encoding="utf-8").splitlines()]
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"{what} {path} cannot be read: {' '.join(str(error).split())}") from error
    names = [line for line in lines if line and not line.startswith("#")]
    wrong = next((name for name in names if len(name.split()) > 1), None)
    if wrong is not None:
        raise InputError(f"{what} {path} must have one name a line, got {wrong!r}")
    if not names:
        raise InputError(f"{what} {path} lists no names")
    return names
