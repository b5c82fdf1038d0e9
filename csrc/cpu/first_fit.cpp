#include "packflow/first_fit.h"

#include <algorithm>
#include <atomic>
#include <vector>

#include "packflow/lattice.h"
#include "parallel.h"

namespace packflow::cpu {
namespace {

// Tries that a thread takes at a time.
constexpr int64_t kTriesOfTask = 8;
// Contacts are sought in float, with radii larger by more than rounding can matter, and decided in double.
constexpr float kMargin = 1.0f + 1e-4f;

struct Matrix {
  Vec3 row[3];
};

Vec3 multiply(const Matrix& m, Vec3 v) { return {dot(m.row[0], v), dot(m.row[1], v), dot(m.row[2], v)}; }

Matrix multiply(const Matrix& m, const Matrix& n) {
  const auto times = [&](Vec3 r) {
    return add(add(scaled(n.row[0], r.x), scaled(n.row[1], r.y)), scaled(n.row[2], r.z));
  };
  return {{times(m.row[0]), times(m.row[1]), times(m.row[2])}};
}

Matrix read_matrix(const double* m) { return {{{m[0], m[1], m[2]}, {m[3], m[4], m[5]}, {m[6], m[7], m[8]}}}; }

/// A molecule of the cell, or one of its images: where its center is.
struct Image {
  double distance2;
  int copy;
  Vec3 offset;  // of its center from that of the independent molecule, Å
};

/// Arrays of one thread.
struct Memory {
  std::vector<Vec3> center;    // [n_copies], fractional
  std::vector<Vec3> exact;     // [n_copies][n_atoms], seen from the center, Å
  std::vector<float> x, y, z;  // the same, rounded
  std::vector<char> placed;    // [n_copies]
  std::vector<Image> images;
};

/// One call of first_fit: the tries and what they share.
class Packing {
 public:
  explicit Packing(const PackingTries& tries) : tries_(tries), radii_(tries.n_atoms) {
    for (int i = 0; i < tries.n_atoms; ++i) {
      const Vec3 r = shape(i);
      reach_ = std::max(reach_, sqrt(dot(r, r)) + tries.radii[i]);
      radii_[i] = kMargin * float(tries.radii[i]);
    }
  }

  bool fits(int64_t t, Memory& memory) const {
    const Lattice lattice = make_lattice(tries_.cell + 9 * t);
    place_centers(t, memory);
    const int n_copies = tries_.n_copies;
    for (int first = 0; first < n_copies; ++first) {
      if (first > 0 && tries_.molecule[first] == tries_.molecule[first - 1]) continue;
      find_images(lattice, first, memory);
      // The nearest are the likeliest to touch.
      std::sort(memory.images.begin(), memory.images.end(),
                [](const Image& one, const Image& other) { return one.distance2 < other.distance2; });
      place_atoms(t, lattice, first, memory);
      for (const Image& image : memory.images) {
        place_atoms(t, lattice, image.copy, memory);
        if (touches(first, image, memory)) return false;
      }
    }
    return true;
  }

 private:
  Vec3 shape(int i) const { return {tries_.shape[3 * i], tries_.shape[3 * i + 1], tries_.shape[3 * i + 2]}; }

  Matrix linear(int copy) const {
    const double* o = tries_.operations + 12 * copy;
    return {{{o[0], o[1], o[2]}, {o[4], o[5], o[6]}, {o[8], o[9], o[10]}}};
  }

  Vec3 shift(int copy) const {
    const double* o = tries_.operations + 12 * copy;
    return {o[3], o[7], o[11]};
  }

  void place_centers(int64_t t, Memory& memory) const {
    const size_t n_copies = tries_.n_copies, n = n_copies * tries_.n_atoms;
    memory.center.resize(n_copies);
    memory.placed.assign(n_copies, 0);
    memory.exact.resize(n);
    memory.x.resize(n);
    memory.y.resize(n);
    memory.z.resize(n);
    for (int k = 0; k < tries_.n_copies; ++k) {
      const double* c = tries_.center + 3 * (t * tries_.n_molecules + tries_.molecule[k]);
      memory.center[k] = add(multiply(linear(k), Vec3{c[0], c[1], c[2]}), shift(k));
    }
  }

  /// Atoms of a copy seen from its center; once per try.
  void place_atoms(int64_t t, const Lattice& l, int copy, Memory& memory) const {
    if (memory.placed[copy]) return;
    memory.placed[copy] = 1;
    const Matrix to_cartesian = {{{l.a.x, l.b.x, l.c.x}, {l.a.y, l.b.y, l.c.y}, {l.a.z, l.b.z, l.c.z}}};
    const Matrix to_fractional = {{l.reciprocal_a, l.reciprocal_b, l.reciprocal_c}};
    const Matrix rotation = read_matrix(tries_.rotation + 9 * (t * tries_.n_molecules + tries_.molecule[copy]));
    const Matrix turn = multiply(multiply(multiply(to_cartesian, linear(copy)), to_fractional), rotation);
    const size_t first = size_t(copy) * tries_.n_atoms;
    for (int i = 0; i < tries_.n_atoms; ++i) {
      const Vec3 r = multiply(turn, shape(i));
      memory.exact[first + i] = r;
      memory.x[first + i] = float(r.x);
      memory.y[first + i] = float(r.y);
      memory.z[first + i] = float(r.z);
    }
  }

  /// All molecules but itself that can touch the independent molecule `first`, of those that come after it.
  void find_images(const Lattice& l, int first, Memory& memory) const {
    memory.images.clear();
    const double reach = 2.0 * reach_;
    for (int k = first; k < tries_.n_copies; ++k) {
      const Vec3 f = subtract(memory.center[k], memory.center[first]);
      const double ra = reach / l.height_a, rb = reach / l.height_b, rc = reach / l.height_c;
      for (double u = ceil(-f.x - ra); u <= ra - f.x; ++u) {
        for (double v = ceil(-f.y - rb); v <= rb - f.y; ++v) {
          for (double w = ceil(-f.z - rc); w <= rc - f.z; ++w) {
            if (k == first && u == 0 && v == 0 && w == 0) continue;
            const Vec3 offset = packflow::to_cartesian(l, {f.x + u, f.y + v, f.z + w});
            const double distance2 = dot(offset, offset);
            if (distance2 < reach * reach) memory.images.push_back({distance2, k, offset});
          }
        }
      }
    }
  }

  bool touches(int first, const Image& image, const Memory& memory) const {
    const size_t mine = size_t(first) * tries_.n_atoms, theirs = size_t(image.copy) * tries_.n_atoms;
    const float *x = memory.x.data() + theirs, *y = memory.y.data() + theirs, *z = memory.z.data() + theirs;
    for (int i = 0; i < tries_.n_atoms; ++i) {
      const Vec3 r = subtract(memory.exact[mine + i], image.offset);
      const double near = reach_ + tries_.radii[i];
      if (dot(r, r) >= near * near) continue;
      if (!any_maybe_near(r, i, x, y, z)) continue;
      for (int j = 0; j < tries_.n_atoms; ++j) {
        const Vec3 d = subtract(memory.exact[theirs + j], r);
        const double contact = tries_.radii[i] + tries_.radii[j];
        if (dot(d, d) < contact * contact) return true;
      }
    }
    return false;
  }

  /// Whether an atom may touch one of the others.
  bool any_maybe_near(Vec3 r, int i, const float* x, const float* y, const float* z) const {
    const float rx = float(r.x), ry = float(r.y), rz = float(r.z), radius = radii_[i];
    const float* radii = radii_.data();
    int any = 0;
#pragma omp simd reduction(| : any)
    for (int j = 0; j < tries_.n_atoms; ++j) {
      const float dx = x[j] - rx, dy = y[j] - ry, dz = z[j] - rz, contact = radius + radii[j];
      any |= int(dx * dx + dy * dy + dz * dz < contact * contact);
    }
    return any != 0;
  }

  const PackingTries& tries_;
  std::vector<float> radii_;  // with the margin
  double reach_ = 0.0;        // of the atoms from the center of their molecule, radii included, Å
};

}  // namespace

int64_t first_fit(const PackingTries& tries, int n_threads) {
  const Packing packing(tries);
  std::atomic<int64_t> first{tries.n_tries};
  const int64_t n_tasks = (tries.n_tries + kTriesOfTask - 1) / kTriesOfTask;
  for_each<Memory>(n_tasks, n_threads, [&](int64_t task, Memory& memory) {
    const int64_t end = std::min((task + 1) * kTriesOfTask, tries.n_tries);
    for (int64_t t = task * kTriesOfTask; t < end && t < first.load(); ++t) {
      if (!packing.fits(t, memory)) continue;
      for (int64_t seen = first.load(); t < seen && !first.compare_exchange_weak(seen, t);) {
      }
    }
  });
  return first.load() < tries.n_tries ? first.load() : -1;
}

}  // namespace packflow::cpu
