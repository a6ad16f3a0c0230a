#include <algorithm>
#include <cmath>
#include <numeric>
#include <span>
#include <string>
#include <utility>

#include "base/check.h"
#include "base/threads.h"
#include "dms/calibrate.h"
#include "dms/error.h"
#include "dms/kept_tokens.h"
#include "llm/calibration_input.h"
#include "llm/kvzap_calibration.h"
#include "llm/model_source.h"
#include "llm/replay_prompt.h"
#include "model/decoder_weights.h"
#include "model/spec/kvzap_adapter.h"

namespace dms {
namespace {

/// One of them at least is held out.
constexpr int64_t kLeastSegments = 4;
constexpr int64_t kTokensAColumn = 2;    // of the inputs, for a fit that says something
constexpr int64_t kSegmentsOfSinks = 4;  // at most such a part of a segment are sinks
/// Below, a repetition says little.
constexpr int64_t kLeastContext = 64;
constexpr int64_t kMaxWindow = int64_t{1} << 30;

void check(const KvzapOptions& options) {
  llm::check_range("tokens", options.tokens, 1, llm::kMostTokens);
  llm::check_range("window_tokens", options.window_tokens, 0, kMaxWindow);
  llm::check_range("sinks", options.sinks, 0, kMaxWindow);
  if (options.ratio > 0 && options.ratio < 1) return;
  throw InputError({.field = "ratio",
                    .what = "out of range",
                    .got = std::to_string(options.ratio),
                    .expected = "more than 0, less than 1"});
}

/// The default, which nobody has asked for, may be more than a small model's context.
void check_window(const KvzapOptions& options, const ModelSpec& spec) {
  if (options.window_tokens == KvzapOptions{}.window_tokens) return;
  require_eviction("kvzap", {.window_tokens = options.window_tokens}, spec.context);
}

/// An adapter's weights, as the fits have them.
class FittedWeights final : public WeightSource {
 public:
  explicit FittedWeights(std::vector<llm::LinearFit> fits) : fits_(std::move(fits)) {}

  void read_rows(const WeightName& weight,
                 int64_t first,
                 int64_t count,
                 std::span<float> out) const override {
    const llm::LinearFit& fit = fits_[static_cast<size_t>(weight.layer)];
    const std::vector<float>& values =
        weight.role == WeightRole::kvzap ? fit.weights : fit.intercepts;
    const int64_t columns = weight.shape.back();
    std::copy_n(values.begin() + first * columns, count * columns, out.begin());
  }

 private:
  std::vector<llm::LinearFit> fits_;
};

/// Its words, which the model must have.
cpu::ReplayPrompt replay_prompt(const ModelSource& source,
                                const ModelSpec& spec,
                                const std::filesystem::path& model) {
  cpu::ReplayPrompt prompt = llm::replay_prompt(source.tokenizer(), model);
  for (const std::vector<int32_t>* words : {&prompt.whole, &prompt.part, &prompt.answer}) {
    llm::require_known(*words, spec.vocab, model);
  }
  return prompt;
}

std::vector<llm::TextSegment> segments_of(const ModelSource& source,
                                          const ModelSpec& spec,
                                          const std::filesystem::path& model,
                                          const KvzapOptions& options,
                                          int64_t longest) {
  const int64_t least = std::max(kLeastSegments * longest, kTokensAColumn * spec.hidden);
  const llm::CalibrationText text =
      llm::encode_text(source.tokenizer(), spec, model, options.text, options.tokens, least);
  return llm::cut_text(text.ids, text.beginning, longest);
}

void require_numbers(std::span<const llm::LinearFit> fits, const std::filesystem::path& model) {
  const auto is_number = [](float x) { return std::isfinite(x); };
  for (size_t layer = 0; layer < fits.size(); ++layer) {
    if (std::ranges::all_of(fits[layer].weights, is_number) &&
        std::ranges::all_of(fits[layer].intercepts, is_number)) {
      continue;
    }
    throw RunError({.where = model.string() + ": layer " + std::to_string(layer),
                    .what = "scores that are no numbers: the model's values overflow",
                    .hint = "try --dtype f32"});
  }
}

}  // namespace

KvzapResult calibrate_kvzap(const std::filesystem::path& model,
                            const std::filesystem::path& out,
                            const KvzapOptions& options,
                            const Progress& progress) {
  check(options);
  check_kvzap_output(out);
  const ModelSource source(model,
                           {.dtype = options.dtype,
                            .threads = options.threads,
                            .metadata_scope = MetadataScope::with_parent});
  ModelSource::State& state = *source.state_;
  llm::require_plain(state.spec, model);
  check_window(options, state.spec);
  cpu::ReplayPrompt prompt = replay_prompt(source, state.spec, model);
  use_threads(options.threads);

  int64_t done = 0;
  int64_t total = 0;
  llm::KvzapCalibration calibration(
      cpu::CpuModel(state.spec,
                    model::load_weights(state.spec,
                                        *state.weights,
                                        {.format = state.options.weight_format,
                                         .as_stored = state.options.weights_as_stored}),
                    state.options),
      state.spec,
      std::move(prompt),
      options.sinks,
      [&](int64_t tokens) {
        done += tokens;
        if (progress) progress(done, total);
      });
  const int64_t longest = calibration.longest_segment();
  if (longest < kLeastContext) {
    throw InputError({.where = model.string() + ": max_position_embeddings",
                      .what = "too short a context to read a text twice",
                      .got = std::to_string(state.spec.context)});
  }
  llm::check_range("sinks", options.sinks, 0, longest / kSegmentsOfSinks);
  const std::vector<llm::TextSegment> segments =
      segments_of(source, state.spec, model, options, longest);
  total = calibration.tokens_to_read(segments);
  std::vector<llm::LinearFit> fits = calibration.fit(segments);
  require_numbers(fits, model);

  const std::vector<double> r2 = calibration.held_out_r2();
  const float threshold = calibration.threshold(options.ratio);
  const double kept = calibration.share_kept(threshold);
  ModelSpec spec = state.spec;
  spec.kvzap = KvzapSpec{.threshold = threshold,
                         .window = options.window_tokens,
                         .sinks = options.sinks,
                         .target_cr = 1 / (1 - options.ratio)};
  write_kvzap_adapter(out, spec, FittedWeights(std::move(fits)));
  return {.fitted_tokens = calibration.fitted_tokens(),
          .held_out_tokens = calibration.held_out_tokens(),
          .r2 = std::accumulate(r2.begin(), r2.end(), 0.0) / static_cast<double>(r2.size()),
          .lowest_r2 = std::ranges::min(r2),
          .threshold = threshold,
          .kept = kept};
}

}  // namespace dms
