// Rows of codes, as compressed-tensors writes them: "pack-quantized" (4 or 8 bits, offset by half
// their range, packed in 32-bit words) or "int-quantized" (a signed byte each).

#include <array>
#include <utility>

#include "base/check.h"
#include "model/spec/quantised_parts.h"

namespace dms {
namespace {

constexpr std::string_view kPacked = "weight_packed";
constexpr std::string_view kBytes = "weight";
constexpr std::string_view kScale = "weight_scale";
constexpr std::string_view kZero = "weight_zero_point";
constexpr uint8_t kSignBit = 0x80;  // turns a signed byte into one offset by 128, and back

class RowCodes final : public QuantisedWeight {
 public:
  RowCodes(QuantisedParts parts, LocatedTensor codes, bool is_packed)
      : parts_(std::move(parts)), codes_(codes), is_packed_(is_packed) {
    open_codes();
    open_scales();
    open_zeros();
    parts_.check_order("weight_g_idx", groups_.group);
    check_shape();
  }

  const CodeGroups& groups() const override { return groups_; }

  void read(int64_t first, int64_t count, const CodeRows& out) const override {
    read_codes(first, count, out.codes);
    read_values(scales_, first * row_groups(), out.scales);
    parts_.check_finite(kScale, out.scales);
    const auto half = static_cast<float>(int64_t{1} << (groups_.bits - 1));
    for (size_t i = 0; i < out.scales.size(); ++i) out.minima[i] = -half * out.scales[i];
    if (zeros_) read_minima(first, count, out);
  }

 private:
  int64_t row_groups() const { return parts_.columns() / groups_.group; }
  static int64_t words(int64_t fields, int64_t bits) { return ceil_div(fields * bits, 32); }

  void open_codes() {
    const int64_t columns = parts_.columns();
    if (!is_packed_) {
      groups_.bits = 8;
      parts_.get(kBytes, {"I8"}, std::array{parts_.rows(), columns});
      return;
    }
    const std::vector<int64_t>& shape = codes_.entry->shape;
    const bool is_wide = shape.size() == 2 && shape[1] == words(columns, 8);
    groups_.bits = is_wide ? 8 : 4;
    parts_.get(kPacked, {"I32"}, std::array{parts_.rows(), words(columns, groups_.bits)});
  }

  void open_scales() {
    const std::optional<LocatedTensor> found = parts_.find(kScale, {"F32", "F16", "BF16"});
    const bool is_matrix = found && found->entry->shape.size() == 2;
    const int64_t groups = is_matrix ? found->entry->shape[1] : 1;
    scales_ = parts_.get(kScale, {"F32", "F16", "BF16"}, std::array{parts_.rows(), groups});
    groups_.group = parts_.group_size(kScale, groups);
  }

  void open_zeros() {
    zeros_ = parts_.find(kZero, {is_packed_ ? "I32" : "I8"});
    if (!zeros_) return;
    const int64_t rows = is_packed_ ? words(parts_.rows(), groups_.bits) : parts_.rows();
    parts_.get(kZero, {is_packed_ ? "I32" : "I8"}, std::array{rows, row_groups()});
    groups_.has_minima = true;
  }

  void check_shape() const {
    constexpr std::string_view kShape = "weight_shape";
    const std::optional<LocatedTensor> tensor = parts_.find(kShape, {"I64", "I32"});
    if (tensor) parts_.get(kShape, {"I64", "I32"}, std::array<int64_t, 1>{2});
  }

  void read_codes(int64_t first, int64_t count, std::span<uint8_t> codes) const {
    const int64_t columns = parts_.columns();
    if (!is_packed_) {
      read_bytes(codes_, first * columns, std::as_writable_bytes(codes));
      for (uint8_t& code : codes) code ^= kSignBit;
      return;
    }
    const int64_t row_bytes = 4 * words(columns, groups_.bits);
    std::vector<uint8_t> packed(static_cast<size_t>(count * row_bytes));
    read_bytes(codes_, first * row_bytes, std::as_writable_bytes(std::span(packed)));
    for (int64_t row = 0; row < count; ++row) {
      const auto bytes = std::span<const uint8_t>(packed).subspan(
          static_cast<size_t>(row * row_bytes), static_cast<size_t>(row_bytes));
      uint8_t* out = codes.data() + row * columns;
      for (int64_t c = 0; c < columns; ++c) out[c] = field_at(bytes, c, groups_.bits);
    }
  }

  /// Packed zero points of neighbouring rows share a word.
  void read_minima(int64_t first, int64_t count, const CodeRows& out) const {
    const int64_t groups = row_groups();
    const int64_t per_word = is_packed_ ? 32 / groups_.bits : 1;
    const int64_t word_bytes = is_packed_ ? 4 : 1;
    std::vector<uint8_t> words(static_cast<size_t>(groups * word_bytes));
    int64_t loaded = -1;
    for (int64_t row = 0; row < count; ++row) {
      const int64_t word_row = (first + row) / per_word;
      if (word_row != loaded) {
        read_bytes(zeros_.value(),
                   word_row * groups * word_bytes,
                   std::as_writable_bytes(std::span(words)));
        loaded = word_row;
      }
      for (int64_t g = 0; g < groups; ++g) {
        const auto word = std::span<const uint8_t>(words).subspan(
            static_cast<size_t>(g * word_bytes), static_cast<size_t>(word_bytes));
        const uint8_t zero = is_packed_ ? field_at(word, (first + row) % per_word, groups_.bits)
                                        : static_cast<uint8_t>(word[0] ^ kSignBit);
        const auto at = static_cast<size_t>(row * groups + g);
        out.minima[at] = -static_cast<float>(zero) * out.scales[at];
      }
    }
  }

  QuantisedParts parts_;
  LocatedTensor codes_;
  bool is_packed_;
  CodeGroups groups_;
  LocatedTensor scales_{};
  std::optional<LocatedTensor> zeros_;
};

}  // namespace

std::unique_ptr<QuantisedWeight> open_row_codes(QuantisedParts parts) {
  if (const auto codes = parts.find(kPacked, {"I32"})) {
    return std::make_unique<RowCodes>(std::move(parts), *codes, true);
  }
  const auto codes = parts.find(kBytes, {"I8", "F32", "F16", "BF16"});
  if (!codes || codes->entry->dtype != "I8") return nullptr;
  return std::make_unique<RowCodes>(std::move(parts), *codes, false);
}

}  // namespace dms
