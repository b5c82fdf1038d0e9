"""`bonded` against the same energies in PyTorch with autograd, on MMFF94s terms; one thread on the CPU and, where there is one, the GPU."""

from __future__ import annotations

import torch
from harness import compare, smallest
from rdkit import Chem
from rdkit.Chem import rdDistGeom
from torch import Tensor

from packflow.ops import BondedTerms, bonded, reference_bonded
from packflow.potential.mmff_parameters import mmff_parameters
from packflow.structure.full import full_mol

# 21 to 51 atoms with hydrogens: aspirin, caffeine, paracetamol, testosterone.
MOLECULES = ("CC(=O)Oc1ccccc1C(=O)O", "Cn1c(=O)c2c(ncn2C)n(C)c1=O", "CC(=O)Nc1ccc(O)cc1", "CC12CCC3C(CCC4=CC(=O)CCC34C)C1CCC2O")
N_COPIES = 4


def batch(n_structures: int) -> tuple[Tensor, BondedTerms, Tensor]:
    """Structures of four molecules each, at conformers with every atom moved by 0.05 Å: positions, terms and atom_ptr."""
    generator = torch.Generator().manual_seed(0)
    parts, points, sizes = [], [], []
    for k in range(n_structures):
        smiles = MOLECULES[k % len(MOLECULES)]
        mol = Chem.Mol(full_mol(smiles))
        rdDistGeom.EmbedMolecule(mol, randomSeed=1)
        conformer = torch.from_numpy(mol.GetConformer().GetPositions()).repeat(N_COPIES, 1)
        points.append(conformer + 0.05 * torch.randn(conformer.shape, generator=generator, dtype=torch.float64))
        ends = torch.tensor([0, mol.GetNumAtoms()], dtype=torch.int32)
        copies = mmff_parameters(smiles).terms.select(torch.zeros(N_COPIES, dtype=torch.int64), ends)
        parts.append(BondedTerms(copies.kind, copies.atoms, copies.parameters, copies.term_ptr[[0, -1]]))
        sizes.append(len(conformer))
    atom_ptr = torch.tensor([0, *torch.tensor(sizes).cumsum(0).tolist()], dtype=torch.int32)
    return torch.cat(points), BondedTerms.join(parts, atom_ptr[:-1].tolist()), atom_ptr


def check(ours, theirs) -> None:
    for one, other in zip(ours, theirs, strict=True):
        torch.testing.assert_close(one, other, rtol=0, atol=1e-9)


def main() -> None:
    torch.set_num_threads(1)
    quick = smallest()
    for device in ("cpu", *(["cuda"] if torch.cuda.is_available() else [])):
        for n_structures in (2,) if quick else (1, 16, 256):
            positions, terms, atom_ptr = (x.to(device) for x in batch(n_structures))
            compare(
                "bonded",
                f"{n_structures} of 4 molecules, {len(positions)} atoms",
                "torch autograd",
                lambda x=positions, t=terms, p=atom_ptr: bonded(x, t, p),
                lambda x=positions, t=terms, p=atom_ptr: reference_bonded.bonded(x, t, p),
                check,
                ("terms", len(terms)),
                device=device,
                quick=quick,
            )


if __name__ == "__main__":
    main()
