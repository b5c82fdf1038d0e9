#pragma once

#include <stdint.h>

#include "packflow/lattice.h"

namespace packflow {

// One update of the state that a flow moves, in place, for all crystals of a packed batch:
//
//   new state   = a * state + b * velocity + h * history + s * noise
//   new history = d * state + e * velocity
//
// with (a, b, h, s, d, e) of each crystal and channel and the old state on both right sides. Terms are added from left
// to right in Real; one with a coefficient of zero is zero, even if its operand is NaN. Then, if `center`, the mean of
// each crystal's new positions is subtracted from them. The history is not centered: every update is linear with one
// coefficient for all atoms of a crystal, so a mean of the history only moves that of the new state, which is removed.
//
// A crystal's result does not depend on the rest of the batch or the number of threads, and is the same to the bit on
// the CPU and the GPU.

/// One channel of the state. Arrays are [n_rows][width] and do not overlap.
template <class Real>
struct OdeChannel {
  Real* state;  // input and output
  const Real* velocity;
  Real* history;      // input and output; may be unset where h is 0
  const Real* noise;  // null for none: s is then taken as 0
};

template <class Real>
struct OdeBatch {
  OdeChannel<Real> positions;  // [n_atoms][3]
  OdeChannel<Real> lattice;    // [n_crystals][6]
  const Real* coefficients;    // [n_crystals][2][6]: channels as above, then a, b, h, s, d, e
  const int32_t* atom_ptr;     // [n_crystals + 1]; crystal c owns atoms atom_ptr[c] ... atom_ptr[c + 1] - 1
  int64_t n_crystals;
  uint8_t* finite;  // [n_crystals]; set to 0 where a number of the new state is not finite, never to 1
};

namespace cpu {

/// `n_threads` share the crystals, at least 1.
template <class Real>
void ode(const OdeBatch<Real>& batch, bool center, int n_threads);

}  // namespace cpu

namespace cuda {

/// Enqueued on `stream`, a cudaStream_t. Throws std::runtime_error if the launch fails or CUDA was not built.
template <class Real>
void ode(const OdeBatch<Real>& batch, bool center, void* stream);

}  // namespace cuda

constexpr int kOdeWidth = 6;  // of the lattice
// A crystal's coordinates are added up in so many partial sums: number k belongs to sum k modulo it, which is a
// multiple of 3 and a power of two times 3, so that halving the sums leaves one per axis.
constexpr int kOdeSums = 192;

template <class Real>
struct OdeCoefficients {
  Real a, b, h, s, d, e;
};

/// The coefficients of a channel; 0 positions, 1 lattice.
template <class Real>
PACKFLOW_INLINE OdeCoefficients<Real> ode_coefficients(const OdeBatch<Real>& batch, int64_t crystal, int channel) {
  const Real* const c = batch.coefficients + 6 * (2 * crystal + channel);
  return {c[0], c[1], c[2], c[3], c[4], c[5]};
}

template <class Real>
PACKFLOW_INLINE Real ode_term(Real coefficient, Real x) {
  return coefficient == 0 ? Real(0) : coefficient * x;
}

/// Updates number k of a channel and its history, without centering; returns the new state.
template <class Real>
PACKFLOW_INLINE Real ode_update(const OdeChannel<Real>& channel, const OdeCoefficients<Real>& by, int64_t k) {
  const Real state = channel.state[k], velocity = channel.velocity[k];
  Real sum = ode_term(by.a, state) + ode_term(by.b, velocity) + ode_term(by.h, channel.history[k]);
  if (channel.noise) sum += ode_term(by.s, channel.noise[k]);
  channel.history[k] = ode_term(by.d, state) + ode_term(by.e, velocity);
  channel.state[k] = sum;
  return sum;
}

/// Whether x is neither infinite nor NaN.
template <class Real>
PACKFLOW_INLINE bool ode_finite(Real x) {
  return x - x == 0;
}

}  // namespace packflow
