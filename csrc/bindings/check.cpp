#include "packflow/check.h"

#include "module.h"

namespace py = pybind11;

namespace {

template <class Real>
void bind(py::module_& m, const char* name) {
  m.def(
      name,
      [](const Crystals& crystals, uintptr_t cutoff) {
        return packflow::cpu::crystal_problems(crystal_view<Real>(crystals), at<const double>(cutoff));
      },
      py::call_guard<py::gil_scoped_release>(), py::arg("crystals"), py::arg("cutoff"));
}

}  // namespace

void bind_check(py::module_& m) {
  bind<float>(m, "crystal_problems_float32");
  bind<double>(m, "crystal_problems_float64");
}
