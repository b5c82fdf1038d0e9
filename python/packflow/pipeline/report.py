"""From a store to a report page: what is there is shown, however far the run came."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from packflow.campaign.disk import write_atomically
from packflow.errors import InputError
from packflow.pipeline.known import kept_references
from packflow.pipeline.ranking import FOLDER as RANKED
from packflow.pipeline.report_facts import facts_of
from packflow.pipeline.report_references import overlays_of, read_references
from packflow.pipeline.report_rows import listed_of, read_found
from packflow.report.html_page import MAX_LISTED, html_page
from packflow.report.html_payload import best_first
from packflow.report.page import Page, Reference

# structures of a molecule that are laid on known crystals
MAX_OVERLAYS = 30


@dataclass(frozen=True)
class Report:
    """A report page that was written.

    path:        the file.
    n_bytes:     its size.
    n_proposals: of the store.
    n_listed:    of these, those that the page lists.
    problems:    what could not be read.
    """

    path: Path
    n_bytes: int
    n_proposals: int
    n_listed: int
    problems: tuple[str, ...]


def report_store(
    store: str | Path,
    out: str | Path,
    references: Sequence[str | Path] = (),
    ranking: str | Path | None = None,
    title: str | None = None,
    max_listed: int = MAX_LISTED,
) -> Report:
    """Write the report page of a store, one HTML file that needs nothing else; see docs/report.md.

    Args:
        store: Folder that `packflow sample` or `packflow predict` wrote, finished or not, relaxed and ranked or not.
        out: File to write; one that is there is replaced if its name ends in .html.
        references: CIF files of known crystals, to be shown beside the structures; without any, those that the ranking was given.
        ranking: Folder of `packflow rank --out`; None for `ranked` in the store.
        title: Of the page; None for the name of the molecule.
        max_listed: Proposals that are listed, the best first; the others are only counted.

    Raises:
        InputError: store is no such folder or holds no proposals; a file of it is damaged; a reference cannot be used; out is no .html
            file or cannot be written; max_listed is below 1.
    """
    out = check_out(Path(out))
    if max_listed < 1:
        raise InputError(f"max_structures must be at least 1, got {max_listed}")
    if ranking is not None and not Path(ranking).is_dir():
        raise InputError(f"ranking {ranking} is no folder: give one that packflow rank --out wrote")
    ranked = Path(ranking) if ranking is not None else Path(store) / RANKED
    found = read_found(store, ranked)
    listed = listed_of(found)
    molecules = list(dict.fromkeys(row.smiles for row in listed))
    known = read_references(references, molecules) if references else known_of(ranked, molecules, found.problems)
    overlays, listed = overlays_of(best_first(listed, molecules), known, MAX_OVERLAYS)
    page = Page(facts_of(store, found, title), listed, known, overlays)
    text = html_page(page, max_listed).encode()
    write_atomically(out, text)
    return Report(out, len(text), len(listed), min(len(listed), max_listed), page.facts.problems)


def known_of(ranking: Path, molecules: Sequence[str], problems: list[str]) -> tuple[Reference, ...]:
    """Known crystals that a ranking was given; what cannot be read of them is a problem like others."""
    known: list[Reference] = []
    for path in kept_references(ranking):
        try:
            known += read_references([path], molecules)
        except InputError as error:
            problems.append(str(error))
    return tuple(known)


def check_out(out: Path) -> Path:
    """A file that can be written, before work is done for it."""
    if out.suffix.lower() not in (".html", ".htm"):
        raise InputError(f"out must end in .html, got {out}")
    if out.is_dir():
        raise InputError(f"{out} is a folder: choose another name")
    if not out.parent.is_dir():
        raise InputError(f"{out.parent} is no folder: make it first")
    return out
