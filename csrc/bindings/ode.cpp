#include "packflow/ode.h"

#include <string>
#include <tuple>

#include "module.h"

namespace py = pybind11;

namespace {

// Addresses of state, velocity, history and noise, the last 0 for none.
using Channel = std::tuple<uintptr_t, uintptr_t, uintptr_t, uintptr_t>;
// Positions, lattice, addresses of coefficients and atom_ptr, n_crystals, address of finite.
using Batch = std::tuple<Channel, Channel, uintptr_t, uintptr_t, int64_t, uintptr_t>;

template <class Real>
packflow::OdeChannel<Real> view(const Channel& x) {
  const auto [state, velocity, history, noise] = x;
  return {at<Real>(state), at<const Real>(velocity), at<Real>(history), at<const Real>(noise)};
}

template <class Real>
packflow::OdeBatch<Real> view(const Batch& x) {
  const auto& [positions, lattice, coefficients, atom_ptr, n_crystals, finite] = x;
  return {view<Real>(positions),       view<Real>(lattice), at<const Real>(coefficients),
          at<const int32_t>(atom_ptr), n_crystals,          at<uint8_t>(finite)};
}

template <class Real>
void bind(py::module_& m, const std::string& dtype) {
  const py::call_guard<py::gil_scoped_release> without_gil;
  m.def(
      ("ode_cpu_" + dtype).c_str(),
      [](const Batch& batch, bool center, int n_threads) { packflow::cpu::ode(view<Real>(batch), center, n_threads); },
      without_gil, py::arg("batch"), py::arg("center"), py::arg("n_threads"));
  m.def(("ode_cuda_" + dtype).c_str(),
        [](const Batch& batch, bool center, uintptr_t stream) {
          packflow::cuda::ode(view<Real>(batch), center, at<void>(stream));
        },
        without_gil, py::arg("batch"), py::arg("center"), py::arg("stream"));
}

}  // namespace

void bind_ode(py::module_& m) {
  bind<float>(m, "float32");
  bind<double>(m, "float64");
}
