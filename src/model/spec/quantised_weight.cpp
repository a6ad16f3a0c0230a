#include "model/spec/quantised_weight.h"

#include <algorithm>
#include <array>
#include <cmath>

#include "dms/error.h"
#include "model/spec/quantised_parts.h"
#include "model/spec/shape_text.h"

namespace dms {
namespace {

constexpr std::string_view kWeight = "weight";
constexpr std::array<std::string_view, 6> kRowNames{
    "weight", "weight_packed", "weight_scale", "weight_zero_point", "weight_shape", "weight_g_idx"};
constexpr std::array<std::string_view, 4> kTurnedNames{"qweight", "scales", "qzeros", "g_idx"};

std::string prefix_of(const WeightName& weight) {
  return weight.name.substr(0, weight.name.size() - kWeight.size());
}

bool can_be_quantised(const WeightName& weight) {
  return weight.shape.size() == 2 && weight.name.ends_with(kWeight) && !is_adapter(weight.role);
}

}  // namespace

QuantisedParts::QuantisedParts(const TensorFiles& files, const WeightName& weight)
    : files_(&files),
      prefix_(prefix_of(weight)),
      rows_(weight.shape[0]),
      columns_(weight.shape[1]) {}

std::string QuantisedParts::where(std::string_view suffix) const {
  const std::string name = prefix_ + std::string(suffix);
  const LocatedTensor* tensor = files_->find(name);
  if (tensor == nullptr) return "tensor " + name;
  return tensor->file->path().string() + ": tensor " + name;
}

std::optional<LocatedTensor> QuantisedParts::find(
    std::string_view suffix, std::initializer_list<std::string_view> types) const {
  const LocatedTensor* tensor = files_->find(prefix_ + std::string(suffix));
  if (tensor == nullptr) return std::nullopt;
  if (std::ranges::find(types, tensor->entry->dtype) != types.end()) return *tensor;
  std::string expected;
  for (const std::string_view type : types) {
    expected += (expected.empty() ? "" : " or ") + std::string(type);
  }
  throw InputError({.where = where(suffix),
                    .what = "wrong dtype",
                    .got = tensor->entry->dtype,
                    .expected = expected});
}

LocatedTensor QuantisedParts::get(std::string_view suffix,
                                  std::initializer_list<std::string_view> types,
                                  std::span<const int64_t> shape) const {
  const std::optional<LocatedTensor> tensor = find(suffix, types);
  if (!tensor) {
    throw InputError({.where = where(suffix),
                      .what = "missing",
                      .expected = "shape " + shape_text(shape) + ", beside the weight's codes"});
  }
  if (!std::ranges::equal(tensor->entry->shape, shape)) {
    throw InputError({.where = where(suffix),
                      .what = "wrong shape",
                      .got = shape_text(tensor->entry->shape),
                      .expected = shape_text(shape)});
  }
  return *tensor;
}

int64_t QuantisedParts::group_size(std::string_view suffix, int64_t groups) const {
  if (groups > 0 && columns_ % groups == 0) return columns_ / groups;
  throw InputError({.where = where(suffix),
                    .what = "the groups do not divide the weight's columns",
                    .got = std::to_string(groups) + " groups",
                    .expected = "a divisor of " + std::to_string(columns_)});
}

void QuantisedParts::check_order(std::string_view suffix, int64_t group) const {
  const std::optional<LocatedTensor> tensor = find(suffix, {"I32"});
  if (!tensor) return;
  get(suffix, {"I32"}, std::array{columns_});
  std::vector<int32_t> order(static_cast<size_t>(columns_));
  read_bytes(*tensor, 0, std::as_writable_bytes(std::span(order)));
  for (int64_t column = 0; column < columns_; ++column) {
    const int32_t named = order[static_cast<size_t>(column)];
    if (named == column / group) continue;
    throw InputError(
        {.where = where(suffix),
         .what = "columns that are out of order (act-order) are not supported",
         .got = "group " + std::to_string(named) + " for column " + std::to_string(column),
         .expected = "group " + std::to_string(column / group),
         .hint = "quantise without desc_act"});
  }
}

void QuantisedParts::check_finite(std::string_view suffix, std::span<const float> scales) const {
  const auto bad = std::ranges::find_if_not(scales, [](float x) { return std::isfinite(x); });
  if (bad == scales.end()) return;
  throw InputError({.where = where(suffix),
                    .what = "a scale is not finite",
                    .got = std::to_string(*bad),
                    .expected = "finite numbers"});
}

void read_bytes(const LocatedTensor& tensor, int64_t offset, std::span<std::byte> out) {
  tensor.file->read(*tensor.entry, offset, out);
}

std::vector<std::string> quantised_names(const WeightName& weight, QuantMethod method) {
  std::vector<std::string> names;
  if (!can_be_quantised(weight)) return names;
  const auto add = [&](std::string_view suffix) {
    names.push_back(prefix_of(weight) + std::string(suffix));
  };
  if (method == QuantMethod::compressed_tensors) {
    std::ranges::for_each(kRowNames, add);
  } else {
    std::ranges::for_each(kTurnedNames, add);
  }
  return names;
}

std::unique_ptr<QuantisedWeight> open_quantised(const TensorFiles& files,
                                                const WeightName& weight,
                                                const Quantisation& how) {
  if (!can_be_quantised(weight)) return nullptr;
  const QuantisedParts parts(files, weight);
  return how.method == QuantMethod::compressed_tensors ? open_row_codes(parts)
                                                       : open_turned_codes(parts, how);
}

}  // namespace dms
