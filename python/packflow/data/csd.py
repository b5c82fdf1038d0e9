"""Entries of the Cambridge Structural Database (CSD), through the CSD Python API where a licensed user has installed it."""

from __future__ import annotations

from dataclasses import replace
from functools import lru_cache
from pathlib import Path
from typing import Any

from packflow.data.source import read_names
from packflow.errors import InputError, StructureError
from packflow.structure.cif import blocks_of, sites_of
from packflow.structure.molecule import one_molecule
from packflow.structure.sites import Sites

# The source that is the whole database, and files that list refcodes of it.
WHOLE = "csd"
REFCODE_LISTS = (".gcd", ".txt")
# What the API raises for entries that it lacks or cannot make a crystal of, and where an attribute has another name.
API_ERRORS = (RuntimeError, ValueError, TypeError, AttributeError, LookupError, OSError)
# What is refused, by an attribute of the entry, the value that it must have, and the reason.
CRITERIA = (
    ("has_3d_structure", True, "no 3D coordinates"),
    ("has_disorder", False, "disorder"),
    ("is_organic", True, "not organic"),
    ("is_polymeric", False, "polymer"),
)


def is_csd(source: Path) -> bool:
    """Whether a source is the CSD or a list of its refcodes; a folder, or a file that is called csd, is neither."""
    if source.suffix.lower() in REFCODE_LISTS:
        return not source.is_dir()
    return str(source).lower() == WHOLE and not source.exists()


def list_refcodes(source: Path) -> list[str]:
    """Refcodes of all entries to read, each once.

    Args:
        source: "csd" for the whole database, whose entries are gone through once for this; or a file of refcodes, one a line.

    Raises:
        InputError: the API or the database is not installed, no licence is active, or the file cannot be read or lists nothing.
    """
    if source.suffix.lower() in REFCODE_LISTS:
        refcodes = list(dict.fromkeys(read_names(source, "refcode list")))
        open_csd()
        return refcodes
    reader = open_csd()
    try:
        refcodes = [str(entry.identifier) for entry in reader]
    except API_ERRORS as error:
        raise unavailable(error) from error
    if not refcodes:
        raise InputError("the CSD holds no entries: check the installation of the database")
    return refcodes


@lru_cache(maxsize=1)
def open_csd() -> Any:  # noqa: ANN401 the API has no types
    """The database as an `EntryReader` of the API, opened once per process; raises InputError where that cannot be."""
    try:
        from ccdc.io import EntryReader

        return EntryReader("CSD")
    except ImportError as error:
        raise InputError(
            f"the CSD needs the CSD Python API, which cannot be imported ({one_line(error)}): "
            "install csd-python-api of the CCDC, for which a CSD licence is needed, or give CIF files"
        ) from error
    except API_ERRORS as error:
        raise unavailable(error) from error


def unavailable(error: Exception) -> InputError:
    """What to tell where the API is there but the database is not."""
    return InputError(f"the CSD cannot be opened ({one_line(error)}): install the database and activate its licence")


def sites_of_entry(refcode: str) -> Sites:
    """All atoms of an entry's unit cell, and its molecule where the CSD knows the bond orders.

    Args:
        refcode: Of the entry.

    Raises:
        StructureError: there is no such entry, it lacks 3D coordinates, is disordered, not organic, a polymer or of several kinds of
            molecules, or as `packflow.structure.cif.sites_of`.
    """
    reader = open_csd()
    try:
        entry = reader.entry(refcode)
    except API_ERRORS as error:
        raise StructureError("not in the CSD", one_line(error)) from error
    try:
        text, smiles = cif_and_smiles(entry)
    except StructureError:
        raise
    except API_ERRORS as error:
        raise StructureError("not readable by the CSD Python API", f"{type(error).__name__}: {one_line(error)}") from error
    sites = sites_of(blocks_of(text)[0], refcode)
    return replace(sites, smiles=one_molecule(smiles) if smiles else sites.smiles)


def cif_and_smiles(entry: Any) -> tuple[str, str | None]:  # noqa: ANN401 the API has no types
    """CIF of an entry that meets the criteria, and the SMILES of its molecule; raises StructureError, or what the API does."""
    for attribute, wanted, reason in CRITERIA:
        if bool(getattr(entry, attribute)) != wanted:
            raise StructureError(reason, f"{attribute} of the entry is {not wanted}")
    components = entry.molecule.components
    formulas = sorted({str(component.formula) for component in components})
    if not formulas:
        raise StructureError("no atoms", "the entry has no molecule")
    if len(formulas) > 1:
        raise StructureError("several components", "; ".join(formulas))
    return str(entry.crystal.to_string("cif")), components[0].smiles


def one_line(error: Exception) -> str:
    """Its message without line ends."""
    return " ".join(str(error).split())
