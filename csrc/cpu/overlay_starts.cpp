#include "overlay_starts.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <limits>
#include <utility>

namespace packflow::cpu {
namespace {

constexpr int kMaxTurns = 6;
constexpr size_t kMaxStarts = 16;
// Å; turns end where the RMSD changes less.
constexpr double kSettled = 1e-6;
// Starts are the same where RMSD (0.001 Å) and rotation (0.1) are, in these steps.
constexpr double kRmsdSteps = 1000.0, kRotationSteps = 10.0;

/// Atoms chosen, the motion fitted to them, and what the motion leads to.
struct Turn {
  std::vector<int> atom;
  Motion motion;
  int next = -1;      // the turn with the atoms that this motion chooses; -1 if not known yet
  double rmsd = 0.0;  // with those atoms, before the next fit
};

/// Turns from all starts: choices that meet go on as one.
class Turns {
 public:
  Turns(const AtomPlan& plan, const double* a, const double* b, StartMemory& memory)
      : plan_(plan), a_(a), b_(b), m_(memory) {
    m_.other.resize(3 * size_t(plan.n_atoms));
    m_.picked.resize(3 * size_t(plan.n_atoms));
    m_.atom.resize(plan.n_atoms);
  }

  /// The turn with these atoms.
  int of(const std::vector<int>& atom) {
    for (size_t k = 0; k < turns_.size(); ++k) {
      if (turns_[k].atom == atom) return int(k);
    }
    pick(atom);
    turns_.push_back({atom, fitted(m_.picked.data(), a_, plan_.n_atoms)});
    return int(turns_.size()) - 1;
  }

  Start refined(int turn) {
    double before = std::numeric_limits<double>::infinity();
    for (int k = 0; k < kMaxTurns; ++k) {
      const int next = advance(turn);
      const double rmsd = turns_[turn].rmsd;
      if (next == turn) return {turns_[turn].motion, turns_[turn].atom, rmsd};
      turn = next;
      if (std::fabs(before - rmsd) < kSettled) break;
      before = rmsd;
    }
    pick(turns_[turn].atom);
    const double rmsd = rmsd_of(turns_[turn].motion, m_.picked.data(), a_, plan_.n_atoms);
    return {turns_[turn].motion, turns_[turn].atom, rmsd};
  }

 private:
  void pick(const std::vector<int>& atom) {
    for (int i = 0; i < plan_.n_atoms; ++i) store(m_.picked.data() + 3 * i, point(b_ + 3 * atom[i]));
  }

  int advance(int turn) {
    if (turns_[turn].next >= 0) return turns_[turn].next;
    for (int i = 0; i < plan_.n_atoms; ++i)
      store(m_.other.data() + 3 * i, moved(turns_[turn].motion, point(b_ + 3 * i)));
    turns_[turn].rmsd = match_atoms(plan_, a_, m_.other.data(), m_.atom.data(), m_.atoms);
    const int next = of(m_.atom);
    turns_[turn].next = next;
    return next;
  }

  const AtomPlan& plan_;
  const double *a_, *b_;
  StartMemory& m_;
  std::vector<Turn> turns_;
};

/// Rows are the principal axes of points, the longest first.
std::array<Vec3, 3> principal_axes(const double* x, int n) {
  const Vec3 center = mean(x, n);
  Vec3 h[3] = {{0, 0, 0}, {0, 0, 0}, {0, 0, 0}}, v[3] = {{1, 0, 0}, {0, 1, 0}, {0, 0, 1}};
  if (n < 3) return {v[0], v[1], v[2]};
  for (int i = 0; i < n; ++i) {
    const Vec3 d = subtract(point(x + 3 * i), center);
    h[0] = add(h[0], scaled(d, d.x));
    h[1] = add(h[1], scaled(d, d.y));
    h[2] = add(h[2], scaled(d, d.z));
  }
  orthogonalize(h, v);
  int order[3] = {0, 1, 2};
  std::stable_sort(order, order + 3, [&](int i, int j) { return dot(h[i], h[i]) > dot(h[j], h[j]); });
  return {v[order[0]], v[order[1]], v[order[2]]};
}

}  // namespace

std::vector<std::vector<int>> axis_choices(const AtomPlan& plan, const double* a, const double* b, StartMemory& m) {
  const int n = plan.n_atoms;
  const std::array<Vec3, 3> axes_a = principal_axes(a, n), axes_b = principal_axes(b, n);
  const Vec3 center_a = mean(a, n), center_b = mean(b, n);
  m.other.resize(3 * size_t(n));
  static constexpr int kSigns[8][3] = {{1, 1, 1},   {1, 1, -1},  {1, -1, 1},  {-1, 1, 1},
                                       {1, -1, -1}, {-1, 1, -1}, {-1, -1, 1}, {-1, -1, -1}};
  std::vector<std::vector<int>> choices(8, std::vector<int>(n));
  for (int k = 0; k < 8; ++k) {
    for (int i = 0; i < n; ++i) {
      const Vec3 d = subtract(point(b + 3 * i), center_b);
      Vec3 x = center_a;
      for (int axis = 0; axis < 3; ++axis) x = add(x, scaled(axes_a[axis], kSigns[k][axis] * dot(axes_b[axis], d)));
      store(m.other.data() + 3 * i, x);
    }
    match_atoms(plan, a, m.other.data(), choices[k].data(), m.atoms);
  }
  return choices;
}

namespace {

/// RMSD and rotation in steps.
std::array<int64_t, 10> rounded(const Start& s) {
  std::array<int64_t, 10> key = {std::llrint(s.rmsd * kRmsdSteps)};
  for (int i = 0; i < 3; ++i) {
    const Vec3 row = s.motion.row[i];
    key[1 + 3 * i] = std::llrint(row.x * kRotationSteps);
    key[2 + 3 * i] = std::llrint(row.y * kRotationSteps);
    key[3 + 3 * i] = std::llrint(row.z * kRotationSteps);
  }
  return key;
}

}  // namespace

std::vector<Start> refined_starts(const AtomPlan& plan, const double* a, const double* b,
                                  const std::vector<std::vector<int>>& choices, StartMemory& memory) {
  Turns turns(plan, a, b, memory);
  std::vector<int> begun;
  std::vector<std::array<int64_t, 10>> keys;
  std::vector<Start> starts;
  for (const std::vector<int>& atom : choices) {
    const int turn = turns.of(atom);
    if (std::find(begun.begin(), begun.end(), turn) != begun.end()) continue;
    begun.push_back(turn);
    Start start = turns.refined(turn);
    const std::array<int64_t, 10> key = rounded(start);
    if (std::find(keys.begin(), keys.end(), key) != keys.end()) continue;
    keys.push_back(key);
    starts.push_back(std::move(start));
  }
  std::stable_sort(starts.begin(), starts.end(), [](const Start& p, const Start& q) { return p.rmsd < q.rmsd; });
  if (starts.size() > kMaxStarts) starts.resize(kMaxStarts);
  return starts;
}

}  // namespace packflow::cpu
