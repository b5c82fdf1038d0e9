// Stands in for the .cu files where PackFlow is built without CUDA.
#include <stdexcept>

#include "packflow/amd.h"
#include "packflow/bonded.h"
#include "packflow/clash.h"
#include "packflow/cuda_built.h"
#include "packflow/ewald.h"
#include "packflow/min_image.h"
#include "packflow/neighbors.h"
#include "packflow/nonbonded.h"
#include "packflow/ode.h"
#include "packflow/rdf.h"

namespace packflow::cuda {
namespace {

[[noreturn]] void unavailable() {
  throw std::runtime_error(
      "packflow was built without CUDA: no nvcc was found, or PACKFLOW_CUDA was OFF. Move the tensors to the CPU, or "
      "put nvcc on PATH and reinstall with pip install -C cmake.define.PACKFLOW_CUDA=ON .");
}

}  // namespace

bool built() { return false; }

void bonded(const BondedBatch&, const BondedGather&, void*) { unavailable(); }

template <class Real>
void clash(const CrystalView<Real>&, const Real*, double, uint8_t*, void*) {
  unavailable();
}
template void clash(const CrystalView<float>&, const float*, double, uint8_t*, void*);
template void clash(const CrystalView<double>&, const double*, double, uint8_t*, void*);

template <class Real>
void count_neighbors(const CrystalView<Real>&, double, bool, int64_t*, void*) {
  unavailable();
}
template void count_neighbors(const CrystalView<float>&, double, bool, int64_t*, void*);
template void count_neighbors(const CrystalView<double>&, double, bool, int64_t*, void*);

template <class Real>
void write_neighbors(const CrystalView<Real>&, double, bool, const PairList&, void*) {
  unavailable();
}
template void write_neighbors(const CrystalView<float>&, double, bool, const PairList&, void*);
template void write_neighbors(const CrystalView<double>&, double, bool, const PairList&, void*);

template <class Real>
void rdf(const CrystalView<Real>&, double, int, int64_t*, void*) {
  unavailable();
}
template void rdf(const CrystalView<float>&, double, int, int64_t*, void*);
template void rdf(const CrystalView<double>&, double, int, int64_t*, void*);

template <class Real>
void pdd(const CrystalView<Real>&, int64_t, double*, Real*, void*) {
  unavailable();
}
template void pdd(const CrystalView<float>&, int64_t, double*, float*, void*);
template void pdd(const CrystalView<double>&, int64_t, double*, double*, void*);

template <class Real>
void amd(const CrystalView<Real>&, int64_t, double*, Real*, void*) {
  unavailable();
}
template void amd(const CrystalView<float>&, int64_t, double*, float*, void*);
template void amd(const CrystalView<double>&, int64_t, double*, double*, void*);

template <class Real>
void min_image(const CrystalView<Real>&, const int64_t*, int64_t, Real*, void*) {
  unavailable();
}
template void min_image(const CrystalView<float>&, const int64_t*, int64_t, float*, void*);
template void min_image(const CrystalView<double>&, const int64_t*, int64_t, double*, void*);

void ewald(const EwaldInput&, const EwaldOutput&, const EwaldWaves&, void*) { unavailable(); }

void nonbonded(const NonbondedInput&, const NonbondedList&, const NonbondedOutput&, double*, void*) { unavailable(); }

template <class Real>
void ode(const OdeBatch<Real>&, bool, void*) {
  unavailable();
}
template void ode(const OdeBatch<float>&, bool, void*);
template void ode(const OdeBatch<double>&, bool, void*);

}  // namespace packflow::cuda
