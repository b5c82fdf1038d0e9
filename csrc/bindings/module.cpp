#include "module.h"

#include "packflow/cuda_built.h"
#include "packflow/instruction_set.h"

PYBIND11_MODULE(_C, m) {
  m.doc() = "Native kernels of PackFlow. They take addresses: call packflow.ops, which checks what is behind them.";
  m.def("instruction_sets", &packflow::cpu::instruction_sets,
        "Instruction sets that the CPU kernels can use on this machine, slowest first.");
  m.def("cuda_built", &packflow::cuda::built, "Whether the CUDA kernels were compiled in.");
  bind_amd(m);
  bind_bond_attention(m);
  bind_bonded(m);
  bind_check(m);
  bind_clash(m);
  bind_ewald(m);
  bind_first_fit(m);
  bind_min_image(m);
  bind_neighbors(m);
  bind_nonbonded(m);
  bind_ode(m);
  bind_packing_similarity(m);
  bind_pair_refinement(m);
  bind_rdf(m);
}
