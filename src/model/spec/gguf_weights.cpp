// A GGUF file's tensors as a WeightSource.

#include <algorithm>
#include <cmath>
#include <utility>

#include "base/check.h"
#include "dms/error.h"
#include "gguf/blocks.h"
#include "model/spec/gguf_model.h"
#include "model/spec/gguf_names.h"
#include "model/spec/shape_text.h"

namespace dms {
namespace {

constexpr int64_t kPieceBytes = int64_t{1} << 18;

bool is_query_or_key(WeightRole role) {
  return role == WeightRole::q || role == WeightRole::k || role == WeightRole::q_bias ||
         role == WeightRole::k_bias;
}

class GgufWeights final : public WeightSource {
 public:
  GgufWeights(std::shared_ptr<const gguf::File> file, const ModelSpec& spec)
      : file_(std::move(file)),
        head_dim_(spec.head_dim),
        has_pairs_(spec.model_type == "llama" || spec.model_type == "mistral") {
    for (const WeightName& weight : weight_names(spec)) check(weight);
  }

  void read_rows(const WeightName& weight,
                 int64_t first,
                 int64_t count,
                 std::span<float> out) const override {
    const int64_t columns = weight.shape.back();
    ensure(std::ssize(out) == count * columns, "row buffer of the wrong size");
    const gguf::TensorType type = type_of(weight);
    const auto width = static_cast<size_t>(columns);
    for_each_piece(weight, first, count, [&](std::span<const std::byte> piece, size_t row) {
      const auto rows = piece.size() / static_cast<size_t>(row_bytes(weight));
      gguf::dequantise(type, piece, out.subspan(row * width, rows * width));
    });
    if (gguf::layout_of(type).elements > 1) require_finite(weight, out);
    if (weight.shape.size() == 1 && is_paired(weight)) unpair(out);
  }

  std::optional<CodeGroups> code_groups(const WeightName& weight) const override {
    const gguf::TensorType type = type_of(weight);
    if (weight.shape.size() != 2 || !gguf::is_grouped(type)) return std::nullopt;
    return CodeGroups{.bits = gguf::code_bits(type),
                      .group = gguf::kGroupColumns,
                      .has_minima = gguf::has_minima(type)};
  }

  void read_codes(const WeightName& weight,
                  int64_t first,
                  int64_t count,
                  const CodeRows& out) const override {
    const auto width = static_cast<size_t>(weight.shape.back());
    const size_t groups = width / static_cast<size_t>(gguf::kGroupColumns);
    ensure(out.codes.size() == static_cast<size_t>(count) * width, "room for the codes");
    for_each_piece(weight, first, count, [&](std::span<const std::byte> piece, size_t row) {
      gguf::unpack(type_of(weight),
                   piece,
                   {.codes = out.codes.subspan(row * width),
                    .scales = out.scales.subspan(row * groups),
                    .minima = out.minima.subspan(row * groups)});
    });
    require_finite(weight, out.scales);
    require_finite(weight, out.minima);
  }

 private:
  std::string where(const WeightName& weight) const {
    return file_->where() + ": tensor " + gguf_name(weight.role, weight.layer);
  }

  const gguf::Tensor& find(const WeightName& weight) const {
    const std::string name = gguf_name(weight.role, weight.layer);
    if (const gguf::Tensor* tensor = file_->find(name)) return *tensor;
    throw InputError({.where = where(weight),
                      .what = "missing",
                      .expected = "shape " + shape_text(weight.shape)});
  }

  void check(const WeightName& weight) const {
    const gguf::Tensor& tensor = find(weight);
    if (tensor.shape != weight.shape) {
      throw InputError({.where = where(weight),
                        .what = "wrong shape",
                        .got = shape_text(tensor.shape),
                        .expected = shape_text(weight.shape)});
    }
    if (!gguf::is_readable(*tensor.type)) {
      throw InputError({.where = where(weight),
                        .what = "unsupported tensor type",
                        .got = std::string(tensor.type->name),
                        .expected = gguf::readable_types()});
    }
  }

  /// A scale that is no number spoils all that it scales.
  void require_finite(const WeightName& weight, std::span<const float> values) const {
    if (std::ranges::all_of(values, [](float value) { return std::isfinite(value); })) return;
    throw InputError(
        {.where = where(weight), .what = "a scale is not finite", .expected = "finite numbers"});
  }

  gguf::TensorType type_of(const WeightName& weight) const {
    return static_cast<gguf::TensorType>(find(weight).type->id);
  }

  int64_t row_bytes(const WeightName& weight) const {
    const gguf::TypeLayout& layout = *find(weight).type;
    return weight.shape.back() / layout.elements * layout.bytes;
  }

  /// llama.cpp turns neighbouring channels, Hugging Face's checkpoints those half a head apart: its
  /// converter brings the rows of such pairs together.
  bool is_paired(const WeightName& weight) const {
    return has_pairs_ && is_query_or_key(weight.role);
  }

  /// Where a checkpoint's row lies among rows in pairs.
  int64_t paired(int64_t row) const {
    const int64_t within = row % head_dim_;
    const int64_t half = head_dim_ / 2;
    return row - within + within % half * 2 + within / half;
  }

  void unpair(std::span<float> values) const {
    const std::vector<float> in_pairs(values.begin(), values.end());
    for (size_t i = 0; i < values.size(); ++i) {
      values[i] = in_pairs[static_cast<size_t>(paired(static_cast<int64_t>(i)))];
    }
  }

  /// Calls `use(bytes, row)` for rows as they are stored, `row` counting from `first`.
  template <class Use>
  void for_each_piece(const WeightName& weight,
                      int64_t first,
                      int64_t count,
                      const Use& use) const {
    const gguf::Tensor& tensor = find(weight);
    const int64_t bytes = row_bytes(weight);
    const bool one_by_one = weight.shape.size() == 2 && is_paired(weight);
    const int64_t most = one_by_one ? 1 : std::max<int64_t>(kPieceBytes / bytes, 1);
    std::vector<std::byte> piece;
    for (int64_t row = 0; row < count; row += most) {
      const int64_t rows = std::min(most, count - row);
      piece.resize(static_cast<size_t>(rows * bytes));
      const int64_t stored = one_by_one ? paired(first + row) : first + row;
      file_->read(tensor, stored * bytes, piece);
      use(std::span<const std::byte>(piece), static_cast<size_t>(row));
    }
  }

  std::shared_ptr<const gguf::File> file_;
  int64_t head_dim_;
  bool has_pairs_;
};

}  // namespace

std::unique_ptr<WeightSource> open_gguf_weights(std::shared_ptr<const gguf::File> file,
                                                const ModelSpec& spec) {
  return std::make_unique<GgufWeights>(std::move(file), spec);
}

}  // namespace dms
