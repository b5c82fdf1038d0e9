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

/// Rows of a tensor that a product is written to, each times a factor, when all of its terms are added. Until then, and
/// for products that stay in scratch memory, `data` is null.
template <class Storage>
struct Output {
  Storage* data;
  int64_t stride;
  const float* factors;  // of row r: factors[r * factor_step]
  int factor_step;
  int n_rows, d_head;
};

template <class Storage, int n_vectors>
void write_row(const Output<Storage>& out, int r, int d, const Vec* sums) {
  Storage* x = out.data + r * out.stride + d;
  const float factor = out.factors[r * out.factor_step];
#pragma GCC unroll 4
  for (int v = 0; v < n_vectors; ++v) {
    const Vec value = sums[v] * factor;
    if (kLanes <= 8 || d + (v + 1) * kLanes <= out.d_head) {
      store_row(x + v * kLanes, value, Whole{});
    } else {
      store_row(x + v * kLanes, value, Half{});
    }
  }
}

/// The tile of c that begins at row `first` and number d of a row.
template <Product product, int n_rows, int n_vectors, class Storage>
void multiply_tile(const float* a, const float* b, float* c, int depth, bool add, const Output<Storage>& out, int first,
                   int d) {
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
  if (product != Product::kLogits && out.data) {
#pragma GCC unroll 16
    for (int r = 0; r < n_rows; ++r) {
      if (first + r < out.n_rows) write_row<Storage, n_vectors>(out, first + r, d, sum[r]);
    }
    return;
  }
#pragma GCC unroll 16
  for (int r = 0; r < n_rows; ++r) {
#pragma GCC unroll 4
    for (int v = 0; v < n_vectors; ++v) store(c + r * S::c + v * kLanes, sum[r][v]);
  }
}

/// Tiles have even numbers of rows.
template <Product product, int n_vectors, int most_rows = kMostRows, class Storage>
void multiply_rows(const float* a, const float* b, float* c, int n_rows, int depth, bool add,
                   const Output<Storage>& out, int first, int d) {
  if (n_rows == most_rows) {
    multiply_tile<product, most_rows, n_vectors>(a, b, c, depth, add, out, first, d);
  } else if constexpr (most_rows > 2) {
    multiply_rows<product, n_vectors, most_rows - 2>(a, b, c, n_rows, depth, add, out, first, d);
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

/// Writes, or adds to, c, and in the end to `out`. An odd number of rows is rounded up; columns are counted in vectors.
template <Product product, class Storage>
void multiply(const float* a, const float* b, float* c, int n_rows, int n_vectors, int depth, bool add, Prefetch& ahead,
              const Output<Storage>& out) {
  using S = Strides<product>;
  const int n_pairs = (n_rows + 1) / 2;
  const int n_tiles = (n_pairs + kMostRows / 2 - 1) / (kMostRows / 2);
  // Tiles of nearly the same size: a small one would leave most of the multipliers idle.
  for (int tile = 0, first = 0; tile < n_tiles; ++tile) {
    const int end = 2 * (n_pairs * (tile + 1) / n_tiles);
    const float* a_tile = a + first * S::a_row;
    for (int v = 0; v < n_vectors; v += kTileVectors) {
      const int d = v * kLanes;
      float* c_tile = c + first * S::c + d;
      if (v + kTileVectors <= n_vectors) {
        multiply_rows<product, kTileVectors>(a_tile, b + d, c_tile, end - first, depth, add, out, first, d);
      } else {
        multiply_rows<product, 1>(a_tile, b + d, c_tile, end - first, depth, add, out, first, d);
      }
      ahead.ask_for_some();
    }
    first = end;
  }
}

}  // namespace
}  // namespace packflow::cpu::PACKFLOW_ISA
