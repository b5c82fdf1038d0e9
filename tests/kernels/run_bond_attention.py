"""Runs cases of the Triton attention and prints how far values and gradients are from a dense float64 reference.

    TRITON_INTERPRET=1 python run_bond_attention.py cpu < cases.json
    python run_bond_attention.py cuda < cases.json

One JSON object a line: the case and, for each tensor, the relative L2 error and the cosine, or the exception.
"""

import json
import sys
import traceback

import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from packflow.kernels.bond_attention import bond_attention_bwd, bond_attention_fwd, tile_table

DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16}
FLOOR = 0.1  # of the root mean square of a reference; below it an error counts absolutely: some gradients are exactly 0


def poison(make):
    """`make` with NaN in what it returns, so that a number the kernels forget to write shows up."""

    def poisoned(*args, **kwargs):
        out = make(*args, **kwargs)
        return out.fill_(float("nan")) if out.is_floating_point() else out.fill_(torch.iinfo(out.dtype).max)

    return poisoned


def bonds_of(kind, sizes, generator):
    """Source and target of the directed edges of a batch."""
    edges, first = [], 0
    for n in sizes:
        if kind in ("molecule", "duplicates", "loops"):
            # each atom to one of the few before it, both directions, as in a molecule; every ninth atom stays alone
            for i in range(1, n):
                if i % 9:
                    j = max(0, i - 1 - int(torch.randint(4, (1,), generator=generator)))
                    edges += [(first + i, first + j), (first + j, first + i)]
        if kind == "far":
            edges += [(first + i, first + n - 1 - i) for i in range(n)]
        if kind == "star":
            edges += [(first + i, first) for i in range(n)] + [(first, first + i) for i in range(n)]
        if kind == "one way":
            edges += [(first + i, first + i // 2) for i in range(n)]
        if kind == "loops":
            edges += [(first + i, first + i) for i in range(n)]
        if kind == "forbidden" and n > 1:
            edges += [(first + n - 1, first + i) for i in range(min(n - 1, 40))]
        first += n
    if kind == "duplicates":
        edges = edges + edges[::2] + edges[::3]
    edges = torch.tensor(edges, dtype=torch.long).reshape(-1, 2)
    edges = edges[torch.randperm(len(edges), generator=generator)]
    return edges[torch.argsort(edges[:, 0], stable=True)].T


def strided(x, layout):
    """The same numbers in another memory layout. [n_atoms, n_heads, d_head]"""
    if layout == "fused":  # part of one tensor for q, k and v
        return torch.stack([torch.zeros_like(x), x, torch.zeros_like(x)], dim=1)[:, 1]
    if layout == "heads first":
        return x.transpose(0, 1).contiguous().transpose(0, 1)
    if layout == "odd":  # rows that do not begin at multiples of 8
        return torch.cat([x, torch.zeros_like(x[..., :3])], dim=2)[..., : x.shape[2]]
    return x


def make(sizes, d_head, n_heads=1, dtype="float32", bonds="molecule", layout="packed", bias=1.0, seed=0):
    """Arguments of the op on the CPU."""
    generator = torch.Generator().manual_seed(seed)
    source, target = bonds_of(bonds, sizes, generator)
    n_atoms = sum(sizes)
    q, k, v, dout = (torch.randn(n_atoms, n_heads, d_head, generator=generator).to(DTYPES[dtype]) for _ in range(4))
    edge_bias = bias * torch.randn(len(source), n_heads, generator=generator)
    if bonds == "forbidden":
        edge_bias = torch.full_like(edge_bias, float("-inf"))
    cu_seqlens = torch.tensor([0, *sizes]).cumsum(0)
    row_ptr = torch.cat([torch.zeros(1, dtype=torch.long), torch.bincount(source, minlength=n_atoms).cumsum(0)])
    pointers = tuple(x.to(torch.int32) for x in (cu_seqlens, row_ptr, target))
    return tuple(strided(x, layout) for x in (q, k, v, dout)), edge_bias, pointers


def reference(q, k, v, dout, edge_bias, cu_seqlens, row_ptr, column):
    """Dense attention crystal by crystal in float64, and its gradients by autograd."""
    q, k, v, edge_bias = (x.double().contiguous().requires_grad_() for x in (q, k, v, edge_bias))
    source = torch.repeat_interleave(row_ptr.diff())
    outs, lses = [q[:0]], [q.new_zeros(q.shape[1], 0)]
    for first, last in zip(cu_seqlens[:-1].tolist(), cu_seqlens[1:].tolist(), strict=True):
        logits = torch.einsum("ihd,jhd->ijh", q[first:last], k[first:last]) / q.shape[2] ** 0.5
        inside = (source >= first) & (source < last)
        logits = logits.index_put((source[inside] - first, column[inside].long() - first), edge_bias[inside], accumulate=True)
        outs.append(torch.einsum("ijh,jhd->ihd", logits.softmax(1), v[first:last]))
        lses.append(logits.logsumexp(1).T)
    out = torch.cat(outs)
    gradients = torch.autograd.grad(out, (q, k, v, edge_bias), dout.double(), allow_unused=True, materialize_grads=True)
    return {"out": out, "lse": torch.cat(lses, 1), **dict(zip(("dq", "dk", "dv", "dbias"), gradients, strict=True))}


def empty_gradients(q, layout):
    """Memory for the gradients of q, k and v: slices of one tensor if those are, else three tensors."""
    if layout == "fused":
        return torch.empty(len(q), 3, *q.shape[1:], dtype=q.dtype, device=q.device).unbind(1)
    return [torch.empty(q.shape, dtype=q.dtype, device=q.device) for _ in range(3)]


def run(case, device):
    """Errors of each tensor of one case."""
    (q, k, v, dout), edge_bias, pointers = make(**case)
    wanted = reference(q, k, v, dout, edge_bias, *pointers)
    # .to keeps the strides
    q, k, v, dout, edge_bias = (x.to(device) for x in (q, k, v, dout, edge_bias))
    pointers = tuple(x.to(device) for x in pointers)
    tiles = tile_table(*pointers)

    def ours():
        out, lse = bond_attention_fwd(q, k, v, edge_bias, *pointers, tiles)
        dq, dk, dv = empty_gradients(q, case.get("layout", "packed"))
        dbias = bond_attention_bwd(dout, q, k, v, edge_bias, out, lse, *pointers, tiles, dq, dk, dv)
        return {"out": out, "lse": lse, "dq": dq, "dk": dk, "dv": dv, "dbias": dbias}

    got = ours()
    for name in ("out", "dq", "dk", "dv"):
        assert got[name].dtype == q.dtype, f"{name} is {got[name].dtype}"
    if device == "cuda":  # the same numbers on every run
        again = ours()
        assert all(torch.equal(got[name], again[name]) for name in got)
    return {name: distance(got[name].cpu().double(), wanted[name].detach()) for name in wanted}


def distance(got, wanted):
    """Relative L2 error and cosine; a tensor that differs in shape or is not finite has error infinity."""
    if got.shape != wanted.shape or not got.isfinite().all():
        return [float("inf"), 0.0]
    if wanted.numel() == 0:
        return [0.0, 1.0]
    floor = FLOOR * wanted.numel() ** 0.5
    error = float((got - wanted).norm() / wanted.norm().clamp(min=floor))
    if wanted.norm() < floor:
        return [error, 1.0]
    return [error, float(torch.nn.functional.cosine_similarity(got.flatten(), wanted.flatten(), dim=0))]


def worst_of_random(case, device):
    """Largest errors over ragged batches that hypothesis makes up."""
    worst = {}

    @settings(max_examples=case["random"], deadline=None, derandomize=True, database=None, suppress_health_check=list(HealthCheck))
    @given(
        sizes=st.lists(st.integers(0, 70), max_size=4),
        bonds=st.sampled_from(["molecule", "duplicates", "loops", "far", "star", "one way", "none"]),
        layout=st.sampled_from(["packed", "fused", "heads first", "odd"]),
        seed=st.integers(0, 99),
    )
    def search(sizes, bonds, layout, seed):
        found = run({"sizes": sizes, "d_head": 16, "bonds": bonds, "layout": layout, "seed": seed}, device)
        for name, (error, cosine) in found.items():
            old = worst.get(name, [0.0, 1.0])
            worst[name] = [max(error, old[0]), min(cosine, old[1])]

    search()
    return worst


def main():
    torch.set_num_threads(1)
    device = sys.argv[1]
    torch.empty, torch.empty_like = poison(torch.empty), poison(torch.empty_like)
    for case in json.load(sys.stdin):
        try:
            found = worst_of_random(case, device) if "random" in case else run(case, device)
        except Exception:  # whatever it is, the test of this case fails with it and the other cases still run
            found = {"exception": traceback.format_exc()}
        print(json.dumps(found), flush=True)


if __name__ == "__main__":
    main()
