#pragma once

#include <stddef.h>

#include <limits>
#include <utility>
#include <vector>

namespace packflow::cpu {

/// Arrays of `Assignment`.
struct AssignmentMemory {
  std::vector<double> of_row, of_column, shortest;
  std::vector<int> row_of, column_of, path, left;
  std::vector<int> seen_rows, seen_columns;
};

/// Columns of least total cost, one for each row: shortest augmenting paths (Crouse, IEEE Trans. Aerosp. Electron.
/// Syst. 52, 1679, 2016) that begin where each row takes its cheapest column if no row before it did. Costs are asked
/// for by the row, and only of rows that disagree.
class Assignment {
 public:
  explicit Assignment(AssignmentMemory& memory) : m_(memory) {}

  /// Args: numbers of rows and columns, not more rows than columns; the cheapest column of each row and its cost;
  /// cost(row) gives the costs of a row. Returns the column of each row, valid until the next call.
  template <class Cost>
  const std::vector<int>& solve(int n_rows, int n_columns, const int* cheapest, const double* least, Cost cost) {
    m_.column_of.assign(n_rows, -1);
    m_.row_of.assign(n_columns, -1);
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
    m_.of_column.assign(n_columns, 0.0);
    m_.path.resize(n_columns);
    for (int i = 0; i < n_rows; ++i) {
      if (m_.column_of[i] < 0) augment(i, n_columns, cost);
    }
    return m_.column_of;
  }

 private:
  template <class Cost>
  void augment(int start, int n_columns, Cost& cost) {
    m_.shortest.assign(n_columns, std::numeric_limits<double>::infinity());
    m_.left.resize(n_columns);
    for (int j = 0; j < n_columns; ++j) m_.left[j] = j;
    m_.seen_rows.clear();
    m_.seen_columns.clear();
    double reached = 0.0;
    int row = start, sink = -1;
    while (sink < 0) {
      m_.seen_rows.push_back(row);
      const double* costs = cost(row);
      const double base = reached - m_.of_row[row];
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
      reached = lowest;
      const int column = m_.left[place];
      m_.left[place] = m_.left.back();
      m_.left.pop_back();
      m_.seen_columns.push_back(column);
      if (m_.row_of[column] < 0) {
        sink = column;
      } else {
        row = m_.row_of[column];
      }
    }
    update(start, reached);
    for (int column = sink;;) {
      const int from = m_.path[column];
      m_.row_of[column] = from;
      std::swap(m_.column_of[from], column);
      if (from == start) return;
    }
  }

  /// Prices of rows and columns, so that what is assigned costs nothing more and nothing costs less.
  void update(int start, double reached) {
    m_.of_row[start] += reached;
    for (const int row : m_.seen_rows) {
      if (row != start) m_.of_row[row] += reached - m_.shortest[m_.column_of[row]];
    }
    for (const int column : m_.seen_columns) m_.of_column[column] -= reached - m_.shortest[column];
  }

  AssignmentMemory& m_;
};

}  // namespace packflow::cpu
