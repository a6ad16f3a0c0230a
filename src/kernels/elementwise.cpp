#include "kernels/elementwise.h"

#include <algorithm>

#include "base/check.h"
#include "base/parallel.h"
#include "kernels/kernel_table.h"

namespace dms::kernels {
namespace {

/// Values that one thread takes at a time.
constexpr int64_t kChunk = 1 << 14;

Activation activation_of(UnaryOp op) {
  switch (op) {
    case UnaryOp::gelu:
      return Activation::gelu;
    case UnaryOp::gelu_tanh:
      return Activation::gelu_tanh;
    case UnaryOp::relu:
      return Activation::relu;
    case UnaryOp::silu:
      break;
  }
  return Activation::silu;
}

}  // namespace

void apply(UnaryOp op, std::span<float> x) {
  const RowTable& table = row_table();
  const int64_t count = std::ssize(x);
  parallel_for(ceil_div(count, kChunk), 1, [&](int64_t chunk) {
    const int64_t at = chunk * kChunk;
    table.apply(activation_of(op), x.data() + at, std::min(kChunk, count - at));
  });
}

void soft_cap(float cap, std::span<float> x) {
  ensure(cap > 0.0f, "a cap that is not positive");
  const RowTable& table = row_table();
  const int64_t count = std::ssize(x);
  parallel_for(ceil_div(count, kChunk), 1, [&](int64_t chunk) {
    const int64_t at = chunk * kChunk;
    table.soft_cap(cap, x.data() + at, std::min(kChunk, count - at));
  });
}

float dot_fixed_order(std::span<const float> a, std::span<const float> b) {
  ensure(a.size() == b.size(), "a dot product of different sizes");
  return row_table().sum_products(a.data(), b.data(), std::ssize(a));
}

}  // namespace dms::kernels
