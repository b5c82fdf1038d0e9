"""Known crystals in a report, and structures moved onto them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from packflow.campaign.relaxed_shard import in_standard_frame
from packflow.elements import MASSES, SYMBOLS
from packflow.errors import InputError
from packflow.metrics.density import GRAM_PER_CM3
from packflow.metrics.packing_overlay import PackingOverlay, packing_overlay
from packflow.pipeline.known import read_known
from packflow.proposal_table import template_of
from packflow.report.page import Listed, Overlay, Reference
from packflow.structure import Crystal
from packflow.structure.full import full_mol, full_numbers
from packflow.structure.molecule import heavy_atom_mol

# molecules of the cluster that is compared
CLUSTER = 15


def read_references(paths: Sequence[str | Path], smiles: Sequence[str]) -> tuple[Reference, ...]:
    """Known crystals from CIF files.

    Args:
        paths: CIF or mmCIF files.
        smiles: Of the molecules of the report.

    Raises:
        InputError: as `packflow.pipeline.known.read_known`.
    """
    references = []
    for known in read_known(paths, smiles):
        structure = known.crystal
        lattice, cell, turn = in_standard_frame(structure)
        mass = sum(MASSES[SYMBOLS[n]] for n in full_numbers(structure.template).tolist())
        references.append(
            Reference(
                name=known.name,
                smiles=structure.template.molecule.smiles,
                n_copies=structure.template.n_copies,
                density=GRAM_PER_CM3 * mass / float(np.linalg.det(cell)),
                positions=structure.positions @ turn,
                cell=cell,
                lattice=tuple(lattice.tolist()),
            )
        )
    return tuple(references)


def overlays_of(listed: Sequence[Listed], references: Sequence[Reference], n_best: int) -> tuple[tuple[Overlay, ...], tuple[Listed, ...]]:
    """Lay structures on the known crystals of their molecule, each on the one that it matches best.

    Args:
        listed: Best first.
        references: Known crystals.
        n_best: Structures of each molecule that are compared, best first; before them those that a ranking found to match.

    Returns:
        The overlays, and the structures, those without a comparison yet with what was found.
    """
    found: dict[str, Overlay] = {}
    for smiles in {one.smiles for one in references}:
        # what a ranking found to overlay comes first
        rows = sorted((row for row in listed if row.smiles == smiles), key=lambda row: -float(row.values.get("n_matched", 0)))
        for row in [row for row in rows if row.status in ("ranked", "relaxed", "sampled")][:n_best]:
            overlay = best_overlay(row, [one for one in references if one.smiles == smiles])
            if overlay is not None:
                found[row.name] = overlay
    return tuple(found.values()), tuple(with_match(row, found.get(row.name)) for row in listed)


def best_overlay(row: Listed, references: Sequence[Reference]) -> Overlay | None:
    """A structure on the reference of which most molecules match; None where none does or the structure cannot be compared."""
    crystal = crystal_of_listed(row)
    if crystal is None:
        return None
    best: tuple[Reference, PackingOverlay] | None = None
    for one in references:
        try:
            overlay = packing_overlay(heavy_of(one.positions, one.smiles, one.n_copies, one.lattice), crystal, CLUSTER)
        except InputError:
            continue
        if overlay and (best is None or (-overlay.n_matched, overlay.rmsd) < (-best[1].n_matched, best[1].rmsd)):
            best = one, overlay
    if best is None:
        return None
    one, overlay = best
    return Overlay(row.name, one.name, overlay.n_matched, overlay.rmsd, overlay.rotation, overlay.shift, overlay.cluster)


def crystal_of_listed(row: Listed) -> Crystal | None:
    """The heavy atoms of a structure; None where it has none, or not those of its molecules."""
    if row.positions is None or row.lattice is None:
        return None
    n_atoms = (full_mol if row.hydrogens else heavy_atom_mol)(row.smiles).GetNumAtoms()
    if len(row.positions) != row.n_copies * n_atoms:
        return None
    return heavy_of(row.positions, row.smiles, row.n_copies, row.lattice)


def heavy_of(positions: np.ndarray, smiles: str, n_copies: int, lattice: Sequence[float]) -> Crystal:
    """A crystal where it lies, without hydrogens if it has any. positions: [n_atoms, 3], copy by copy"""
    template = template_of(smiles, n_copies)
    copies = np.asarray(positions, dtype=np.float64).reshape(n_copies, -1, 3)[:, : template.molecule.n_atoms]
    return Crystal(template, copies.reshape(-1, 3), np.array(lattice, dtype=np.float64))


def with_match(row: Listed, overlay: Overlay | None) -> Listed:
    """The row with the match of its overlay, where a ranking did not compare it."""
    if overlay is None or "n_matched" in row.values:
        return row
    rmsd = {"rmsd": overlay.rmsd} if overlay.n_matched == CLUSTER else {}
    return replace(row, values={**row.values, "known": overlay.reference, "n_matched": overlay.n_matched, **rmsd})
