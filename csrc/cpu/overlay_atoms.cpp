#include "overlay_atoms.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <utility>

namespace packflow::cpu {
namespace {

/// Atoms of one role or element.
struct Group {
  int code;
  std::vector<int> atoms;
};

/// Atoms by role, in the order of the first atom of each.
std::vector<Group> roles_of(const MoleculeKinds& kinds, int kind) {
  std::vector<Group> groups;
  const int first = kinds.atom_ptr[kind], n = kinds.atom_ptr[kind + 1] - first;
  for (int i = 0; i < n; ++i) {
    const int role = kinds.role[first + i];
    auto found = std::find_if(groups.begin(), groups.end(), [&](const Group& g) { return g.code == role; });
    if (found == groups.end()) found = groups.insert(groups.end(), {role, {}});
    found->atoms.push_back(i);
  }
  return groups;
}

const Group* of_code(const std::vector<Group>& groups, int code) {
  for (const Group& group : groups) {
    if (group.code == code) return &group;
  }
  return nullptr;
}

void add_class(AtomPlan& plan, const std::vector<int>& a, const std::vector<int>& b) {
  if (a.size() == 1) {
    plan.only[a[0]] = b[0];
    return;
  }
  plan.classes.push_back({int(plan.order_a.size()), int(a.size())});
  plan.order_a.insert(plan.order_a.end(), a.begin(), a.end());
  plan.order_b.insert(plan.order_b.end(), b.begin(), b.end());
}

/// Atoms whose role is not met equally often in the other molecule, by element.
std::vector<Group> elements_left(const MoleculeKinds& kinds, int kind, const std::vector<Group>& own,
                                 const std::vector<Group>& others) {
  std::vector<Group> left;
  for (const Group& group : own) {
    const Group* other = of_code(others, group.code);
    if (other && other->atoms.size() == group.atoms.size()) continue;
    const int element = kinds.element[kinds.atom_ptr[kind] + group.atoms[0]];
    auto found = std::find_if(left.begin(), left.end(), [&](const Group& g) { return g.code == element; });
    if (found == left.end()) found = left.insert(left.end(), {element, {}});
    found->atoms.insert(found->atoms.end(), group.atoms.begin(), group.atoms.end());
  }
  return left;
}

/// All maps that keep roles, the last group's choice changing fastest; none if there are too many.
std::vector<std::vector<int>> maps_of(int n_atoms, const std::vector<Group>& a, const std::vector<Group>& b) {
  std::vector<std::vector<int>> maps(1, std::vector<int>(n_atoms));
  int count = 1;
  for (const Group& group : a) {
    for (int k = 2; k <= int(group.atoms.size()) && count <= kMaxMaps; ++k) count *= k;
  }
  if (count > kMaxMaps) return {};
  for (const Group& group : a) {
    std::vector<std::vector<int>> longer;
    for (const std::vector<int>& map : maps) {
      std::vector<int> choice = of_code(b, group.code)->atoms;
      do {
        longer.push_back(map);
        for (size_t k = 0; k < choice.size(); ++k) longer.back()[group.atoms[k]] = choice[k];
      } while (std::next_permutation(choice.begin(), choice.end()));
    }
    maps = std::move(longer);
  }
  return maps;
}

/// Squared distances of the atoms of a class; of each atom of a the nearest, by its square. True if no two share one.
bool nearest_atoms(const AtomPlan& plan, const AtomClass& c, const double* a, AtomMemory& m) {
  bool alone = true;
  m.taken.assign(c.size, 0);
  for (int i = 0; i < c.size; ++i) {
    const double* p = a + 3 * plan.order_a[c.first + i];
    const double px = p[0], py = p[1], pz = p[2];
    const double *x = m.x.data(), *y = m.y.data(), *z = m.z.data();
    double* row = m.costs.data() + size_t(i) * c.size;
    double least = std::numeric_limits<double>::infinity();
#pragma omp simd reduction(min : least)
    for (int j = 0; j < c.size; ++j) {
      const double dx = x[j] - px, dy = y[j] - py, dz = z[j] - pz;
      row[j] = dx * dx + dy * dy + dz * dz;
      least = std::min(least, row[j]);
    }
    const int nearest = int(std::find(row, row + c.size, least) - row);
    m.cheapest[i] = nearest;
    m.least[i] = least;
    alone = alone && !m.taken[nearest];
    m.taken[nearest] = 1;
  }
  return alone;
}

/// Distances of the atoms of a class, squares until a row is asked for.
struct ClassCosts : DenseCosts {
  ClassCosts(int n, AtomMemory& memory) : DenseCosts{n}, m(memory) {}

  const double* of(int i) {
    double* row = m.costs.data() + size_t(i) * n_columns;
    for (int j = 0; j < n_columns && !m.rooted[i]; ++j) row[j] = std::sqrt(row[j]);
    m.rooted[i] = 1;
    return row;
  }

  AtomMemory& m;
};

/// The better of the two ways for a class of two.
bool exchanged(const AtomPlan& plan, const AtomClass& c, const double* a, const double* b) {
  const auto distance = [&](int i, int j) {
    const double *p = a + 3 * plan.order_a[c.first + i], *q = b + 3 * plan.order_b[c.first + j];
    const double dx = p[0] - q[0], dy = p[1] - q[1], dz = p[2] - q[2];
    return std::sqrt(dx * dx + dy * dy + dz * dz);
  };
  return distance(0, 1) + distance(1, 0) < distance(0, 0) + distance(1, 1);
}

}  // namespace

AtomPlan make_plan(const MoleculeKinds& kinds, int a, int b) {
  AtomPlan plan;
  plan.n_atoms = kinds.atom_ptr[a + 1] - kinds.atom_ptr[a];
  plan.only.assign(plan.n_atoms, -1);
  const std::vector<Group> roles_a = roles_of(kinds, a), roles_b = roles_of(kinds, b);
  for (const Group& group : roles_a) {
    const Group* other = of_code(roles_b, group.code);
    if (other && other->atoms.size() == group.atoms.size()) add_class(plan, group.atoms, other->atoms);
  }
  const std::vector<Group> left_a = elements_left(kinds, a, roles_a, roles_b);
  const std::vector<Group> left_b = elements_left(kinds, b, roles_b, roles_a);
  for (const Group& group : left_a) add_class(plan, group.atoms, of_code(left_b, group.code)->atoms);
  if (left_a.empty()) plan.starts = maps_of(plan.n_atoms, roles_a, roles_b);
  return plan;
}

double match_atoms(const AtomPlan& plan, const double* a, const double* b, int* atom, AtomMemory& m) {
  std::copy(plan.only.begin(), plan.only.end(), atom);
  double sum = 0;
  for (const AtomClass& c : plan.classes) {
    if (c.size == 2) {
      const int swap = exchanged(plan, c, a, b);
      atom[plan.order_a[c.first]] = plan.order_b[c.first + swap];
      atom[plan.order_a[c.first + 1]] = plan.order_b[c.first + 1 - swap];
      continue;
    }
    m.costs.resize(size_t(c.size) * c.size);
    m.least.resize(c.size);
    m.cheapest.resize(c.size);
    for (std::vector<double>* v : {&m.x, &m.y, &m.z}) v->resize(c.size);
    for (int j = 0; j < c.size; ++j) {
      const double* q = b + 3 * plan.order_b[c.first + j];
      m.x[j] = q[0], m.y[j] = q[1], m.z[j] = q[2];
    }
    const int* chosen = m.cheapest.data();
    if (!nearest_atoms(plan, c, a, m)) {
      for (double& cost : m.least) cost = std::sqrt(cost);
      m.rooted.assign(c.size, 0);
      ClassCosts costs(c.size, m);
      chosen = Assignment(costs, m.assignment).solve(c.size, m.cheapest.data(), m.least.data()).data();
    }
    for (int i = 0; i < c.size; ++i) atom[plan.order_a[c.first + i]] = plan.order_b[c.first + chosen[i]];
  }
  for (int i = 0; i < plan.n_atoms; ++i) {
    const double *p = a + 3 * i, *q = b + 3 * atom[i];
    const double dx = p[0] - q[0], dy = p[1] - q[1], dz = p[2] - q[2];
    sum += dx * dx + dy * dy + dz * dz;
  }
  return std::sqrt(sum / plan.n_atoms);
}

}  // namespace packflow::cpu
