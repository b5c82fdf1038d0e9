"""Dense formula -> reference -> every instruction set of the CPU kernel -> CUDA."""

import importlib

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from packflow import _C
from packflow.ops import bond_attention, bond_attention_qkv, bond_table, reference

module = importlib.import_module("packflow.ops.bond_attention")
NAMES = ("q", "k", "v", "edge_bias")
# Relative L2 errors. A sum of n products in float32 is off by about sqrt(n) * 6e-8, and exp adds 2e-7; bfloat16 keeps 8 bits, so
# that rounding the result alone costs 2e-3.
TOLERANCE = {torch.float32: 2e-6, torch.bfloat16: 6e-3}
INSTRUCTION_SETS = ["baseline", "avx2", "avx512"]


def make_batch(sizes, n_heads=2, d_head=16, dtype=torch.float32, seed=0, degree=2, scale=1.0):
    """Queries, keys, values, biases, pointers and table of crystals with random bonds: self-loops, duplicates and lone atoms occur."""
    generator = torch.Generator().manual_seed(seed)
    cu_seqlens = torch.tensor([0, *torch.tensor(sizes).cumsum(0).tolist()], dtype=torch.int32)
    starts = cu_seqlens.tolist()
    bonds = [torch.randint(starts[i], starts[i + 1], (2, degree * n), generator=generator) for i, n in enumerate(sizes) if n]
    bond_index = torch.cat([torch.zeros(2, 0, dtype=torch.int64), *bonds], 1)
    bond_index = bond_index[:, torch.randperm(bond_index.shape[1], generator=generator)]
    qkv = (scale * torch.randn(sum(sizes), 3, n_heads, d_head, generator=generator)).to(dtype)
    edge_bias = torch.randn(bond_index.shape[1], n_heads, generator=generator)
    return qkv, edge_bias, cu_seqlens, bond_table(bond_index, cu_seqlens)


def exact(qkv, edge_bias, cu_seqlens, bonds, grad_out):
    """Output and gradients of the reference in float64."""
    inputs = [x.detach().double().requires_grad_() for x in (*qkv.unbind(1), edge_bias)]
    out = reference.bond_attention(*inputs, cu_seqlens, bonds)
    grads = torch.autograd.grad(out, inputs, grad_out.double(), allow_unused=True)
    return [out.detach(), *(torch.zeros_like(x) if g is None else g for x, g in zip(inputs, grads, strict=True))]


def native(qkv, edge_bias, cu_seqlens, bonds, grad_out, instruction_set=""):
    """Output and gradients of the CPU kernel."""
    inputs = (*qkv.unbind(1), edge_bias)
    tables = cu_seqlens, bonds.row_ptr, bonds.column
    out, lse = module._attend_cpu(*inputs, *tables, instruction_set)
    assert lse.isfinite().all()
    grads = [torch.empty(x.shape, dtype=x.dtype) for x in inputs[:3]]
    grad_bias = module._differentiate_cpu(grad_out, *inputs, out, lse, *tables, *grads, instruction_set)
    return [out, *grads, grad_bias]


def assert_close(got, expected, tolerance):
    """Equal as vectors: by relative L2 distance and by direction."""
    for name, x, y in zip(("out", *NAMES), got, expected, strict=True):
        x = x.detach().double()
        assert x.shape == y.shape
        assert x.isfinite().all(), name
        if not y.any():
            assert x.numel() == 0 or x.abs().max() <= tolerance, name
            continue
        assert (x - y).norm() <= tolerance * y.norm(), f"{name}: {(x - y).norm() / y.norm():.1e}"
        assert torch.cosine_similarity(x.flatten(), y.flatten(), dim=0) > 1 - tolerance, name


@pytest.fixture(params=INSTRUCTION_SETS)
def instruction_set(request):
    if request.param not in _C.instruction_sets():
        pytest.skip(f"this machine cannot run {request.param}")
    return request.param


# Around the vectors of 16, the panels of 64 queries and the blocks of 256 keys.
SIZES = [1, 2, 3, 15, 16, 17, 31, 32, 33, 63, 64, 65, 0, 97, 250, 255, 256, 257, 300, 513]


@pytest.mark.parametrize("dtype", TOLERANCE, ids=str)
@pytest.mark.parametrize("d_head", [8, 16, 24, 32, 40, 64, 80, 128])
def test_sizes_and_head_dims(instruction_set, d_head, dtype, generator):
    batch = make_batch(SIZES, 2, d_head, dtype)
    grad_out = torch.randn(batch[0][:, 0].shape, generator=generator).to(dtype)
    assert_close(native(*batch, grad_out, instruction_set), exact(*batch, grad_out), TOLERANCE[dtype])


@pytest.mark.parametrize("dtype", TOLERANCE, ids=str)
def test_a_crystal_of_2000_atoms(instruction_set, dtype, generator):
    batch = make_batch([3, 2000], 1, 32, dtype)
    grad_out = torch.randn(batch[0][:, 0].shape, generator=generator).to(dtype)
    assert_close(native(*batch, grad_out, instruction_set), exact(*batch, grad_out), TOLERANCE[dtype])


@settings(max_examples=60, deadline=None, derandomize=True)
@given(
    sizes=st.lists(st.integers(0, 70), min_size=1, max_size=6),
    n_heads=st.integers(1, 4),
    d_head=st.sampled_from(range(8, 129, 8)),
    degree=st.integers(0, 5),
    scale=st.sampled_from([0.01, 1.0, 3.0]),
    dtype=st.sampled_from(sorted(TOLERANCE, key=str)),
    seed=st.integers(0, 2**32 - 1),
)
def test_ragged_batches(sizes, n_heads, d_head, degree, scale, dtype, seed):
    batch = make_batch(sizes, n_heads, d_head, dtype, seed, degree, scale)
    grad_out = torch.randn(batch[0][:, 0].shape, generator=torch.Generator().manual_seed(seed)).to(dtype)
    expected = exact(*batch, grad_out)
    for name in _C.instruction_sets():
        got = native(*batch, grad_out, name)
        assert (got[0].double() - expected[0]).norm() <= 3 * TOLERANCE[dtype] * expected[0].norm()
        # Where nearly all weight is on one atom, gradients of q and k are small differences of large numbers.
        magnitude = max(1.0, *(float(x.norm()) for x in expected))
        for x, y in zip(got[1:], expected[1:], strict=True):
            assert (x.double() - y).norm() <= 3 * TOLERANCE[dtype] * magnitude


def test_reference_is_the_dense_formula(generator):
    """Written once more without packing: one matrix of logits for the whole batch, other crystals masked."""
    sizes, n = [4, 1, 7], 12
    q, k, v = torch.randn(3, n, 2, 5, generator=generator, dtype=torch.float64)
    cu_seqlens = torch.tensor([0, 4, 5, 12], dtype=torch.int32)
    # a duplicate, a self-loop, and atoms without bonds
    bond_index = torch.tensor([[9, 0, 0, 4, 3, 0, 11], [5, 1, 1, 4, 0, 3, 10]])
    bias = torch.randn(7, 2, generator=generator, dtype=torch.float64)
    logits = torch.einsum("ihd,jhd->hij", q, k) / 5**0.5
    for source, target, value in zip(*bond_index.tolist(), bias, strict=True):
        logits[:, source, target] += value
    owner = torch.repeat_interleave(torch.arange(3), torch.tensor(sizes))
    weights = logits.masked_fill(owner[:, None] != owner, -torch.inf).softmax(-1)
    bonds = bond_table(bond_index, cu_seqlens)
    out = reference.bond_attention(q, k, v, bias[bonds.order], cu_seqlens, bonds)
    torch.testing.assert_close(out, torch.einsum("hij,jhd->ihd", weights, v))


def test_gradients_of_the_reference(generator):
    qkv, edge_bias, cu_seqlens, bonds = make_batch([3, 1, 4], 2, 3)
    inputs = [x.detach().double().requires_grad_() for x in (*qkv.unbind(1), edge_bias)]
    assert torch.autograd.gradcheck(lambda *x: reference.bond_attention(*x, cu_seqlens, bonds), inputs)


def test_table_sorts_by_source_and_keeps_the_order_of_duplicates():
    bond_index = torch.tensor([[4, 0, 2, 0, 4, 0], [3, 1, 2, 0, 3, 1]])
    bonds = bond_table(bond_index, torch.tensor([0, 3, 5], dtype=torch.int32))
    assert bonds.order.tolist() == [1, 3, 5, 2, 0, 4]
    assert bonds.row_ptr.tolist() == [0, 3, 3, 4, 4, 6]
    assert bonds.column.tolist() == [1, 0, 1, 2, 3, 3]
    assert bonds.row_ptr.dtype == bonds.column.dtype == torch.int32


def test_order_of_the_callers_edges_does_not_matter(generator):
    qkv, _, cu_seqlens, _ = make_batch([20, 5])
    bond_index = torch.randint(0, 20, (2, 60), generator=generator)
    bias = torch.randn(60, 2, generator=generator)
    outs = []
    for order in (torch.arange(60), torch.randperm(60, generator=generator)):
        bonds = bond_table(bond_index[:, order], cu_seqlens)
        outs.append(bond_attention(*qkv.unbind(1), bias[order][bonds.order], cu_seqlens, bonds))
    torch.testing.assert_close(*outs, rtol=1e-5, atol=1e-6)


def test_no_bonds_no_atoms_no_crystals():
    for sizes in ([4, 9], [0, 0], []):
        qkv, edge_bias, cu_seqlens, bonds = make_batch(sizes, degree=0)
        inputs = [x.requires_grad_() for x in (*qkv.unbind(1), edge_bias)]
        out = bond_attention(*inputs, cu_seqlens, bonds)
        grads = torch.autograd.grad(out.square().sum(), inputs)
        torch.testing.assert_close(out, reference.bond_attention(*inputs, cu_seqlens, bonds), rtol=1e-5, atol=1e-6)
        assert all(g.isfinite().all() for g in grads)
        assert grads[3].shape == (0, 2)


def test_a_lone_atom_sees_itself_only():
    qkv, edge_bias, cu_seqlens, bonds = make_batch([1, 1, 1], degree=3)
    q, k, v = (x.requires_grad_() for x in qkv.unbind(1))
    out = bond_attention(q, k, v, edge_bias, cu_seqlens, bonds)
    torch.testing.assert_close(out, v)
    grad_q, grad_v = torch.autograd.grad(out.sum(), (q, v))
    torch.testing.assert_close(grad_v, torch.ones_like(v))
    torch.testing.assert_close(grad_q, torch.zeros_like(q), rtol=0, atol=1e-6)


def test_views_of_one_projection_are_not_copied_and_equal_copies(generator):
    qkv, edge_bias, cu_seqlens, bonds = make_batch([31, 40], 3, 24)
    expected = bond_attention(*(x.contiguous() for x in qkv.unbind(1)), edge_bias, cu_seqlens, bonds)
    heads_first = qkv.permute(1, 2, 0, 3).contiguous().permute(2, 0, 1, 3)
    padded = torch.full((71, 3, 3, 40), torch.nan)
    padded[..., 8:32] = qkv
    for views in (qkv.unbind(1), heads_first.unbind(1), padded[..., 8:32].unbind(1)):
        assert not any(x.is_contiguous() for x in views)
        assert torch.equal(bond_attention(*views, edge_bias, cu_seqlens, bonds), expected)
    strided_bias = edge_bias.T.contiguous().T
    assert torch.equal(bond_attention(*qkv.unbind(1), strided_bias, cu_seqlens, bonds), expected)


def test_gradient_of_any_layout(generator):
    qkv, edge_bias, cu_seqlens, bonds = make_batch([31, 40], 3, 24)
    qkv.requires_grad_()
    grad_out = torch.randn(24, 71, 3, generator=generator).permute(1, 2, 0)
    grads = []
    for grad in (grad_out, grad_out.contiguous()):
        out = bond_attention(*qkv.unbind(1), edge_bias, cu_seqlens, bonds)
        grads += torch.autograd.grad(out, qkv, grad)
    assert torch.equal(*grads)
    (expanded,) = torch.autograd.grad(bond_attention(*qkv.unbind(1), edge_bias, cu_seqlens, bonds).sum(), qkv)
    assert expanded.isfinite().all()


@pytest.mark.parametrize("n_threads", [2, 3, 8])
def test_the_number_of_threads_changes_no_bit(n_threads, generator):
    batch = make_batch([5, 300, 17, 80], 3, 40)
    grad_out = torch.randn(batch[0][:, 0].shape, generator=generator)
    expected = native(*batch, grad_out)
    torch.set_num_threads(n_threads)
    try:
        got = native(*batch, grad_out)
    finally:
        torch.set_num_threads(1)
    assert all(torch.equal(x, y) for x, y in zip(got, expected, strict=True))


def test_a_crystal_does_not_depend_on_the_others():
    qkv, edge_bias, cu_seqlens, bonds = make_batch([40, 300, 7])
    together = bond_attention(*qkv.unbind(1), edge_bias, cu_seqlens, bonds)
    changed = qkv.clone()
    changed[340:] = torch.nan
    out = bond_attention(*changed.unbind(1), edge_bias, cu_seqlens, bonds)
    assert torch.equal(out[:340], together[:340])
    assert out[340:].isnan().all()


def test_large_logits_and_biases():
    """Weights as of a maximum; nothing overflows. -inf hides a pair, as in the reference."""
    qkv, edge_bias, cu_seqlens, bonds = make_batch([50, 290], 2, 32, scale=30.0)
    edge_bias *= 100.0
    edge_bias[::7] = -torch.inf
    out = bond_attention(*qkv.unbind(1), edge_bias, cu_seqlens, bonds)
    expected = reference.bond_attention(*(x.double() for x in qkv.unbind(1)), edge_bias.double(), cu_seqlens, bonds)
    # Logits of some thousands are known to 3e-4 in float32.
    assert (out.double() - expected).norm() < 2e-3 * expected.norm()


def test_nan_shows():
    qkv, edge_bias, cu_seqlens, bonds = make_batch([20, 20])
    edge_bias[0] = torch.nan
    row = int((bonds.row_ptr > 0).nonzero()[0]) - 1
    out = bond_attention(*qkv.unbind(1), edge_bias, cu_seqlens, bonds)
    assert out[row].isnan().all()
    assert out.isnan().sum() == out[row].numel()


@pytest.mark.parametrize("dtype", TOLERANCE, ids=str)
@pytest.mark.parametrize("fused", [False, True], ids=["q, k, v", "qkv"])
def test_registered_with_torch(fused, dtype):
    qkv, edge_bias, cu_seqlens, bonds = make_batch([3, 17], 2, 8, dtype)
    projections = [x.detach().requires_grad_() for x in ([qkv] if fused else qkv.unbind(1))]
    tiles = [bonds.row_ptr, bonds.column]  # the CPU kernel has no use for them
    arguments = (projections, edge_bias.requires_grad_(), cu_seqlens, bonds.row_ptr, bonds.column, tiles)
    torch.library.opcheck(torch.ops.packflow.bond_attention.default, arguments, rtol=1e-2, atol=1e-2)


def test_autograd_through_the_public_function(generator):
    batch = make_batch([30, 5, 64], 4, 32)
    qkv, edge_bias, cu_seqlens, bonds = batch
    grad_out = torch.randn(99, 4, 32, generator=generator)
    inputs = [x.detach().requires_grad_() for x in (*qkv.unbind(1), edge_bias)]
    out = bond_attention(*inputs, cu_seqlens, bonds)
    assert_close([out, *torch.autograd.grad(out, inputs, grad_out)], exact(*batch, grad_out), TOLERANCE[torch.float32])


@pytest.mark.parametrize("dtype", TOLERANCE, ids=str)
def test_one_projection_equals_its_slices(dtype, generator):
    qkv, edge_bias, cu_seqlens, bonds = make_batch([30, 5, 300], 3, 24, dtype)
    inputs = qkv.requires_grad_(), edge_bias.requires_grad_()
    grad_out = torch.randn(335, 3, 24, generator=generator).to(dtype)
    wide = torch.nn.functional.pad(qkv, (8, 8))[..., 8:-8]
    outs = [
        bond_attention(*qkv.unbind(1), edge_bias, cu_seqlens, bonds),
        bond_attention_qkv(qkv, edge_bias, cu_seqlens, bonds),
        bond_attention_qkv(wide, edge_bias, cu_seqlens, bonds),
    ]
    results = [(out, *torch.autograd.grad(out, inputs, grad_out)) for out in outs]
    for result in results[1:]:
        assert all(torch.equal(x, y) for x, y in zip(result, results[0], strict=True))


def test_the_gradient_of_one_projection_is_not_copied(generator):
    qkv, edge_bias, cu_seqlens, bonds = make_batch([30, 5], 2, 16)
    out = bond_attention_qkv(qkv.requires_grad_(), edge_bias, cu_seqlens, bonds)
    with torch.profiler.profile() as profile:
        torch.autograd.grad(out, qkv, torch.randn(35, 2, 16, generator=generator))
    names = {event.name for event in profile.events()}
    assert "packflow::bond_attention_backward" in names
    assert not names & {"aten::copy_", "aten::cat", "aten::stack", "aten::add", "aten::clone"}


def test_inputs_stay_as_they_were():
    qkv, edge_bias, cu_seqlens, bonds = make_batch([30, 5])
    before = [x.clone() for x in (qkv, edge_bias, cu_seqlens, bonds.row_ptr, bonds.column)]
    native(qkv, edge_bias, cu_seqlens, bonds, torch.ones(35, 2, 16))
    assert all(torch.equal(x, y) for x, y in zip((qkv, edge_bias, cu_seqlens, bonds.row_ptr, bonds.column), before, strict=True))


@pytest.mark.gpu
@pytest.mark.parametrize("dtype", TOLERANCE, ids=str)
@pytest.mark.parametrize("d_head", [16, 32, 40, 64, 80])
def test_cuda_equals_the_reference(d_head, dtype, generator):
    qkv, edge_bias, cu_seqlens, bonds = make_batch([1, 31, 64, 65, 250, 600], 3, d_head, dtype)
    table = bond_table(torch.zeros(2, 0, dtype=torch.int64, device="cuda"), cu_seqlens.cuda())
    assert table.row_ptr.is_cuda
    source = torch.repeat_interleave(torch.arange(len(qkv)), bonds.row_ptr.diff().long())
    on_gpu = bond_table(torch.stack([source, bonds.column.long()]).cuda(), cu_seqlens.cuda())
    grad_out = torch.randn(qkv[:, 0].shape, generator=generator).to(dtype)
    inputs = [x.detach().cuda().requires_grad_() for x in (*qkv.unbind(1), edge_bias)]
    out = bond_attention(*inputs, cu_seqlens.cuda(), on_gpu)
    grads = torch.autograd.grad(out, inputs, grad_out.cuda())
    expected = exact(qkv, edge_bias, cu_seqlens, bonds, grad_out)
    assert_close([x.cpu() for x in (out, *grads)], expected, {torch.float32: 1e-5, torch.bfloat16: 1e-2}[dtype])
