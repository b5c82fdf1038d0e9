"""`bond_attention` against torch's attention with a dense bias: forward, with gradients, and memory."""

from __future__ import annotations

import json
import sys
from dataclasses import dataclass
from pathlib import Path

import torch
from harness import compare, smallest
from padded import check, dense_bias, molecule_bonds, places, ragged
from torch import Tensor
from torch.nn.functional import scaled_dot_product_attention

from packflow.ops import BondTable, bond_attention, bond_attention_qkv, bond_table

BIG = 4000  # atoms of the crystal whose memory is measured


@dataclass(frozen=True)
class Case:
    """Tensors of a batch, packed as ours and padded as the peer takes them."""

    sizes: list[int]
    qkv: Tensor  # [n_atoms, 3, n_heads, d_head]
    edge_bias: Tensor  # [n_bonds, n_heads]
    cu_seqlens: Tensor  # [n_crystals + 1]
    bonds: BondTable
    place: tuple[Tensor, Tensor]  # crystal and position in it of each atom, [n_atoms] each
    grad_out: Tensor  # [n_atoms, n_heads, d_head]

    @property
    def flop(self) -> float:
        """Of the two products of the forward pass."""
        return sum(4.0 * n * n for n in self.sizes) * self.qkv[0, 0].numel()

    def padded(self, x: Tensor) -> Tensor:
        """[n_atoms, ...] -> [n_crystals, largest, ...]"""
        return x.new_zeros(len(self.sizes), max(self.sizes), *x.shape[1:]).index_put(self.place, x)

    def dense_bias(self, edge_bias: Tensor) -> Tensor:
        """Bias of every pair, -inf for padding. [n_crystals, n_heads, largest, largest]"""
        return dense_bias(self.sizes, self.bonds, self.place, edge_bias)


def make_case(sizes: list[int], n_heads: int, d_head: int) -> Case:
    """A batch of random numbers."""
    generator = torch.Generator().manual_seed(0)
    cu_seqlens = torch.tensor([0, *torch.tensor(sizes).cumsum(0).tolist()], dtype=torch.int32)
    bonds = bond_table(molecule_bonds(sizes), cu_seqlens)
    qkv = torch.randn(sum(sizes), 3, n_heads, d_head, generator=generator)
    edge_bias = torch.randn(len(bonds.column), n_heads, generator=generator)
    grad_out = torch.randn(sum(sizes), n_heads, d_head, generator=generator)
    return Case(sizes, qkv, edge_bias, cu_seqlens, bonds, places(sizes), grad_out)


def forward(name: str, case: Case, quick: bool) -> None:
    """Against attention alone: queries are padded and the mask is built outside the clock."""
    q, k, v = (x.contiguous() for x in case.padded(case.qkv).permute(2, 0, 3, 1, 4))
    mask = case.dense_bias(case.edge_bias).contiguous()
    out_at = case.place[0][:, None], torch.arange(q.shape[1]), case.place[1][:, None]

    def ours():
        return bond_attention_qkv(case.qkv, case.edge_bias, case.cu_seqlens, case.bonds)

    def theirs():
        return scaled_dot_product_attention(q, k, v, attn_mask=mask)

    compare(
        "attention",
        f"forward {name}",
        "sdpa, mask given",
        ours,
        theirs,
        lambda x, y: check([x], [y[out_at]]),
        ("flop", case.flop),
        quick=quick,
    )


def both(name: str, case: Case, quick: bool) -> None:
    """With gradients of queries, keys, values and of the learned bias."""

    def gradients(attend):
        qkv, edge_bias = case.qkv.detach().requires_grad_(), case.edge_bias.detach().requires_grad_()
        return torch.autograd.grad(attend(qkv, edge_bias), (qkv, edge_bias), case.grad_out)

    def ours(qkv, edge_bias):
        return bond_attention_qkv(qkv, edge_bias, case.cu_seqlens, case.bonds)

    def theirs(qkv, edge_bias):
        q, k, v = case.padded(qkv).permute(2, 0, 3, 1, 4)
        out = scaled_dot_product_attention(q, k, v, attn_mask=case.dense_bias(edge_bias))
        return out.transpose(1, 2)[case.place]

    work = ("flop", 3.5 * case.flop)
    compare(
        "attention",
        f"with gradients {name}",
        "sdpa, dense bias",
        lambda: gradients(ours),
        lambda: gradients(theirs),
        check,
        work,
        quick=quick,
    )


def bias_on_and_off(name: str, case: Case, quick: bool) -> None:
    """The same batch without bonds; the ratio is what is left when the bias is off."""
    none = bond_table(torch.zeros(2, 0, dtype=torch.int64), case.cu_seqlens)

    def attend(edge_bias, bonds):
        return bond_attention_qkv(case.qkv, edge_bias, case.cu_seqlens, bonds)

    def different(with_bias, without):
        assert not torch.equal(with_bias, without)

    work = ("flop", case.flop)
    compare(
        "attention",
        f"bias on {name}",
        "ours, bias off",
        lambda: attend(case.edge_bias, case.bonds),
        lambda: attend(case.edge_bias[:0], none),
        different,
        work,
        quick=quick,
    )


def share_of_sgemm(name: str, case: Case, quick: bool) -> None:
    """Against one product of square matrices with as many operations: the ratio is the share of its speed."""
    side = round((case.flop / 2) ** (1 / 3))
    a, b = torch.randn(2, side, side)

    def ours():
        return bond_attention_qkv(case.qkv, case.edge_bias, case.cu_seqlens, case.bonds)

    compare("attention", f"forward {name}", f"sgemm {side}", ours, lambda: a @ b, lambda x, y: None, ("flop", case.flop), quick=quick)


def differentiate(case: Case) -> tuple[Tensor, Tensor]:
    """Gradients of queries, keys and values in one tensor and of the bias."""
    qkv, edge_bias = case.qkv.detach().requires_grad_(), case.edge_bias.detach().requires_grad_()
    out = bond_attention_qkv(qkv, edge_bias, case.cu_seqlens, case.bonds)
    return torch.autograd.grad(out, (qkv, edge_bias), case.grad_out)


def slices(name: str, case: Case, quick: bool) -> None:
    """One projection tensor against its three slices, whose gradients torch joins by a copy."""

    def apart():
        qkv, edge_bias = case.qkv.detach().requires_grad_(), case.edge_bias.detach().requires_grad_()
        out = bond_attention(*qkv.unbind(1), edge_bias, case.cu_seqlens, case.bonds)
        return torch.autograd.grad(out, (qkv, edge_bias), case.grad_out)

    work = ("flop", 3.5 * case.flop)
    compare("attention", f"with gradients {name}", "ours, three slices", lambda: differentiate(case), apart, check, work, quick=quick)


def two_threads(name: str, case: Case, quick: bool) -> None:
    """The ratio is how much faster two threads are than one."""

    def ours():
        torch.set_num_threads(2)
        gradients = differentiate(case)
        torch.set_num_threads(1)
        return gradients

    work = ("flop", 3.5 * case.flop)
    compare("attention", f"two threads {name}", "ours, one thread", ours, lambda: differentiate(case), check, work, quick=quick)


def memory(n_atoms: int) -> None:
    """Peak memory of forward and backward of one crystal beyond its inputs, as a multiple of the size of q, k and v."""
    differentiate(make_case([20], 8, 32))  # what torch loads at the first call is not memory of the op
    case = make_case([n_atoms], 8, 32)
    size = case.qkv.numel() * case.qkv.element_size()

    def peak() -> int:
        (line,) = (line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith("VmHWM"))
        return 1024 * int(line.split()[1])

    Path("/proc/self/clear_refs").write_text("5")  # the peak so far is forgotten
    before = peak()
    differentiate(case)
    extra = (peak() - before) / size
    dense = 4.0 * n_atoms * n_atoms * 8 / size
    row = {"op": "attention", "case": f"memory, 1 x {n_atoms} atoms, 8 x 32", "extra_over_qkv": extra, "dense_bias_over_qkv": dense}
    print(json.dumps(row), flush=True)
    print(f"{row['op']:<10} {row['case']:<34} extra {extra:.1f} x q, k, v   (one dense bias: {dense:.0f} x)", file=sys.stderr)


def main() -> None:
    torch.set_num_threads(1)
    quick = smallest()
    batches = [("32 x 60", [60] * 32), ("32 x 120", [120] * 32), ("32 x 250", [250] * 32), ("32 ragged", ragged())]
    if quick:
        batches = [("4 ragged", ragged()[:4])]
    memory(400 if quick else BIG)
    for n_heads, d_head in ((8, 32), (10, 64)):
        for sizes_name, sizes in batches:
            name, case = f"{sizes_name}, {n_heads} x {d_head}", make_case(sizes, n_heads, d_head)
            forward(name, case, quick)
            both(name, case, quick)
            bias_on_and_off(name, case, quick)
            if max(sizes) == min(sizes) == 250 or quick:
                share_of_sgemm(name, case, quick)
        slices(name, case, quick)
        two_threads(name, case, quick)
        if not quick:
            share_of_sgemm(f"1 x 250, {n_heads} x {d_head}", make_case([250], n_heads, d_head), quick)


if __name__ == "__main__":
    main()
