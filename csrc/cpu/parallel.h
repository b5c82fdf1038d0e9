#pragma once

#include <stdint.h>

#include <algorithm>
#include <exception>
#include <mutex>
#include <vector>

#ifdef _OPENMP
#include <omp.h>
#endif

namespace packflow::cpu {

/// Calls f(c, memory) for c = 0 ... n - 1, shared by up to n_threads threads, each with a Memory of its own. The first
/// exception leaves after all threads have ended; what was not begun by then is left out.
template <class Memory, class Function>
void for_each(int64_t n, int n_threads, Function f) {
  n_threads = static_cast<int>(std::clamp<int64_t>(n, 1, n_threads));
  std::vector<Memory> memory(n_threads);
  std::exception_ptr error;
  std::mutex mutex;
  bool failed = false;
#pragma omp parallel for schedule(dynamic, 1) num_threads(n_threads)
  for (int64_t c = 0; c < n; ++c) {
    bool stop;
#pragma omp atomic read
    stop = failed;
    if (stop) continue;
#ifdef _OPENMP
    const int thread = omp_get_thread_num();
#else
    const int thread = 0;
#endif
    try {
      f(c, memory[thread]);
    } catch (...) {
      const std::lock_guard<std::mutex> lock(mutex);
      if (!error) error = std::current_exception();
#pragma omp atomic write
      failed = true;
    }
  }
  if (error) std::rethrow_exception(error);
}

}  // namespace packflow::cpu
