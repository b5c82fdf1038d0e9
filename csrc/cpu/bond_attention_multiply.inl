// Products of small matrices in scratch memory. Included by bond_attention_kernel.inl.

namespace packflow::cpu::PACKFLOW_ISA {
namespace {

/// Rows and vectors of one tile of a product. Its sums, one row of b and one number of a fill the registers.
constexpr int kMostRows = PACKFLOW_TILE_ROWS;
constexpr int kTileVectors = 2;

/// What is multiplied: c[row][column] = sum over depth of a[row][depth] b[depth][column]. Strides are constants, so
/// that the rows of a tile are at constant distances from one address.
enum class Product {
  kLogits,     // [key][query] = rows of keys x columns of queries
  kQuerySums,  // [query][d_head] = logits [key][query], transposed, x rows of keys
  kKeySums,    // [key][d_head] = logits [key][query] x rows of queries
};

template <Product product>
struct Strides {
  static constexpr int a_row = product == Product::kLogits ? kRowStride : product == Product::kQuerySums ? 1 : kPanel;
  static constexpr int a_depth = product == Product::kQuerySums ? kPanel : 1;
  static constexpr int b = product == Product::kLogits ? kPanel : kRowStride;
  static constexpr int c = product == Product::kLogits ? kPanel : kRowStride;
};

template <Product product, int n_rows, int n_vectors>
void multiply_tile(const float* a, const float* b, float* c, int depth, bool add) {
  using S = Strides<product>;
  Vec sum[n_rows][n_vectors];
#pragma GCC unroll 16
  for (int r = 0; r < n_rows; ++r) {
#pragma GCC unroll 4
    for (int v = 0; v < n_vectors; ++v) sum[r][v] = add ? load(c + r * S::c + v * kLanes) : Vec{};
  }
  for (int k = 0; k < depth; ++k) {
    Vec row[n_vectors];
#pragma GCC unroll 4
    for (int v = 0; v < n_vectors; ++v) row[v] = load(b + v * kLanes);
#pragma GCC unroll 16
    for (int r = 0; r < n_rows; ++r) {
      const Vec x = broadcast(a[r * S::a_row]);
#pragma GCC unroll 4
      for (int v = 0; v < n_vectors; ++v) sum[r][v] += x * row[v];
    }
    a += S::a_depth;
    b += S::b;
  }
#pragma GCC unroll 16
  for (int r = 0; r < n_rows; ++r) {
#pragma GCC unroll 4
    for (int v = 0; v < n_vectors; ++v) store(c + r * S::c + v * kLanes, sum[r][v]);
  }
}

/// Tiles have even numbers of rows.
template <Product product, int n_vectors, int most_rows = kMostRows>
void multiply_rows(const float* a, const float* b, float* c, int n_rows, int depth, bool add) {
  if (n_rows == most_rows) {
    multiply_tile<product, most_rows, n_vectors>(a, b, c, depth, add);
  } else if constexpr (most_rows > 2) {
    multiply_rows<product, n_vectors, most_rows - 2>(a, b, c, n_rows, depth, add);
  }
}

/// Asks for rows of memory long before they are needed. The rows of one head lie far apart: the processor does not
/// guess them. Requests are made between the tiles of products, a few at a time so that they do not queue up.
class Prefetch {
 public:
  /// For rows first ... first + n_rows - 1 of what is added.
  Prefetch(int first, int n_rows, int row_bytes) : first_(first), n_rows_(n_rows), row_bytes_(row_bytes) {}

  template <class T>
  void add(Rows<T> rows, int64_t offset) {
    streams_[n_streams_++] = {reinterpret_cast<const char*>(row(rows, first_) + offset),
                              rows.stride * int64_t(sizeof(T))};
  }

  void ask_for_some() {
    constexpr int kLines = 64, kLineBytes = 64;
    for (int n_lines = 0; n_lines < kLines && row_ < n_rows_; ++row_) {
      for (int i = 0; i < n_streams_; ++i) {
        const char* begin = streams_[i].data + row_ * streams_[i].stride;
        for (int byte = 0; byte < row_bytes_; byte += kLineBytes, ++n_lines) __builtin_prefetch(begin + byte, 0, 2);
      }
    }
  }

 private:
  struct Stream {
    const char* data;
    int64_t stride;
  };
  Stream streams_[8];
  int n_streams_ = 0, row_ = 0;
  int first_, n_rows_, row_bytes_;
};

/// Writes, or adds to, c. An odd number of rows is rounded up; columns are counted in vectors. Calls
/// after(first row, number of rows) when rows of c are done: what it stores goes out while the next tile is computed.
template <Product product, class Function>
void multiply(const float* a, const float* b, float* c, int n_rows, int n_vectors, int depth, bool add, Prefetch& ahead,
              Function after) {
  using S = Strides<product>;
  const int n_pairs = (n_rows + 1) / 2;
  const int n_tiles = (n_pairs + kMostRows / 2 - 1) / (kMostRows / 2);
  // Tiles of nearly the same size: a small one would leave most of the multipliers idle.
  for (int tile = 0, first = 0; tile < n_tiles; ++tile) {
    const int end = 2 * (n_pairs * (tile + 1) / n_tiles);
    const float* a_tile = a + first * S::a_row;
    for (int v = 0; v < n_vectors; v += kTileVectors) {
      float* c_tile = c + first * S::c + v * kLanes;
      if (v + kTileVectors <= n_vectors) {
        multiply_rows<product, kTileVectors>(a_tile, b + v * kLanes, c_tile, end - first, depth, add);
      } else {
        multiply_rows<product, 1>(a_tile, b + v * kLanes, c_tile, end - first, depth, add);
      }
      ahead.ask_for_some();
    }
    after(first, (end < n_rows ? end : n_rows) - first);
    first = end;
  }
}

template <Product product>
void multiply(const float* a, const float* b, float* c, int n_rows, int n_vectors, int depth, bool add,
              Prefetch& ahead) {
  multiply<product>(a, b, c, n_rows, n_vectors, depth, add, ahead, [](int, int) {});
}

}  // namespace
}  // namespace packflow::cpu::PACKFLOW_ISA
