#include <algorithm>
#include <cmath>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "base/threads.h"
#include "cpu/query_statistics.h"
#include "cpu/rotations.h"
#include "dms/calibrate.h"
#include "dms/error.h"
#include "kernels/isa.h"
#include "llm/calibration_input.h"
#include "llm/described_model.h"
#include "model/decoder_weights.h"
#include "model/spec/triattention_adapter.h"

namespace dms {
namespace {

/// Fewer say little of a mean.
constexpr int64_t kLeastTokens = 512;

void check_rope(const ModelSpec& spec, const std::filesystem::path& model) {
  if (cpu::rotations_of(spec).pairs() > 0) return;
  throw InputError({.where = model.string() + ": model_type " + spec.model_type,
                    .what = "has no use for triattention, which counts turns by their frequencies",
                    .got = "positions that do not turn keys",
                    .expected = "a model with RoPE"});
}

/// As many sequences as the model's context asks for, each with what begins every text.
std::vector<std::vector<int32_t>> sequences_of(const llm::CalibrationText& text,
                                               int64_t context,
                                               const std::filesystem::path& model) {
  const int64_t longest = context - std::ssize(text.beginning);
  if (longest < 1) {
    throw InputError({.where = model.string() + ": max_position_embeddings",
                      .what = "too short a context for a text",
                      .got = std::to_string(context)});
  }
  std::vector<std::vector<int32_t>> sequences;
  for (int64_t first = 0; first < std::ssize(text.ids); first += longest) {
    const int64_t count = std::min(longest, std::ssize(text.ids) - first);
    std::vector<int32_t>& ids = sequences.emplace_back(text.beginning);
    ids.insert(ids.end(), text.ids.begin() + first, text.ids.begin() + first + count);
  }
  return sequences;
}

void require_numbers(const TriattentionSpec& found,
                     const ModelSpec& spec,
                     const std::filesystem::path& model) {
  for (const std::vector<float>* all : {found.means.get(), found.sizes.get()}) {
    const auto bad = std::ranges::find_if_not(*all, [](float x) { return std::isfinite(x); });
    if (bad == all->end()) continue;
    const int64_t layer = (bad - all->begin()) / (std::ssize(*all) / spec.layers);
    throw RunError({.where = model.string() + ": layer " + std::to_string(layer),
                    .what = "queries that are no numbers: the model's values overflow",
                    .hint = "try --dtype f32"});
  }
}

TriattentionResult summary(const TriattentionSpec& found, const ModelSpec& spec) {
  const auto width = static_cast<size_t>(spec.head_dim);
  const auto in_layer = static_cast<size_t>(spec.q_heads);
  const auto heads = static_cast<size_t>(spec.layers) * in_layer;
  const size_t pairs = found.sizes->size() / heads;
  TriattentionResult result{.lowest_concentration = 1};
  size_t turning = 0;
  for (size_t head = 0; head < heads; ++head) {
    if (spec.rope_at(static_cast<int64_t>(head / in_layer)) == nullptr) continue;
    ++turning;
    double of_mean = 0;
    double sizes = 0;
    for (size_t f = 0; f < pairs; ++f) {
      const float* pair = found.means->data() + head * width + f;
      of_mean += std::hypot(pair[0], pair[pairs]);
      sizes += (*found.sizes)[head * pairs + f];
    }
    const double share = sizes > 0 ? of_mean / sizes : 0;
    result.concentration += share;
    result.lowest_concentration = std::min(result.lowest_concentration, share);
  }
  result.concentration /= static_cast<double>(std::max<size_t>(turning, 1));
  return result;
}

}  // namespace

TriattentionResult calibrate_triattention(const std::filesystem::path& model,
                                          const std::filesystem::path& out,
                                          const TriattentionOptions& options,
                                          const Progress& progress) {
  llm::check_range("tokens", options.tokens, 1, llm::kMostTokens);
  check_triattention_output(out);
  kernels::active_isa();  // a wrong DMS_ISA is not to be found inside parallel regions
  cpu::ResolvedModelOptions resolved =
      cpu::resolve({.dtype = options.dtype, .threads = options.threads});
  llm::DescribedModel described = llm::describe_model(model, MetadataScope::with_parent);
  const std::optional<Tokenizer> tokenizer = described.load_tokenizer();
  const std::unique_ptr<WeightSource> weights = described.open_weights();
  ModelSpec spec = described.spec;
  cpu::follow_stored_weights(spec, *weights, resolved);
  llm::require_plain(spec, model);
  check_rope(spec, model);
  const llm::CalibrationText text = llm::encode_text(llm::require_tokenizer(tokenizer, model),
                                                     spec,
                                                     model,
                                                     options.text,
                                                     options.tokens,
                                                     kLeastTokens);
  const std::vector<std::vector<int32_t>> sequences = sequences_of(text, spec.context, model);
  use_threads(options.threads);

  cpu::CpuModel reader(spec,
                       model::load_weights(spec,
                                           *weights,
                                           {.format = resolved.weight_format,
                                            .as_stored = resolved.weights_as_stored}),
                       resolved);
  cpu::QueryStatistics queries(reader, spec);
  int64_t total = 0;
  for (const auto& ids : sequences) total += std::ssize(ids);
  int64_t done = 0;
  for (const auto& ids : sequences) {
    queries.read(ids, [&](int64_t tokens) {
      done += tokens;
      if (progress) progress(done, total);
    });
  }

  spec.triattention =
      TriattentionSpec{.tokens = queries.tokens(),
                       .base_sum = base_sum(spec, *weights),
                       .means = std::make_shared<const std::vector<float>>(queries.means()),
                       .sizes = std::make_shared<const std::vector<float>>(queries.sizes())};
  require_numbers(*spec.triattention, spec, model);
  write_triattention_adapter(out, spec);
  TriattentionResult result = summary(*spec.triattention, spec);
  result.tokens = std::ssize(text.ids);
  return result;
}

}  // namespace dms
