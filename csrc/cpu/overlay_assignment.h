#pragma once

#include <stddef.h>

#include <algorithm>
#include <limits>
#include <stdexcept>
#include <utility>
#include <vector>

namespace packflow::cpu {

/// Arrays of `Assignment`.
struct AssignmentMemory {
  std::vector<double> of_row, of_column, shortest;
  std::vector<int> row_of, column_of, path, left;
  std::vector<int> seen_rows, seen_columns;
};

/// Costs of all columns, at once.
struct DenseCosts {
  static constexpr double beyond = std::numeric_limits<double>::infinity();
  int n_columns;
  int n_known() const { return n_columns; }
  int n_all() const { return n_columns; }
};

/// Columns of least total cost, one for each row: shortest augmenting paths (Crouse, IEEE Trans. Aerosp. Electron.
/// Syst. 52, 1679, 2016) that begin where each row takes its cheapest column if no row before it did.
///
/// Costs says what is known: n_known() columns, the others costing more than `beyond` in any row; n_all() makes all
/// columns known and returns their number, which is not below that of the rows; of(row) gives the costs of a row in the
/// known columns. Rows are asked for where they disagree, and all columns where a path could lead beyond those known.
template <class Costs>
class Assignment {
 public:
  Assignment(Costs& costs, AssignmentMemory& memory) : costs_(costs), m_(memory) {}

  /// From the cheapest column of each row, which is a known one, and its cost. Returns the column of each row, valid
  /// until the next call.
  const std::vector<int>& solve(int n_rows, const int* cheapest, const double* least) {
    n_columns_ = costs_.n_known();
    m_.column_of.assign(n_rows, -1);
    m_.row_of.assign(n_columns_, -1);
    int n_free = 0;
    for (int i = 0; i < n_rows; ++i) {
      if (m_.row_of[cheapest[i]] >= 0) {
        ++n_free;
        continue;
      }
      m_.row_of[cheapest[i]] = i;
      m_.column_of[i] = cheapest[i];
    }
    if (n_free == 0) return m_.column_of;
    m_.of_row.assign(least, least + n_rows);
    m_.of_column.assign(n_columns_, 0.0);
    m_.path.resize(n_columns_);
    for (int i = 0; i < n_rows; ++i) {
      if (m_.column_of[i] >= 0) continue;
      int sink = search(i);
      if (sink < 0) {
        know_all();
        sink = search(i);
      }
      if (sink < 0) throw std::invalid_argument("the costs of an assignment must be finite");
      take(i, sink);
    }
    return m_.column_of;
  }

 private:
  void know_all() {
    n_columns_ = costs_.n_all();
    all_known_ = true;
    m_.row_of.resize(n_columns_, -1);
    m_.of_column.resize(n_columns_, 0.0);
    m_.path.resize(n_columns_);
  }

  /// The free column at the end of the shortest path from a row; -1 if one that is not known yet could be nearer.
  int search(int start) {
    m_.shortest.assign(n_columns_, std::numeric_limits<double>::infinity());
    m_.left.resize(n_columns_);
    for (int j = 0; j < n_columns_; ++j) m_.left[j] = j;
    m_.seen_rows.clear();
    m_.seen_columns.clear();
    double unknown = std::numeric_limits<double>::infinity();  // no path to an unknown column is shorter
    reached_ = 0.0;
    for (int row = start;;) {
      m_.seen_rows.push_back(row);
      const double* costs = costs_.of(row);
      const double base = reached_ - m_.of_row[row];
      if (!all_known_) unknown = std::min(unknown, base + costs_.beyond);
      double lowest = std::numeric_limits<double>::infinity();
      size_t place = 0;
      for (size_t k = 0; k < m_.left.size(); ++k) {
        const int j = m_.left[k];
        const double length = base + costs[j] - m_.of_column[j];
        if (length < m_.shortest[j]) {
          m_.shortest[j] = length;
          m_.path[j] = row;
        }
        if (m_.shortest[j] < lowest || (m_.shortest[j] == lowest && m_.row_of[j] < 0)) {
          lowest = m_.shortest[j];
          place = k;
        }
      }
      if (!(lowest < unknown)) return -1;
      reached_ = lowest;
      const int column = m_.left[place];
      m_.left[place] = m_.left.back();
      m_.left.pop_back();
      m_.seen_columns.push_back(column);
      if (m_.row_of[column] < 0) return column;
      row = m_.row_of[column];
    }
  }

  /// Rows along the path to a free column each take the next one; prices change so that what is assigned costs nothing
  /// more and nothing costs less.
  void take(int start, int sink) {
    m_.of_row[start] += reached_;
    for (const int row : m_.seen_rows) {
      if (row != start) m_.of_row[row] += reached_ - m_.shortest[m_.column_of[row]];
    }
    for (const int column : m_.seen_columns) m_.of_column[column] -= reached_ - m_.shortest[column];
    for (int column = sink;;) {
      const int from = m_.path[column];
      m_.row_of[column] = from;
      std::swap(m_.column_of[from], column);
      if (from == start) return;
    }
  }

  Costs& costs_;
  AssignmentMemory& m_;
  int n_columns_ = 0;
  bool all_known_ = false;
  double reached_ = 0.0;  // length of the last path
};

}  // namespace packflow::cpu
