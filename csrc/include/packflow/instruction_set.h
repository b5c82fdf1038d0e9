#pragma once

#include <string>
#include <vector>

namespace packflow::cpu {

/// The processor extensions that CPU kernels are compiled for, slowest first.
enum class InstructionSet { kBaseline, kAvx2, kAvx512 };

/// Names of those that this machine can run, slowest first: "baseline", "avx2", "avx512".
std::vector<std::string> instruction_sets();

/// The set of that name, or the fastest that this machine can run if the name is empty.
/// Throws std::invalid_argument for a name that instruction_sets() does not hold.
InstructionSet instruction_set(const std::string& name);

}  // namespace packflow::cpu
