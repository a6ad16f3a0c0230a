#include "model/spec/triattention_adapter.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <cstdio>
#include <memory>
#include <span>
#include <utility>
#include <vector>

#include "base/checksum.h"
#include "dms/error.h"
#include "model/spec/adapter.h"
#include "model/spec/calibrated_adapter.h"

namespace dms {
namespace {

constexpr int64_t kMaxTokens = int64_t{1} << 40;
constexpr int64_t kMaxSize = int64_t{1} << 30;
/// A mean is no larger than the mean of sizes, up to float32's rounding of both.
constexpr double kRounding = 1e-5;

constexpr const char* kTokens = "triattention_tokens";
constexpr const char* kBaseSum = "triattention_base";
constexpr const char* kQueryHeads = "num_attention_heads";
constexpr const char* kHeadDim = "head_dim";

using Numbers = std::vector<float>;

std::shared_ptr<const Numbers> read_all(const WeightSource& adapter,
                                        const ModelSpec& spec,
                                        WeightRole role) {
  auto numbers = std::make_shared<Numbers>();
  for (const WeightName& weight : adapter_weight_names(spec)) {
    if (weight.role != role) continue;
    const size_t begin = numbers->size();
    numbers->resize(begin + static_cast<size_t>(element_count(weight)));
    adapter.read_rows(weight, 0, weight.shape.front(), std::span(*numbers).subspan(begin));
  }
  return numbers;
}

/// One head's, of which channel i is turned with channel i + sizes.size().
void check_head(std::span<const float> mean,
                std::span<const float> sizes,
                const std::string& where) {
  for (size_t f = 0; f < sizes.size(); ++f) {
    const double least = std::hypot(mean[f], mean[f + sizes.size()]);
    if (sizes[f] >= least * (1 - kRounding)) continue;
    throw InputError({.where = where,
                      .what = "a mean size that is less than the size of the mean",
                      .got = std::to_string(sizes[f]) + " of pair " + std::to_string(f),
                      .expected = "at least " + std::to_string(least)});
  }
}

void check_sizes(const TriattentionSpec& statistics, const ModelSpec& spec) {
  const auto width = static_cast<size_t>(spec.head_dim);
  const auto pairs = static_cast<size_t>(spec.rope.rotary_dim / 2);
  const auto heads = static_cast<size_t>(spec.q_heads);
  const std::filesystem::path file =
      std::filesystem::path(statistics.origin).parent_path() / kAdapterWeightsFile;
  for (size_t i = 0; i < heads * static_cast<size_t>(spec.layers); ++i) {
    const auto layer = static_cast<int64_t>(i / heads);
    if (spec.rope_at(layer) == nullptr) continue;  // no pairs turn there: sizes count for nothing
    check_head(std::span(*statistics.means).subspan(i * width, width),
               std::span(*statistics.sizes).subspan(i * pairs, pairs),
               file.string() + ": tensor model.layers." + std::to_string(i / heads) +
                   ".self_attn.triattention.q_abs_mean: head " + std::to_string(i % heads));
  }
}

/// What a spec's statistics are, for writing.
class SpecStatistics final : public WeightSource {
 public:
  explicit SpecStatistics(const ModelSpec& spec) : spec_(spec) {}

  void read_rows(const WeightName& weight,
                 int64_t first,
                 int64_t count,
                 std::span<float> out) const override {
    const Numbers& numbers = weight.role == WeightRole::triattention_mean
                                 ? *spec_.triattention->means
                                 : *spec_.triattention->sizes;
    const int64_t columns = weight.shape.back();
    const int64_t row = weight.layer * spec_.q_heads + first;
    std::copy_n(numbers.begin() + row * columns, count * columns, out.begin());
  }

 private:
  const ModelSpec& spec_;
};

}  // namespace

std::string base_sum(const ModelSpec& spec, const WeightSource& base) {
  uint32_t sum = 0;
  for (const WeightName& weight : weight_names(spec)) {
    if (weight.role != WeightRole::attention_norm && weight.role != WeightRole::final_norm) {
      continue;
    }
    Numbers norm(static_cast<size_t>(element_count(weight)));
    base.read_rows(weight, 0, 1, norm);
    sum = crc32(std::as_bytes(std::span(norm)), sum);
  }
  std::array<char, 9> text{};
  std::snprintf(text.data(), text.size(), "%08x", sum);
  return text.data();
}

std::optional<TriattentionSpec> triattention_from_config(const JsonFields& config,
                                                         const ModelSpec& spec) {
  if (!config.has(kTokens) && !config.has(kBaseSum)) return std::nullopt;
  for (const auto& [key, size] :
       {std::pair{kQueryHeads, spec.q_heads}, std::pair{kHeadDim, spec.head_dim}}) {
    const int64_t got = config.integer(key, 1, kMaxSize);
    if (got == size) continue;
    throw InputError({.where = config.where() + ": " + key,
                      .what = "the adapter was made for another model",
                      .got = std::to_string(got),
                      .expected = std::to_string(size)});
  }
  return TriattentionSpec{.tokens = config.integer(kTokens, 1, kMaxTokens),
                          .base_sum = config.string(kBaseSum),
                          .origin = config.where()};
}

void read_query_statistics(const WeightSource& base, const WeightSource& adapter, ModelSpec& spec) {
  TriattentionSpec& statistics = *spec.triattention;
  const std::string sum = base_sum(spec, base);
  if (statistics.base_sum != sum) {
    throw InputError({.where = statistics.origin + ": " + kBaseSum,
                      .what = "the adapter was made for another model of this shape",
                      .got = statistics.base_sum.substr(0, 60),
                      .expected = sum,
                      .hint = "dms calibrate triattention makes one for this model"});
  }
  statistics.means = read_all(adapter, spec, WeightRole::triattention_mean);
  statistics.sizes = read_all(adapter, spec, WeightRole::triattention_size);
  check_sizes(statistics, spec);
}

void check_triattention_output(const std::filesystem::path& out) {
  check_calibrated_output(out, kTokens);
}

void write_triattention_adapter(const std::filesystem::path& out, const ModelSpec& spec) {
  write_calibrated_adapter(out,
                           kTokens,
                           {{kTokens, spec.triattention->tokens},
                            {kBaseSum, spec.triattention->base_sum},
                            {kQueryHeads, spec.q_heads},
                            {kHeadDim, spec.head_dim}},
                           spec,
                           SpecStatistics(spec));
}

}  // namespace dms
