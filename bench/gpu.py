"""What a GPU makes of it: python bench/gpu.py [step] [sample] [campaign] [attention] [periodic] [energy]

step:      an evaluation of the network against the released algorithm (padded, dense bias, all computed anew) on the same GPU.
sample:    proposals per second by the number of atoms sampled at once, with and without replayed stages.
campaign:  proposals per second into a store, by the number of processes that share the GPU.
attention: forward, and with gradients, against torch's attention with a dense bias.
periodic:  neighbors, clash, rdf and amd against the same op on one CPU thread.
energy:    the MMFF potential and relaxations with it against one CPU thread.

Correctness is asserted first; times are of one process with the GPU to itself, ratios are printed.
"""

from __future__ import annotations

import json
import random
import statistics
import sys
import tempfile
import time
from functools import partial
from pathlib import Path

import torch
from bench_relax import starts
from cases import packed, sizes_of_crystals
from harness import compare
from padded import dense_bias, molecule_bonds, padded_velocity, places, ragged, random_state, random_template
from torch.nn.functional import scaled_dot_product_attention

import packflow
from packflow import ops
from packflow.campaign import Job, run
from packflow.campaign.processes import processes
from packflow.flow.draws import draws_of
from packflow.flow.integrate import Integration
from packflow.flow.sampler import SampleConfig, Sampler
from packflow.flow.trajectory import DTYPES, at_precision
from packflow.model import ModelConfig, PackFlow
from packflow.model.inference import for_inference
from packflow.potential.mmff import Mmff
from packflow.relax.relax import RelaxConfig, relax
from packflow.structure import Molecule, Template
from packflow.structure.full import FullBatch


def near(bound: float, ours: object, theirs: object) -> None:
    """Every pair of tensors is equal within a bound, as vectors."""
    for x, y in zip(ours, theirs, strict=True):
        assert (x.float().cpu() - y.float().cpu()).norm() <= bound * y.float().norm().cpu()


@torch.inference_mode()
def step() -> None:
    """The network of two recipes, equal and mixed crystals."""
    generator = random.Random(2)
    mixed = [generator.randint(15, 200) for _ in range(256)]
    for recipe, config in (("base-2m", ModelConfig()), ("base-60m", ModelConfig(640, 10, 2560, 12))):
        model = PackFlow(config).eval().cuda()
        for name, sizes in (("32 of 60 atoms", [60] * 32), ("256 of 60 atoms", [60] * 256), ("256 of 15 to 200 atoms", mixed)):
            template, state = random_template(sizes).to("cuda"), [x.cuda() for x in random_state(sizes)]
            for precision, bound in (("float32", 1e-3), ("bf16", 5e-2)):
                fast = for_inference(model, DTYPES[precision])
                with at_precision(precision, "cuda"):
                    condition, times = fast.condition(template), fast.times(*state[2:])

                def ours(fast=fast, condition=condition, times=times, state=state, precision=precision):
                    with at_precision(precision, "cuda"):
                        return fast.velocity(*state[:2], times, condition)

                theirs = partial(padded_velocity, model, template, state)
                compare(
                    "step",
                    f"{recipe} {name}, {precision}",
                    "padded, dense bias",
                    ours,
                    theirs,
                    partial(near, bound),
                    ("crystals", len(sizes)),
                    device="cuda",
                )


def sample() -> None:
    """Trajectories of aspirin cells with the installed weights."""
    template = Template(Molecule.from_smiles("CC(=O)Oc1ccccc1C(=O)O"), 4)
    model = packflow.load().cuda()
    replay = Integration._replay
    for precision in ("float32", "bf16"):
        for max_atoms in (4160, 133120):
            draws = list(draws_of(template, max_atoms // template.n_atoms, 0))
            row: dict[str, object] = {"case": f"sample, multistep:20, {precision}", "atoms_at_once": max_atoms}
            for name, method in (("replayed", replay), ("launched", lambda self, number: self._advance())):
                Integration._replay = method  # type: ignore[method-assign]
                sampler = Sampler(model, SampleConfig(20, "multistep", precision=precision))
                seconds = []
                for _ in range(4):
                    torch.cuda.synchronize()
                    start = time.perf_counter()
                    sampler.sample(draws)
                    torch.cuda.synchronize()
                    seconds.append(time.perf_counter() - start)
                row[f"{name}_proposals_per_s"] = len(draws) / statistics.median(seconds[1:])
                row[f"{name}_first_s"] = seconds[0]
                torch.cuda.synchronize()
                start = time.perf_counter()
                assert sampler.trajectory is not None
                with torch.inference_mode():
                    x = sampler.trajectory.integration.state
                    sampler.trajectory.integration.run(torch.randn_like(x[0]), torch.randn_like(x[1]))
                torch.cuda.synchronize()
                row[f"{name}_integration_per_s"] = len(draws) / (time.perf_counter() - start)
            row["peak_bytes_per_atom"] = torch.cuda.max_memory_allocated() / max_atoms
            torch.cuda.reset_peak_memory_stats()
            print(json.dumps(row), flush=True)


def campaign() -> None:
    """Aspirin cells, 20 steps in bf16, with the work of the store."""
    model = packflow.load().cuda()
    config = SampleConfig(20, "multistep", precision="bf16")
    for n_workers in (1, 2, 4, 8):
        jobs = [Job.of("aspirin", "CC(=O)Oc1ccccc1C(=O)O", 4, 2560 * 4 * n_workers)]
        with tempfile.TemporaryDirectory() as folder:
            times = []
            executor = partial(processes, n_workers=n_workers, n_threads=n_workers)
            for result in run(model, jobs, Path(folder) / "store", config, max_atoms=2560 * 52, executor=executor):
                assert not result.problem, result.problem
                times.append(time.perf_counter())
        # each worker's first unit is not counted: it starts a process and compiles
        per_second = 2560 * (len(times) - n_workers) / (times[-1] - times[n_workers - 1])
        print(json.dumps({"case": "campaign, multistep:20, bf16", "workers": n_workers, "proposals_per_s": per_second}), flush=True)


def energy() -> None:
    """Measured crystals of the tests, strained and displaced."""
    torch.set_num_threads(1)
    structures = starts(512)
    batch = FullBatch.pack(structures)
    prepared = [Mmff().prepare(some) for some in (batch.to("cuda"), batch)]
    places = [(some.positions, some.cell) for some in (batch.to("cuda"), batch)]

    def evaluated(k: int) -> list[torch.Tensor]:
        found = prepared[k].evaluate(*places[k])
        return [found.energy, found.forces, found.stress]

    name, count = f"{len(structures)} crystals, {len(batch.positions)} atoms", ("structures", float(len(structures)))
    peer = "ours, one CPU thread"
    compare("mmff", name, peer, partial(evaluated, 0), partial(evaluated, 1), partial(near, 1e-9), count, device="cuda")
    for device, some, max_atoms in (("cuda", structures, 40_000), ("cpu", structures[:32], 2000)):
        start = time.perf_counter()
        results = list(relax(Mmff(), some, RelaxConfig(max_atoms=max_atoms), device))
        row: dict[str, object] = {"case": "relax, mmff", "device": device, "structures": len(some)}
        row |= {"per_s": len(some) / (time.perf_counter() - start), "converged": sum(r.converged for r in results)}
        row |= {"median_energy_of_first_32": statistics.median(r.energy for r in results if r.index < 32)}
        print(json.dumps(row), flush=True)


def attention() -> None:
    """Both dtypes, ragged and equal batches."""
    for dtype, bound in ((torch.float32, 2e-3), (torch.bfloat16, 2e-2)):
        for name, sizes in (("256 x 60", [60] * 256), ("64 x 250", [250] * 64), ("256 ragged", ragged() * 8)):
            attention_of(f"{name}, 8 x 32, {str(dtype)[6:]}", sizes, dtype, bound)


def attention_of(name: str, sizes: list[int], dtype: torch.dtype, bound: float) -> None:
    """One batch."""
    cu_seqlens = torch.tensor([0, *torch.tensor(sizes).cumsum(0).tolist()], dtype=torch.int32).cuda()
    bonds = ops.bond_table(molecule_bonds(sizes).cuda(), cu_seqlens)
    place = tuple(x.cuda() for x in places(sizes))
    qkv = torch.randn(sum(sizes), 3, 8, 32, device="cuda", dtype=dtype, requires_grad=True)
    edge_bias = torch.randn(len(bonds.column), 8, device="cuda", requires_grad=True)
    grad = torch.randn(sum(sizes), 8, 32, device="cuda", dtype=dtype)

    def ours():
        return ops.bond_attention_qkv(qkv, edge_bias, cu_seqlens, bonds)

    def theirs():
        x = qkv.new_zeros(len(sizes), max(sizes), 3, 8, 32).index_put(place, qkv)
        bias = dense_bias(sizes, bonds, place, edge_bias).to(dtype)
        return scaled_dot_product_attention(*x.permute(2, 0, 3, 1, 4), attn_mask=bias).transpose(1, 2)[place]

    def gradients(attend):
        return torch.autograd.grad(attend(), (qkv, edge_bias), grad)

    flop = sum(4.0 * n * n for n in sizes) * 256
    agree = partial(near, bound)
    with torch.no_grad():
        compare(
            "attention", f"forward {name}", "sdpa, dense bias", ours, theirs, lambda x, y: agree([x], [y]), ("flop", flop), device="cuda"
        )
    compare(
        "attention",
        f"with gradients {name}",
        "sdpa, dense bias",
        partial(gradients, ours),
        partial(gradients, theirs),
        agree,
        ("flop", 3.5 * flop),
        device="cuda",
    )


def periodic() -> None:
    """2,048 crystals of the training set's sizes."""
    torch.set_num_threads(1)
    on_cpu = packed("2048 ragged", sizes_of_crystals(2048, torch.Generator().manual_seed(1)))
    x, cell, ptr, radii = (
        t.double() if t.is_floating_point() else t for t in (on_cpu.positions, on_cpu.cell, on_cpu.atom_ptr, on_cpu.radii)
    )
    calls = {
        "clash": lambda x, cell, ptr, radii: [ops.clash(x, cell, ptr, radii)],
        "neighbors": lambda x, cell, ptr, radii: [ops.neighbors(x, cell, ptr, 6.0).pair_index],
        "rdf": lambda x, cell, ptr, radii: [ops.rdf(x, cell, ptr)],
        "amd": lambda x, cell, ptr, radii: [ops.amd(x, cell, ptr)],
    }

    def equal(ours: object, theirs: object) -> None:
        for one, other in zip(ours, theirs, strict=True):
            torch.testing.assert_close(one.cpu(), other, rtol=1e-9, atol=0)

    for name, call in calls.items():
        compare(
            name,
            on_cpu.name,
            "ours, one CPU thread",
            partial(call, *(t.cuda() for t in (x, cell, ptr, radii))),
            partial(call, x, cell, ptr, radii),
            equal,
            ("atoms", len(x)),
            device="cuda",
        )


if __name__ == "__main__":
    parts = {"step": step, "sample": sample, "campaign": campaign, "attention": attention, "periodic": periodic, "energy": energy}
    for part in sys.argv[1:] or parts:
        parts[part]()
