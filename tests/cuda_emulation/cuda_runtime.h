// Stands in for the CUDA header of this name, so that g++ compiles our .cu files to run on the CPU: for tests only.
//
// A thread is a fibre that runs until it meets a barrier; blocks run one after another. Every round runs the fibres of
// a block in ascending, descending or random order, so that a result that hangs on the order differs between runs.
// Shared memory is filled with 0xff (NaN) before each block. A barrier that not all threads reach aborts.
//
// Not emulated: races between blocks, the memory model, dynamic shared memory, and warp collectives of which different
// lanes of one warp run different ones at a time.
#pragma once

#include <link.h>
#include <ucontext.h>

#include <algorithm>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <functional>
#include <memory>
#include <numeric>
#include <random>
#include <vector>

#define __global__
#define __device__
#define __host__
#define __forceinline__ inline
#define __launch_bounds__(...)
// Thread-local, because all such variables of a library lie in one range, which fill_shared_memory overwrites.
#define __shared__ static thread_local

struct dim3 {
  unsigned x, y, z;
  dim3(unsigned x = 1, unsigned y = 1, unsigned z = 1) : x(x), y(y), z(z) {}
};
using cudaStream_t = struct CUstream_st*;
using cudaError_t = int;
constexpr cudaError_t cudaSuccess = 0;
struct cudaLaunchConfig_t {
  dim3 gridDim, blockDim;
  size_t dynamicSmemBytes;
  cudaStream_t stream;
};
inline const char* cudaGetErrorString(cudaError_t) { return "emulated"; }

inline dim3 threadIdx, blockIdx, blockDim, gridDim;

namespace emulation {

enum class Order { kAscending, kDescending, kRandom };
inline Order order = Order::kAscending;

constexpr size_t kStackBytes = 64 << 10;
constexpr unsigned kWarpSize = 32;

struct Barrier {
  unsigned generation = 0, arrived = 0;
};

struct Fibre {
  ucontext_t context;
  std::unique_ptr<char[]> stack;
  dim3 thread;
  bool done;
};

inline std::vector<Fibre> fibres;
inline ucontext_t scheduler;
inline unsigned current, n_threads, n_alive;
inline Barrier block_barrier;
inline std::vector<Barrier> warp_barriers;
inline std::vector<uint64_t> lane_values;
inline std::function<void()> kernel_call;

[[noreturn]] inline void fail(const char* message) {
  std::fprintf(stderr, "cuda_emulation: %s in block %u\n", message, blockIdx.x);
  std::abort();
}

inline void wait(Barrier& barrier, unsigned n_wanted) {
  const unsigned generation = barrier.generation;
  if (++barrier.arrived == n_wanted) {
    barrier.arrived = 0;
    ++barrier.generation;
  }
  while (barrier.generation == generation) swapcontext(&fibres[current].context, &scheduler);
}

inline void fibre_main() {
  kernel_call();
  fibres[current].done = true;
  --n_alive;
  swapcontext(&fibres[current].context, &scheduler);
}

inline thread_local char in_shared_memory;

/// Finds the thread-local range of the library that this code is in.
inline int find_shared_memory(dl_phdr_info* library, size_t, void* range) {
  for (int k = 0; k < library->dlpi_phnum; ++k) {
    const auto& segment = library->dlpi_phdr[k];
    char* const first = static_cast<char*>(library->dlpi_tls_data);
    if (segment.p_type != PT_TLS || first == nullptr) continue;
    if (&in_shared_memory < first || &in_shared_memory >= first + segment.p_memsz) continue;
    *static_cast<std::pair<char*, size_t>*>(range) = {first, segment.p_memsz};
    return 1;
  }
  return 0;
}

inline void fill_shared_memory() {
  in_shared_memory = 0;
  static std::pair<char*, size_t> range;
  if (range.first == nullptr && !dl_iterate_phdr(find_shared_memory, &range)) fail("found no shared memory");
  std::memset(range.first, 0xff, range.second);
}

inline void start_block() {
  n_alive = n_threads;
  block_barrier = {};
  warp_barriers.assign((n_threads + kWarpSize - 1) / kWarpSize, {});
  lane_values.assign(warp_barriers.size() * kWarpSize, 0);
  fill_shared_memory();
  for (unsigned t = 0; t < n_threads; ++t) {
    Fibre& fibre = fibres[t];
    if (!fibre.stack) fibre.stack.reset(new char[kStackBytes]);
    fibre.done = false;
    fibre.thread = dim3(t % blockDim.x, t / blockDim.x % blockDim.y, t / (blockDim.x * blockDim.y));
    getcontext(&fibre.context);
    fibre.context.uc_stack.ss_sp = fibre.stack.get();
    fibre.context.uc_stack.ss_size = kStackBytes;
    fibre.context.uc_link = &scheduler;
    makecontext(&fibre.context, fibre_main, 0);
  }
}

/// Changes whenever a thread ended or arrived at a barrier.
inline uint64_t progress() {
  uint64_t sum = n_threads - n_alive;
  for (const Barrier& b : warp_barriers) sum += uint64_t(b.generation) * n_threads + b.arrived;
  return sum + uint64_t(block_barrier.generation) * n_threads + block_barrier.arrived;
}

inline void run_block(std::mt19937& random) {
  start_block();
  std::vector<unsigned> turn(n_threads);
  std::iota(turn.begin(), turn.end(), 0u);
  if (order == Order::kDescending) std::reverse(turn.begin(), turn.end());
  while (n_alive > 0) {
    if (order == Order::kRandom) std::shuffle(turn.begin(), turn.end(), random);
    const uint64_t before = progress();
    for (unsigned t : turn) {
      if (fibres[t].done) continue;
      current = t;
      threadIdx = fibres[t].thread;
      swapcontext(&scheduler, &fibres[t].context);
    }
    if (progress() == before) fail("deadlock: not all threads reach the same barrier");
  }
}

inline unsigned lane() { return current % kWarpSize; }

/// A warp collective: every lane gives a value, then calls read(values of the warp).
template <class T, class Read>
auto collect(unsigned mask, T value, Read read) {
  static_assert(sizeof(T) <= sizeof(uint64_t));
  const unsigned warp = current / kWarpSize, n_lanes = __builtin_popcount(mask);
  if (!(mask >> lane() & 1)) fail("warp collective called by a lane that its mask leaves out");
  std::memcpy(&lane_values[current], &value, sizeof(T));
  wait(warp_barriers[warp], n_lanes);
  const auto result = read(&lane_values[warp * kWarpSize]);
  wait(warp_barriers[warp], n_lanes);
  return result;
}

/// What one lane of the warp gave, seen by all that take part.
template <class T>
T exchange(unsigned mask, T value, unsigned source) {
  if (!(mask >> source & 1)) fail("warp collective reads a lane that its mask leaves out");
  return collect(mask, value, [=](const uint64_t* values) {
    T result;
    std::memcpy(&result, values + source, sizeof(T));
    return result;
  });
}

}  // namespace emulation

inline void __syncthreads() { emulation::wait(emulation::block_barrier, emulation::n_threads); }
inline void __syncwarp(unsigned mask = ~0u) {
  emulation::wait(emulation::warp_barriers[emulation::current / 32], __builtin_popcount(mask));
}
template <class T>
T __shfl_sync(unsigned mask, T value, int source) {
  return emulation::exchange(mask, value, source % 32);
}
template <class T>
T __shfl_xor_sync(unsigned mask, T value, int lane_mask) {
  return emulation::exchange(mask, value, emulation::lane() ^ lane_mask);
}
template <class T>
T __shfl_up_sync(unsigned mask, T value, unsigned delta) {
  const unsigned lane = emulation::lane();
  return emulation::exchange(mask, value, delta <= lane ? lane - delta : lane);
}
template <class T>
T __shfl_down_sync(unsigned mask, T value, unsigned delta) {
  const unsigned source = emulation::lane() + delta;
  return emulation::exchange(mask, value, source < 32 ? source : emulation::lane());
}
inline unsigned __ballot_sync(unsigned mask, int predicate) {
  return emulation::collect(mask, uint64_t(predicate != 0), [=](const uint64_t* values) {
    unsigned votes = 0;
    for (unsigned lane = 0; lane < 32; ++lane) {
      if (mask >> lane & 1) votes |= unsigned(values[lane]) << lane;
    }
    return votes;
  });
}
inline int __any_sync(unsigned mask, int predicate) { return __ballot_sync(mask, predicate) != 0; }
template <class T>
T atomicAdd(T* address, T value) {
  const T old = *address;
  *address += value;
  return old;
}
inline long long __double_as_longlong(double x) {
  long long bits;
  std::memcpy(&bits, &x, sizeof(bits));
  return bits;
}

/// Kernels have ended when their launch returns, so what is enqueued may be done at once.
inline cudaError_t cudaMemsetAsync(void* x, int byte, size_t n_bytes, cudaStream_t) {
  std::memset(x, byte, n_bytes);
  return cudaSuccess;
}

template <class... Parameters, class... Arguments>
cudaError_t cudaLaunchKernelEx(const cudaLaunchConfig_t* config, void (*kernel)(Parameters...),
                               Arguments... arguments) {
  using namespace emulation;
  gridDim = config->gridDim;
  blockDim = config->blockDim;
  n_threads = blockDim.x * blockDim.y * blockDim.z;
  fibres.resize(std::max<size_t>(fibres.size(), n_threads));
  kernel_call = [=] { kernel(arguments...); };
  std::mt19937 random(0);
  for (unsigned z = 0; z < gridDim.z; ++z) {
    for (unsigned y = 0; y < gridDim.y; ++y) {
      for (unsigned x = 0; x < gridDim.x; ++x) {
        blockIdx = dim3(x, y, z);
        run_block(random);
      }
    }
  }
  return cudaSuccess;
}
