"""Known crystals from CIF files, relaxed as the proposals of a store were, so that energies can be compared."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace
from pathlib import Path

from packflow.campaign.relaxation import Relaxation, relax_all
from packflow.errors import InputError, StructureError
from packflow.potential import Potential
from packflow.rank import Known
from packflow.relax.hydrogens import add_hydrogens
from packflow.structure.cif import read_cif
from packflow.structure.full import FullStructure
from packflow.structure.full_sites import full_structure
from packflow.structure.recognize import recognize
from packflow.structure.sites import Sites

# of the files of known crystals in the folder of a ranking
REFERENCES = "references"


def read_known(paths: Iterable[str | Path], smiles: Sequence[str]) -> list[Known]:
    """Crystals of some molecules from CIF files, not relaxed.

    Args:
        paths: CIF or mmCIF files, of one or several blocks each.
        smiles: Of the molecules that they may be of.

    Returns:
        Called by the stem of their file, and the block where there are several; hydrogens that are not listed are added.

    Raises:
        InputError: a file cannot be read, or a crystal is of none of the molecules.
    """
    known = []
    for path in map(Path, paths):
        try:
            blocks = read_cif(path)
        except StructureError as error:
            raise InputError(f"reference {path} cannot be used: {error}") from error
        for sites in blocks:
            _, _, block = sites.name.partition("#")
            known.append(Known(path.stem + (f"#{block}" if block else ""), crystal_of_sites(sites, smiles)))
    return known


def crystal_of_sites(sites: Sites, smiles: Sequence[str]) -> FullStructure:
    """The crystal of one of some molecules that the sites hold; raises InputError if of none."""
    reasons = []
    for one in dict.fromkeys(smiles):
        try:
            return full_structure(sites, one)
        except StructureError as error:
            reasons.append(str(error))
        try:
            completed = add_hydrogens([recognize(sites, one)])[0]
        except StructureError:
            continue
        if completed.structure is not None:
            return completed.structure
        reasons[-1] = completed.problem
    raise InputError(f"reference {sites.name} is no crystal of the molecules that were sampled: {reasons[0]}")


def keep_references(paths: Iterable[str | Path], folder: Path) -> None:
    """Copy files of known crystals to `references` in a ranking's folder, so that a report finds them; of equal names one gets a number.

    Raises:
        OSError: a file cannot be read or written.
    """
    for path in map(Path, paths):
        kept, number = folder / REFERENCES / path.name, 2
        while kept.exists():
            kept, number = kept.with_name(f"{path.stem}_{number}{path.suffix}"), number + 1
        kept.parent.mkdir(parents=True, exist_ok=True)
        kept.write_bytes(path.read_bytes())


def kept_references(folder: Path) -> list[Path]:
    """Files of known crystals that a ranking was given; none if it was given none."""
    return sorted(path for path in (folder / REFERENCES).glob("*") if path.is_file())


def relax_known(known: Sequence[Known], potential: Potential, settings: Relaxation, device: str = "cpu") -> list[Known]:
    """The crystals, relaxed in the stages that proposals are; one that fails stays as it is, and gives no energy."""
    found = list(known)
    going = {k: one.crystal for k, one in enumerate(known)}
    stages = (settings.hydrogens,) if settings.only_hydrogens else (settings.hydrogens, settings.full)
    for config in stages:
        for k, relaxed in relax_all(potential, dict(going), config, device):
            found[k] = replace(found[k], relaxed=relaxed)
            going[k] = relaxed.structure
            if relaxed.problem:
                del going[k]
    return found
