// Codes of GPTQ and AWQ folders, which lie transposed: [columns / p, rows] or [columns, rows / p]
// words of p codes each.

#include <algorithm>
#include <array>
#include <mutex>
#include <utility>

#include "dms/error.h"
#include "model/spec/quantised_parts.h"
#include "model/spec/shape_text.h"

namespace dms {
namespace {

constexpr std::string_view kCodes = "qweight";
constexpr std::string_view kScales = "scales";
constexpr std::string_view kZeros = "qzeros";

// Which of a word's eight outputs each of its fields holds, from the low end (AutoAWQ's GEMM).
constexpr std::array<int64_t, 8> kAwqOrder{0, 2, 4, 6, 1, 3, 5, 7};

/// The whole weight, row by row.
struct Turned {
  std::vector<uint8_t> codes;
  std::vector<float> scales;
  std::vector<float> minima;
};

class TurnedCodes final : public QuantisedWeight {
 public:
  TurnedCodes(QuantisedParts parts, LocatedTensor codes, const Quantisation& how)
      : parts_(std::move(parts)), codes_(codes), how_(how) {
    open_codes();
    open_scales();
    parts_.check_order("g_idx", groups_.group);
  }

  const CodeGroups& groups() const override { return groups_; }

  void read(int64_t first, int64_t count, const CodeRows& out) const override {
    const std::shared_ptr<const Turned> all = turned(count);
    const auto copy = [&](const auto& from, auto to, int64_t width) {
      std::copy_n(from.begin() + first * width, count * width, to.begin());
    };
    copy(all->codes, out.codes, parts_.columns());
    copy(all->scales, out.scales, row_groups());
    copy(all->minima, out.minima, row_groups());
  }

 private:
  int64_t row_groups() const { return parts_.columns() / groups_.group; }
  int64_t per_word() const { return 32 / groups_.bits; }
  bool is_awq() const { return how_.method == QuantMethod::awq; }

  void open_codes() {
    const int64_t rows = parts_.rows();
    const int64_t columns = parts_.columns();
    groups_ = {.bits = 4, .has_minima = true};
    if (rows % 8 != 0 || columns % 8 != 0) refuse_uneven();
    if (is_awq()) {
      parts_.get(kCodes, {"I32"}, std::array{columns, rows / per_word()});
      return;
    }
    const std::vector<int64_t>& shape = codes_.entry->shape;
    if (!shape.empty() && shape[0] == columns / 4) groups_.bits = 8;
    parts_.get(kCodes, {"I32"}, std::array{columns / per_word(), rows});
  }

  [[noreturn]] void refuse_uneven() const {
    throw InputError({.where = parts_.where(kCodes),
                      .what = "the weight does not fill whole words of codes",
                      .got = shape_text(std::array{parts_.rows(), parts_.columns()}),
                      .expected = "rows and columns that are multiples of 8"});
  }

  void open_scales() {
    const std::optional<LocatedTensor> found = parts_.find(kScales, {"F32", "F16", "BF16"});
    const bool is_matrix = found && found->entry->shape.size() == 2;
    const int64_t groups = is_matrix ? found->entry->shape[0] : 1;
    scales_ = parts_.get(kScales, {"F32", "F16", "BF16"}, std::array{groups, parts_.rows()});
    groups_.group = parts_.group_size(kScales, groups);
    zeros_ = parts_.get(kZeros, {"I32"}, std::array{groups, parts_.rows() / per_word()});
  }

  /// A transposed tensor is turned once, for all who want its rows, and let go of when as many rows
  /// were asked for as it has.
  std::shared_ptr<const Turned> turned(int64_t count) const {
    const std::lock_guard lock(mutex_);
    if (!turned_) turned_ = std::make_shared<const Turned>(turn());
    std::shared_ptr<const Turned> all = turned_;
    rows_read_ += count;
    if (rows_read_ >= parts_.rows()) {
      rows_read_ = 0;
      turned_.reset();
    }
    return all;
  }

  Turned turn() const {
    Turned all;
    all.codes.resize(static_cast<size_t>(parts_.rows() * parts_.columns()));
    all.scales.resize(static_cast<size_t>(parts_.rows() * row_groups()));
    all.minima.resize(all.scales.size());
    if (is_awq()) {
      for_each_across(codes_, parts_.columns(), [&](int64_t column, int64_t row, uint8_t code) {
        all.codes[static_cast<size_t>(row * parts_.columns() + column)] = code;
      });
    } else {
      turn_gptq(all);
    }
    turn_scales(all);
    return all;
  }

  void turn_gptq(Turned& all) const {
    const int64_t rows = parts_.rows();
    std::vector<uint8_t> words(static_cast<size_t>(4 * rows));
    for (int64_t first = 0; first < parts_.columns(); first += per_word()) {
      read_bytes(codes_, first / per_word() * 4 * rows, std::as_writable_bytes(std::span(words)));
      for (int64_t row = 0; row < rows; ++row) {
        const auto word = std::span<const uint8_t>(words).subspan(static_cast<size_t>(4 * row), 4);
        for (int64_t i = 0; i < per_word(); ++i) {
          all.codes[static_cast<size_t>(row * parts_.columns() + first + i)] =
              field_at(word, i, groups_.bits);
        }
      }
    }
  }

  /// Visits (line, row, field) of a tensor [lines, rows / p] whose words hold fields of p rows.
  template <class Visit>
  void for_each_across(const LocatedTensor& tensor, int64_t lines, Visit visit) const {
    const int64_t words = parts_.rows() / per_word();
    std::vector<uint8_t> line(static_cast<size_t>(4 * words));
    for (int64_t at = 0; at < lines; ++at) {
      read_bytes(tensor, at * 4 * words, std::as_writable_bytes(std::span(line)));
      for (int64_t field = 0; field < words * per_word(); ++field) {
        const int64_t row =
            is_awq() ? field / 8 * 8 + kAwqOrder[static_cast<size_t>(field % 8)] : field;
        visit(at, row, field_at(line, field, groups_.bits));
      }
    }
  }

  void turn_scales(Turned& all) const {
    const int64_t groups = row_groups();
    std::vector<float> line(static_cast<size_t>(parts_.rows()));
    for (int64_t g = 0; g < groups; ++g) {
      read_values(scales_, g * parts_.rows(), line);
      parts_.check_finite(kScales, line);
      for (int64_t row = 0; row < parts_.rows(); ++row) {
        all.scales[static_cast<size_t>(row * groups + g)] = line[static_cast<size_t>(row)];
      }
    }
    const int64_t mask = (int64_t{1} << groups_.bits) - 1;
    for_each_across(zeros_, groups, [&](int64_t g, int64_t row, uint8_t stored) {
      const int64_t zero = how_.zero_less_one ? (stored + 1) & mask : stored;
      const auto at = static_cast<size_t>(row * groups + g);
      all.minima[at] = -static_cast<float>(zero) * all.scales[at];
    });
  }

  QuantisedParts parts_;
  LocatedTensor codes_;
  Quantisation how_;
  CodeGroups groups_;
  LocatedTensor scales_{};
  LocatedTensor zeros_{};
  mutable std::mutex mutex_;
  mutable std::shared_ptr<const Turned> turned_;
  mutable int64_t rows_read_ = 0;
};

}  // namespace

std::unique_ptr<QuantisedWeight> open_turned_codes(QuantisedParts parts, const Quantisation& how) {
  const auto codes = parts.find(kCodes, {"I32"});
  if (!codes) return nullptr;
  return std::make_unique<TurnedCodes>(std::move(parts), *codes, how);
}

}  // namespace dms
