#pragma once

// exp, erfc and sine as polynomials, for host and device: without branches, so that a loop over them is vectorised, and
// without the library, so that every instruction set computes the same.

#include <stdint.h>
#include <string.h>

#include "packflow/lattice.h"

namespace packflow {

constexpr double kTwoPi = 6.283185307179586476925;
constexpr double kHalfPi = 1.570796326794896619231;
constexpr double kTwoPerRootPi = 1.128379167095512573896;

/// exp(x) for -700 < x <= 0, relative error below 1e-14: 2^n exp(f), |f| <= ln(2) / 2, and Taylor's series for the
/// latter.
PACKFLOW_INLINE double exp_negative(double x) {
  // Adding it leaves the nearest whole number in the lowest bits.
  constexpr double kWhole = 6755399441055744.0;
  const double shifted = x * 1.4426950408889634 + kWhole;
  const double n = shifted - kWhole;
  const double f = (x - n * 0.6931471803691238) - n * 1.9082149292705877e-10;
  double sum = 1.0 / 479001600.0;
  sum = sum * f + 1.0 / 39916800.0;
  sum = sum * f + 1.0 / 3628800.0;
  sum = sum * f + 1.0 / 362880.0;
  sum = sum * f + 1.0 / 40320.0;
  sum = sum * f + 1.0 / 5040.0;
  sum = sum * f + 1.0 / 720.0;
  sum = sum * f + 1.0 / 120.0;
  sum = sum * f + 1.0 / 24.0;
  sum = sum * f + 1.0 / 6.0;
  sum = sum * f + 0.5;
  sum = sum * f + 1.0;
  sum = sum * f + 1.0;
  int64_t bits;
  memcpy(&bits, &shifted, sizeof(bits));
  bits = int64_t(uint64_t(bits + 1023) << 52);
  double power;
  memcpy(&power, &bits, sizeof(power));
  return sum * power;
}

/// exp(y2) erfc(y) for 0 <= y <= 6 as a function of u = (y - 3) / (y + 3), relative error below 1e-14: interpolated at
/// the sixteen Chebyshev points, in 50 digits.
PACKFLOW_INLINE double scaled_erfc(double u) {
  double sum = 3.297516319315196e-07;
  sum = sum * u + 1.9352959608649944e-06;
  sum = sum * u + 2.4286855485475647e-06;
  sum = sum * u - 8.028806920571878e-06;
  sum = sum * u - 1.2969974193610968e-05;
  sum = sum * u + 6.402765696212827e-05;
  sum = sum * u + 4.5264434322860695e-05;
  sum = sum * u - 0.0005970568636987025;
  sum = sum * u + 0.0007077463868663031;
  sum = sum * u + 0.004269136022346956;
  sum = sum * u - 0.024392499336946562;
  sum = sum * u + 0.07166583720556102;
  sum = sum * u - 0.15011593650031027;
  sum = sum * u + 0.24560380171227697;
  sum = sum * u - 0.3262335600430388;
  sum = sum * u + 0.17900115118138996;
  return sum;
}

/// erfc(y) is below 3e-17 from here on.
constexpr double kErfcEnd = 6.0;

struct Phase {
  double cosine, sine;
};

/// Cosine and sine of 2 pi x, absolute error below 1e-15: a quarter turn is split off, the rest is Taylor's series.
PACKFLOW_INLINE Phase phase_of_turns(double x) {
  const double turn = x - rint(x);
  const double quarter = rint(4.0 * turn);
  const double t = kTwoPi * (turn - 0.25 * quarter), t2 = t * t;
  double s = -1.0 / 1307674368000.0;
  s = s * t2 + 1.0 / 6227020800.0;
  s = s * t2 - 1.0 / 39916800.0;
  s = s * t2 + 1.0 / 362880.0;
  s = s * t2 - 1.0 / 5040.0;
  s = s * t2 + 1.0 / 120.0;
  s = s * t2 - 1.0 / 6.0;
  s = t + t * t2 * s;
  double c = 1.0 / 20922789888000.0;
  c = c * t2 - 1.0 / 87178291200.0;
  c = c * t2 + 1.0 / 479001600.0;
  c = c * t2 - 1.0 / 3628800.0;
  c = c * t2 + 1.0 / 40320.0;
  c = c * t2 - 1.0 / 720.0;
  c = c * t2 + 1.0 / 24.0;
  c = 1.0 - 0.5 * t2 + t2 * t2 * c;
  // -2, -1, 0, 1 or 2 quarters.
  const bool crosswise = quarter == 1.0 || quarter == -1.0;
  const double cosine = crosswise ? s : c, sine = crosswise ? c : s;
  const bool half = quarter == 2.0 || quarter == -2.0;
  return {half || quarter == 1.0 ? -cosine : cosine, half || quarter == -1.0 ? -sine : sine};
}

}  // namespace packflow
