// Runs the refinement of near pairs on awkward batches, for the sanitizers to watch. Every array is a heap block of
// exactly the size that the header asks for. Prints the relative differences from a plain loop in double.

#include "packflow/pair_refinement.h"

#include <cmath>
#include <cstdio>
#include <memory>
#include <random>
#include <stdexcept>
#include <string>
#include <vector>

using namespace packflow;

namespace {

constexpr int W = kRefinementWidth, F = kRefinementFeatures, K = kRefinementKnown, C = kRefinementCenters;

struct Input {
  std::vector<float> positions, source_state, target_state, known;
  std::vector<int64_t> source, target;
  std::vector<float> pair, mix, mix_bias, step, centers;
  PairBatch batch() const {
    return {positions.data(), source_state.data(), target_state.data(),           source.data(),
            target.data(),    known.data(),        int64_t(positions.size() / 3), int64_t(source.size())};
  }
  RefinementWeights weights() const {
    return {pair.data(), mix.data(), mix_bias.data(), step.data(), 0.3f, centers.data(), 0.3f, 0.1f};
  }
};

/// Pairs of random atoms: duplicates, and pairs of an atom with itself, are common.
Input make_input(int n_atoms, int n_pairs) {
  std::mt19937 random(1);
  std::normal_distribution<float> normal;
  const auto numbers = [&](int n, float scale) {
    std::vector<float> values(n);
    for (float& value : values) value = scale * normal(random);
    return values;
  };
  Input x;
  x.positions = numbers(3 * n_atoms, 1.5f);
  x.source_state = numbers(W * n_atoms, 1.0f);
  x.target_state = numbers(W * n_atoms, 1.0f);
  x.known = numbers(K * n_pairs, 1.0f);
  for (int p = 0; p < n_pairs; ++p) {
    x.source.push_back(random() % n_atoms);
    x.target.push_back(random() % n_atoms);
  }
  x.pair = numbers(W * F, 0.2f);
  x.mix = numbers(W * W, 0.1f);
  x.mix_bias = numbers(W, 0.1f);
  x.step = numbers(W, 0.3f);
  for (int c = 0; c < C; ++c) x.centers.push_back(0.6f + 0.3f * c);
  return x;
}

double silu(double x) { return x / (1 + std::exp(-x)); }

/// The moves of all atoms.
std::vector<double> plain(const Input& x) {
  const RefinementWeights w = x.weights();
  std::vector<double> moves(x.positions.size());
  for (size_t p = 0; p < x.source.size(); ++p) {
    const int64_t s = x.source[p], t = x.target[p];
    double apart[3], distance = double(w.softening) * w.softening;
    for (int d = 0; d < 3; ++d) {
      apart[d] = double(x.positions[3 * s + d]) - x.positions[3 * t + d];
      distance += apart[d] * apart[d];
    }
    distance = std::sqrt(distance);
    const float* known = x.known.data() + K * p;
    std::vector<double> features(known, known + K), hidden(W);
    for (float center : x.centers) features.push_back(std::exp(-std::pow((distance - center) / w.width, 2)));
    features.insert(features.end(), {distance - known[K - 2], distance - known[K - 1], distance / 3});
    for (int i = 0; i < W; ++i) {
      hidden[i] = double(x.source_state[W * s + i]) + x.target_state[W * t + i];
      for (int k = 0; k < F; ++k) hidden[i] += x.pair[F * i + k] * features[k];
      hidden[i] = silu(hidden[i]);
    }
    double length = w.step_bias;
    for (int i = 0; i < W; ++i) {
      double message = x.mix_bias[i];
      for (int k = 0; k < W; ++k) message += x.mix[W * i + k] * hidden[k];
      length += x.step[i] * silu(message);
    }
    for (int d = 0; d < 3; ++d) moves[3 * t + d] += length * apart[d] / distance;
  }
  return moves;
}

std::unique_ptr<float[]> ours(const Input& x, cpu::InstructionSet set) {
  std::unique_ptr<float[]> moved(new float[x.positions.size()]);
  cpu::pair_refinement(x.batch(), x.weights(), moved.get(), 3, set);
  return moved;
}

double difference(const Input& x, const float* moved, const std::vector<double>& moves) {
  double error = 0, norm = 1e-30;
  for (size_t i = 0; i < moves.size(); ++i) {
    error += std::pow(moved[i] - x.positions[i] - moves[i], 2);
    norm += moves[i] * moves[i];
  }
  return std::sqrt(error / norm);
}

bool refuses(Input x, std::vector<int64_t> Input::* atoms, int64_t atom) {
  (x.*atoms).back() = atom;
  try {
    ours(x, cpu::InstructionSet::kBaseline);
  } catch (const std::invalid_argument&) {
    return true;
  }
  return false;
}

}  // namespace

int main() {
  struct Case {
    const char* name;
    int n_atoms, n_pairs;
  };
  const Case cases[] = {{"many", 60, 1000},   {"one pair", 2, 1}, {"a block", 9, 48}, {"a block and one", 9, 49},
                        {"one short", 9, 95}, {"no pairs", 5, 0}, {"one atom", 1, 7}, {"nothing", 0, 0}};
  bool good = true;
  for (const Case& c : cases) {
    const Input input = make_input(c.n_atoms, c.n_pairs);
    const std::vector<double> expected = plain(input);
    for (const std::string& name : cpu::instruction_sets()) {
      const double error = difference(input, ours(input, cpu::instruction_set(name)).get(), expected);
      std::printf("%-16s %-8s %.1e\n", c.name, name.c_str(), error);
      good = good && error < 2e-6;
    }
  }
  const Input input = make_input(9, 20);
  good = good && refuses(input, &Input::source, 9) && refuses(input, &Input::target, -1);
  return good ? 0 : 1;
}
