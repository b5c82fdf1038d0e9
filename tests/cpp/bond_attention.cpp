// Runs the CPU attention on awkward batches, for the sanitizers to watch. Every array is a heap block of exactly the
// size that the header asks for. Prints the relative differences from a plain loop in double.

#include "packflow/bond_attention.h"

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <memory>
#include <random>
#include <string>
#include <vector>

using namespace packflow;

namespace {

struct Input {
  std::vector<int32_t> cu_seqlens, row_ptr, column;
  std::vector<float> q, k, v, edge_bias, grad_out;
  int n_heads, d_head;
  int64_t n_atoms() const { return cu_seqlens.back(); }
};

/// `degree` edges per atom to atoms near it: duplicates and self-loops are common. Every seventh atom has none.
Input make_input(const std::vector<int>& sizes, int n_heads, int d_head, int degree) {
  std::mt19937 random(1);
  std::normal_distribution<float> normal;
  Input x;
  x.n_heads = n_heads;
  x.d_head = d_head;
  x.cu_seqlens = {0};
  x.row_ptr = {0};
  for (int n : sizes) {
    const int first = x.cu_seqlens.back();
    for (int i = 0; i < n; ++i) {
      for (int e = 0; e < degree && i % 7 != 6; ++e) x.column.push_back(first + (i + int(random() % 3)) % n);
      x.row_ptr.push_back(int32_t(x.column.size()));
    }
    x.cu_seqlens.push_back(first + n);
  }
  const auto fill = [&](std::vector<float>& values, size_t n) {
    values.resize(n);
    for (float& value : values) value = normal(random);
  };
  for (auto* values : {&x.q, &x.k, &x.v, &x.grad_out}) fill(*values, x.n_atoms() * n_heads * d_head);
  fill(x.edge_bias, x.column.size() * n_heads);
  return x;
}

BondedBatch batch_of(const Input& x) {
  return {x.cu_seqlens.data(),
          x.row_ptr.data(),
          x.column.data(),
          x.edge_bias.data(),
          int64_t(x.cu_seqlens.size()) - 1,
          x.n_atoms(),
          int64_t(x.column.size()),
          x.n_heads,
          x.d_head};
}

/// out and the gradients of v and edge_bias, one after the other.
std::vector<double> plain(const Input& x) {
  const int H = x.n_heads, D = x.d_head;
  const auto at = [&](int64_t atom, int head) { return (atom * H + head) * D; };
  std::vector<double> out(x.q.size()), grad_v(x.q.size()), grad_bias(x.edge_bias.size());
  for (size_t c = 0; c + 1 < x.cu_seqlens.size(); ++c) {
    const int first = x.cu_seqlens[c], n = x.cu_seqlens[c + 1] - first;
    for (int head = 0; head < H; ++head) {
      for (int i = first; i < first + n; ++i) {
        std::vector<double> weight(n), grad(n);
        double total = 0, mean = 0;
        for (int j = 0; j < n; ++j) {
          for (int d = 0; d < D; ++d) weight[j] += double(x.q[at(i, head) + d]) * x.k[at(first + j, head) + d];
          weight[j] /= std::sqrt(double(D));
        }
        for (int e = x.row_ptr[i]; e < x.row_ptr[i + 1]; ++e) weight[x.column[e] - first] += x.edge_bias[e * H + head];
        for (double& w : weight) total += w = std::exp(w);
        for (int j = 0; j < n; ++j) {
          weight[j] /= total;
          for (int d = 0; d < D; ++d) {
            out[at(i, head) + d] += weight[j] * x.v[at(first + j, head) + d];
            grad_v[at(first + j, head) + d] += weight[j] * x.grad_out[at(i, head) + d];
            grad[j] += double(x.v[at(first + j, head) + d]) * x.grad_out[at(i, head) + d];
          }
          mean += weight[j] * grad[j];
        }
        for (int e = x.row_ptr[i]; e < x.row_ptr[i + 1]; ++e) {
          const int j = x.column[e] - first;
          grad_bias[e * H + head] = weight[j] * (grad[j] - mean);
        }
      }
    }
  }
  out.insert(out.end(), grad_v.begin(), grad_v.end());
  out.insert(out.end(), grad_bias.begin(), grad_bias.end());
  return out;
}

float as_float(float x) { return x; }
float as_float(BFloat16 x) {
  const uint32_t bits = uint32_t(x.bits) << 16;
  float value;
  static_assert(sizeof(value) == sizeof(bits), "");
  std::copy_n(reinterpret_cast<const char*>(&bits), 4, reinterpret_cast<char*>(&value));
  return value;
}
void assign(float& to, float from) { to = from; }
void assign(BFloat16& to, float from) {
  uint32_t bits;
  std::copy_n(reinterpret_cast<const char*>(&from), 4, reinterpret_cast<char*>(&bits));
  to.bits = uint16_t((bits + 0x8000u) >> 16);
}

/// q, k and v are slices of one tensor, as the model passes them.
template <class Storage>
std::vector<double> ours(const Input& x, int n_threads, cpu::InstructionSet set) {
  const int64_t H = x.n_heads, D = x.d_head, row = H * D, n = x.n_atoms();
  std::unique_ptr<Storage[]> qkv(new Storage[3 * n * row]), grad_out(new Storage[n * row]);
  for (int64_t i = 0; i < n; ++i) {
    for (int64_t d = 0; d < row; ++d) {
      assign(qkv[(3 * i) * row + d], x.q[i * row + d]);
      assign(qkv[(3 * i + 1) * row + d], x.k[i * row + d]);
      assign(qkv[(3 * i + 2) * row + d], x.v[i * row + d]);
      assign(grad_out[i * row + d], x.grad_out[i * row + d]);
    }
  }
  std::unique_ptr<Storage[]> out(new Storage[n * row]), grads(new Storage[3 * n * row]);
  std::unique_ptr<float[]> lse(new float[n * H]), grad_bias(new float[x.edge_bias.size()]);
  const HeadsView<const Storage> q = {qkv.get(), 3 * row, D}, k = {qkv.get() + row, 3 * row, D},
                                 v = {qkv.get() + 2 * row, 3 * row, D};
  const BondedBatch batch = batch_of(x);
  cpu::bond_attention_forward<Storage>(batch, q, k, v, {out.get(), row, D}, lse.get(), n_threads, set);
  const cpu::BondAttentionGradients<Storage> gradients = {{grad_out.get(), row, D},
                                                          {grads.get(), row, D},
                                                          {grads.get() + n * row, row, D},
                                                          {grads.get() + 2 * n * row, row, D},
                                                          grad_bias.get()};
  cpu::bond_attention_backward<Storage>(batch, q, k, v, {out.get(), row, D}, lse.get(), gradients, n_threads, set);
  std::vector<double> all;
  for (int64_t i = 0; i < n * row; ++i) all.push_back(as_float(out[i]));
  for (int64_t i = 0; i < n * row; ++i) all.push_back(as_float(grads[2 * n * row + i]));
  all.insert(all.end(), grad_bias.get(), grad_bias.get() + x.edge_bias.size());
  return all;
}

double difference(const std::vector<double>& x, const std::vector<double>& y) {
  double error = 0, norm = 1e-30;
  for (size_t i = 0; i < x.size(); ++i) {
    error += (x[i] - y[i]) * (x[i] - y[i]);
    norm += y[i] * y[i];
  }
  return std::sqrt(error / norm);
}

}  // namespace

int main() {
  struct Case {
    const char* name;
    std::vector<int> sizes;
    int n_heads, d_head, degree;
  };
  const Case cases[] = {{"ragged", {31, 1, 0, 186, 64, 257, 15}, 2, 40, 3},
                        {"duplicates", {5, 33}, 3, 8, 12},
                        {"one atom", {1}, 1, 16, 2},
                        {"no bonds", {17, 2}, 2, 128, 0},
                        {"nothing", {0, 0}, 2, 32, 1},
                        {"2000 atoms", {2000}, 1, 8, 2}};
  bool good = true;
  for (const Case& c : cases) {
    const Input input = make_input(c.sizes, c.n_heads, c.d_head, c.degree);
    const std::vector<double> expected = plain(input);
    for (const std::string& name : cpu::instruction_sets()) {
      const auto set = cpu::instruction_set(name);
      const double single = difference(ours<float>(input, 3, set), expected);
      const double half = difference(ours<BFloat16>(input, 3, set), expected);
      std::printf("%-10s %-8s float32 %.1e bfloat16 %.1e\n", c.name, name.c_str(), single, half);
      good = good && single < 3e-6 && half < 2e-2;
    }
  }
  return good ? 0 : 1;
}
