#include "packflow/instruction_set.h"

#include <stdexcept>

namespace packflow::cpu {
namespace {

constexpr const char* kNames[] = {"baseline", "avx2", "avx512"};

InstructionSet fastest() {
#ifdef PACKFLOW_X86_LEVELS
  // The extensions of x86-64-v3 and x86-64-v4 that a compiler may use on its own account.
  const bool v3 = __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma") && __builtin_cpu_supports("bmi") &&
                  __builtin_cpu_supports("bmi2");
  const bool v4 = v3 && __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
                  __builtin_cpu_supports("avx512cd") && __builtin_cpu_supports("avx512dq") &&
                  __builtin_cpu_supports("avx512vl");
  if (v4) return InstructionSet::kAvx512;
  if (v3) return InstructionSet::kAvx2;
#endif
  return InstructionSet::kBaseline;
}

}  // namespace

std::vector<std::string> instruction_sets() { return {kNames, kNames + static_cast<int>(fastest()) + 1}; }

InstructionSet instruction_set(const std::string& name) {
  if (name.empty()) return fastest();
  std::string known;
  for (int set = 0; set <= static_cast<int>(fastest()); ++set) {
    if (name == kNames[set]) return static_cast<InstructionSet>(set);
    known += (set == 0 ? "" : ", ") + std::string(kNames[set]);
  }
  throw std::invalid_argument("instruction_set must be one of " + known + " on this machine, got " + name);
}

}  // namespace packflow::cpu
