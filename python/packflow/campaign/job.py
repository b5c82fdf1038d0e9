"""Job: how many proposals of which molecule, with how many copies of it in the cell."""

from __future__ import annotations

from dataclasses import dataclass

from packflow.errors import InputError
from packflow.structure.molecule import heavy_atom_mol

# names become names of files and folders, and a structure is called name#n_copies-index
FORBIDDEN = '/\\#"'
LONGEST_NAME = 100


@dataclass(frozen=True, slots=True)
class Job:
    """Proposals of one template.

    name:        of the molecule.
    smiles:      of the molecule.
    n_copies:    molecules per unit cell.
    n_samples:   number of proposals.
    n_atoms:     heavy atoms of one proposal.
    first_index: of the first proposal; others than 0 add to proposals that are there already.
    """

    name: str
    smiles: str
    n_copies: int
    n_samples: int
    n_atoms: int
    first_index: int = 0

    @classmethod
    def of(cls, name: str, smiles: str, n_copies: int = 4, n_samples: int = 32, first_index: int = 0) -> Job:
        """A job whose values are checked.

        Raises:
            InputError: a count is below 1, first_index negative, the name cannot be that of a file, or the SMILES as
                `Molecule.from_smiles`.
        """
        for what, count in (("n_copies", n_copies), ("n_samples", n_samples)):
            if count < 1:
                raise InputError(f"{what} must be at least 1, got {count}")
        if first_index < 0:
            raise InputError(f"first_index must be 0 or more, got {first_index}")
        if not name.isprintable() or not 0 < len(name) <= LONGEST_NAME or set(name) & set(FORBIDDEN) or name[0] in ". " or name[-1] == " ":
            wanted = f"1 to {LONGEST_NAME} printable characters without {' '.join(FORBIDDEN)}, no dot or space first"
            raise InputError(f"name must have {wanted}, got {name[: LONGEST_NAME + 1]!r}")
        return cls(name, smiles, n_copies, n_samples, n_copies * heavy_atom_mol(smiles).GetNumAtoms(), first_index)
