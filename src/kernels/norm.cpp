#include "kernels/norm.h"

#include <cmath>

#include "base/check.h"
#include "base/parallel.h"
#include "kernels/kernel_table.h"

namespace dms::kernels {
namespace {

/// Values that are worth another thread's attention.
constexpr int64_t kGrainValues = 1 << 15;

float inverse_root(float sum_of_squares, int64_t columns, float eps) {
  return 1.0f / std::sqrt(sum_of_squares / static_cast<float>(columns) + eps);
}

int64_t checked_rows(std::span<const float> x,
                     std::span<const float> weight,
                     std::span<const float> out) {
  ensure(!weight.empty() && x.size() % weight.size() == 0, "a norm of partial rows");
  ensure(out.size() == x.size(), "a norm's output of a wrong size");
  return std::ssize(x) / std::ssize(weight);
}

}  // namespace

void rms_norm(std::span<const float> x,
              std::span<const float> weight,
              float eps,
              std::span<float> out) {
  const int64_t rows = checked_rows(x, weight, out);
  const int64_t columns = std::ssize(weight);
  const RowTable& table = row_table();
  parallel_for(rows, ceil_div(kGrainValues, columns), [&](int64_t row) {
    const float* in = x.data() + row * columns;
    const float factor = inverse_root(table.sum_products(in, in, columns), columns, eps);
    float* to = out.data() + row * columns;
    table.normalise(in, 0.0f, factor, weight.data(), nullptr, columns, to);
  });
}

void layer_norm(std::span<const float> x,
                std::span<const float> weight,
                std::span<const float> bias,
                float eps,
                std::span<float> out) {
  const int64_t rows = checked_rows(x, weight, out);
  const int64_t columns = std::ssize(weight);
  ensure(bias.empty() || bias.size() == weight.size(), "a norm's bias of a wrong size");
  const RowTable& table = row_table();
  const float* offsets = bias.empty() ? nullptr : bias.data();
  parallel_for(rows, ceil_div(kGrainValues, columns), [&](int64_t row) {
    const float* in = x.data() + row * columns;
    const float mean = table.sum(in, columns) / static_cast<float>(columns);
    const float squares = table.sum_squared_deviations(in, mean, columns);
    const float factor = inverse_root(squares, columns, eps);
    table.normalise(in, mean, factor, weight.data(), offsets, columns, out.data() + row * columns);
  });
}

}  // namespace dms::kernels
