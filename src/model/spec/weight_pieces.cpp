#include "model/spec/weight_pieces.h"

#include <algorithm>
#include <cmath>

#include "dms/error.h"

namespace dms {
namespace {

constexpr int64_t kPieceValues = int64_t{1} << 20;

}  // namespace

void for_each_piece(const WeightName& weight,
                    const WeightSource& source,
                    const std::function<void(std::span<const float> rows)>& take) {
  const int64_t columns = weight.shape.back();
  const int64_t rows = weight.shape.size() == 1 ? 1 : weight.shape.front();
  const int64_t step = std::clamp<int64_t>(kPieceValues / columns, 1, rows);
  std::vector<float> values(static_cast<size_t>(step * columns));
  for (int64_t first = 0; first < rows; first += step) {
    const int64_t count = std::min(step, rows - first);
    const auto piece = std::span(values).first(static_cast<size_t>(count * columns));
    source.read_rows(weight, first, count, piece);
    take(piece);
  }
}

void require_quantisable(const WeightName& weight, std::span<const float> values) {
  if (std::ranges::all_of(values, [](float value) { return std::isfinite(value); })) return;
  throw InputError({.where = "tensor " + weight.name,
                    .what = "holds values that are not finite and cannot be quantised"});
}

}  // namespace dms
