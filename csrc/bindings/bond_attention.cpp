#include "packflow/bond_attention.h"

#include <string>
#include <tuple>

#include "module.h"

namespace py = pybind11;

namespace {

// Address and strides of atoms and heads.
using Heads = std::tuple<uintptr_t, int64_t, int64_t>;
// cu_seqlens, row_ptr, column, edge_bias, n_crystals, n_atoms, n_bonds, n_heads, d_head.
using Batch = std::tuple<uintptr_t, uintptr_t, uintptr_t, uintptr_t, int64_t, int64_t, int64_t, int, int>;

template <class T>
packflow::HeadsView<T> view(const Heads& x) {
  const auto [address, atom_stride, head_stride] = x;
  return {reinterpret_cast<T*>(address), atom_stride, head_stride};
}

packflow::BondedBatch view(const Batch& x) {
  const auto [cu_seqlens, row_ptr, column, edge_bias, n_crystals, n_atoms, n_bonds, n_heads, d_head] = x;
  return {reinterpret_cast<const int32_t*>(cu_seqlens),
          reinterpret_cast<const int32_t*>(row_ptr),
          reinterpret_cast<const int32_t*>(column),
          reinterpret_cast<const float*>(edge_bias),
          n_crystals,
          n_atoms,
          n_bonds,
          n_heads,
          d_head};
}

template <class Storage>
void forward(const Batch& batch, const Heads& q, const Heads& k, const Heads& v, const Heads& out, uintptr_t lse,
             int n_threads, const std::string& instruction_set) {
  packflow::cpu::bond_attention_forward(view(batch), view<const Storage>(q), view<const Storage>(k),
                                        view<const Storage>(v), view<Storage>(out), reinterpret_cast<float*>(lse),
                                        n_threads, packflow::cpu::instruction_set(instruction_set));
}

template <class Storage>
void backward(const Batch& batch, const Heads& q, const Heads& k, const Heads& v, const Heads& out, uintptr_t lse,
              const Heads& grad_out, const Heads& grad_q, const Heads& grad_k, const Heads& grad_v,
              uintptr_t grad_edge_bias, int n_threads, const std::string& instruction_set) {
  const packflow::cpu::BondAttentionGradients<Storage> gradients = {
      view<const Storage>(grad_out), view<Storage>(grad_q), view<Storage>(grad_k), view<Storage>(grad_v),
      reinterpret_cast<float*>(grad_edge_bias)};
  packflow::cpu::bond_attention_backward(
      view(batch), view<const Storage>(q), view<const Storage>(k), view<const Storage>(v), view<const Storage>(out),
      reinterpret_cast<const float*>(lse), gradients, n_threads, packflow::cpu::instruction_set(instruction_set));
}

template <class Storage>
void bind(py::module_& m, const std::string& dtype) {
  const py::call_guard<py::gil_scoped_release> without_gil;
  m.def(("bond_attention_forward_" + dtype).c_str(), &forward<Storage>, without_gil, py::arg("batch"), py::arg("q"),
        py::arg("k"), py::arg("v"), py::arg("out"), py::arg("lse"), py::arg("n_threads"),
        py::arg("instruction_set") = "");
  m.def(("bond_attention_backward_" + dtype).c_str(), &backward<Storage>, without_gil, py::arg("batch"), py::arg("q"),
        py::arg("k"), py::arg("v"), py::arg("out"), py::arg("lse"), py::arg("grad_out"), py::arg("grad_q"),
        py::arg("grad_k"), py::arg("grad_v"), py::arg("grad_edge_bias"), py::arg("n_threads"),
        py::arg("instruction_set") = "");
}

}  // namespace

void bind_bond_attention(py::module_& m) {
  bind<float>(m, "float32");
  bind<packflow::BFloat16>(m, "bfloat16");
}
