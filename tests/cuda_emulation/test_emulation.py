"""The emulation finds the mistakes that it is there to find."""

import functools
import subprocess
import sys

import pytest

# One block of 64 threads reverses 64 numbers through shared memory.
REVERSE = """
#include "cuda_runtime.h"
__global__ void reverse(int* x) {
  __shared__ int tile[64];
  const int t = threadIdx.x;
  @BODY@
}
extern "C" void run(int* x, int order) {
  emulation::order = static_cast<emulation::Order>(order);
  cudaLaunchConfig_t config = {};
  config.blockDim = dim3(64);
  cudaLaunchKernelEx(&config, reverse, x);
}
"""
RIGHT = "tile[t] = x[t]; __syncthreads(); x[t] = tile[63 - t];"
NO_BARRIER = "tile[t] = x[t]; x[t] = tile[63 - t];"
SOME_SKIP_THE_BARRIER = "tile[t] = x[t]; if (t < 40) { __syncthreads(); } x[t] = tile[63 - t];"
OUT_OF_BOUNDS = "tile[t] = x[t]; __syncthreads(); x[t] = tile[64 - t];"
PAST_THE_INPUT = "tile[t] = x[t]; __syncthreads(); x[t + 1] = tile[63 - t];"
UNWRITTEN = "if (t != 5) { tile[t] = x[t]; } __syncthreads(); x[t] = tile[63 - t];"
WARP = "tile[t] = __shfl_xor_sync(~0u, x[t], 31); x[t] = __ballot_sync(~0u, t % 2) == 0xaaaaaaaau ? tile[t] : -1;"
# Sums of the values of a lane and all below it.
SCAN = """
  int sum = x[t];
  for (int delta = 1; delta < 32; delta *= 2) {
    const int below = __shfl_up_sync(~0u, sum, delta);
    if (t % 32 >= delta) sum += below;
  }
  tile[t] = sum;
  x[t] = tile[t];
"""
# The upper half of a double, and a sum of 64 ones.
BITS_AND_ATOMICS = """
  tile[0] = 0;
  __syncthreads();
  atomicAdd(&tile[0], 1);
  __syncthreads();
  x[t] = t % 2 ? tile[0] : int(__double_as_longlong(2.0) >> 32);
"""
PROGRAM = """
import ctypes, sys
x = (ctypes.c_int * 64)(*range(64))
ctypes.CDLL(sys.argv[1]).run(x, int(sys.argv[2]))
print(*x)
"""


@pytest.fixture(scope="module")
def compiled(emulate, tmp_path_factory):
    """A function that makes the library of a kernel with this body."""

    @functools.cache
    def compiled(body, sanitize):
        source = tmp_path_factory.mktemp("reverse") / "reverse.cpp"
        source.write_text(REVERSE.replace("@BODY@", body))
        return emulate(source, sanitize)

    return compiled


@pytest.fixture
def run(compiled, sanitizer_environment):
    def run(body, order=0, sanitize=False):
        command = [sys.executable, "-c", PROGRAM, str(compiled(body, sanitize)), str(order)]
        return subprocess.run(command, capture_output=True, text=True, env=sanitizer_environment if sanitize else None, check=False)

    return run


REVERSED = list(range(63, -1, -1))


@pytest.mark.parametrize("order", [0, 1, 2])
def test_right_kernel(run, order):
    assert [*map(int, run(RIGHT, order).stdout.split())] == REVERSED


def test_missing_barrier_gives_other_results_and_reads_unwritten_memory(run):
    results = [[*map(int, run(NO_BARRIER, order).stdout.split())] for order in (0, 1, 2)]
    assert all(r != REVERSED for r in results)
    assert len({tuple(r) for r in results}) == 3
    assert all(-1 in r for r in results)  # 0xffffffff


def test_divergent_barrier(run):
    result = run(SOME_SKIP_THE_BARRIER)
    assert result.returncode != 0
    assert "deadlock: not all threads reach the same barrier" in result.stderr


def test_unwritten_shared_memory(run):
    assert [*map(int, run(UNWRITTEN).stdout.split())][58] == -1


def test_shared_array_out_of_bounds(run):
    result = run(OUT_OF_BOUNDS, sanitize=True)
    assert result.returncode != 0
    assert "index 64 out of bounds" in result.stderr


def test_input_out_of_bounds(run):
    result = run(PAST_THE_INPUT, sanitize=True)
    assert result.returncode != 0
    assert "heap-buffer-overflow" in result.stderr


def test_warp_collectives(run):
    expected = [t ^ 31 for t in range(64)]
    assert [*map(int, run(WARP, order=2).stdout.split())] == expected


@pytest.mark.parametrize("order", [0, 1, 2])
def test_scan_by_shuffles(run, order):
    expected = [sum(range(t // 32 * 32, t + 1)) for t in range(64)]
    assert [*map(int, run(SCAN, order).stdout.split())] == expected


def test_bits_and_atomics(run):
    assert [*map(int, run(BITS_AND_ATOMICS, order=2).stdout.split())] == 32 * [0x40000000, 64]
