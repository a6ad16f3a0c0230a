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
/// KVzap's own adapters have 512.
constexpr int64_t kMostHidden = 4096;
constexpr int64_t kUnitsAHead = 2;  // which begin as its linear score
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

void check_hidden(const KvzapOptions& options, const ModelSpec& spec) {
  const int64_t least = kUnitsAHead * spec.kv_heads;
  if (options.hidden_units == 0 ||
      (options.hidden_units >= least && options.hidden_units <= kMostHidden))
    return;
  throw InputError({.field = "hidden_units",
                    .what = "out of range",
                    .got = std::to_string(options.hidden_units),
                    .expected = std::to_string(least) + " (two for each KV head) to " +
                                std::to_string(kMostHidden),
                    .hint = "KVzap's own adapters have 512; linear scores need none"});
}

/// An adapter's weights, as the fits have them.
class FittedWeights final : public WeightSource {
 public:
  explicit FittedWeights(std::vector<llm::Mlp> fits) : fits_(std::move(fits)) {}

  void read_rows(const WeightName& weight,
                 int64_t first,
                 int64_t count,
                 std::span<float> out) const override {
    const std::vector<float>& values =
        values_of(weight.role, fits_[static_cast<size_t>(weight.layer)]);
    const int64_t columns = weight.shape.back();
    std::copy_n(values.begin() + first * columns, count * columns, out.begin());
  }

 private:
  static const std::vector<float>& values_of(WeightRole role, const llm::Mlp& fit) {
    switch (role) {
      case WeightRole::kvzap_hidden:
        return fit.hidden.weights;
      case WeightRole::kvzap_hidden_bias:
        return fit.hidden.intercepts;
      case WeightRole::kvzap:
        return fit.output.weights;
      default:
        return fit.output.intercepts;
    }
  }

  std::vector<llm::Mlp> fits_;
};

struct Quality {
  double r2 = 0;
  double lowest_r2 = 0;
};

Quality quality_of(const llm::HeldOutScores& targets,
                   const llm::HeldOutScores& predictions,
                   int64_t kv_heads) {
  const std::vector<double> r2 = llm::r2_of_heads(targets, predictions, kv_heads);
  return {.r2 = std::accumulate(r2.begin(), r2.end(), 0.0) / static_cast<double>(r2.size()),
          .lowest_r2 = std::ranges::min(r2)};
}

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

void require_numbers(std::span<const llm::Mlp> fits, const std::filesystem::path& model) {
  const auto are_numbers = [](const std::vector<float>& values) {
    return std::ranges::all_of(values, [](float x) { return std::isfinite(x); });
  };
  for (size_t layer = 0; layer < fits.size(); ++layer) {
    const auto& [hidden, output] = fits[layer];
    if (are_numbers(hidden.weights) && are_numbers(hidden.intercepts) &&
        are_numbers(output.weights) && are_numbers(output.intercepts)) {
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
  check_hidden(options, state.spec);
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
      {.sinks = options.sinks, .hidden = options.hidden_units, .seed = options.seed},
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
  calibration.begin(segments_of(source, state.spec, model, options, longest));
  total = calibration.tokens_to_read();
  std::vector<llm::Mlp> fits = calibration.fit();
  require_numbers(fits, model);

  const float threshold = llm::threshold_for(calibration.predictions(), options.ratio);
  ModelSpec spec = state.spec;
  spec.kvzap = KvzapSpec{.threshold = threshold,
                         .window = options.window_tokens,
                         .sinks = options.sinks,
                         .hidden = options.hidden_units,
                         .target_cr = 1 / (1 - options.ratio)};
  write_kvzap_adapter(out, spec, FittedWeights(std::move(fits)));
  const auto judge = [&](const llm::HeldOutScores& predictions) {
    return quality_of(calibration.targets(), predictions, state.spec.kv_heads);
  };
  const Quality quality = judge(calibration.predictions());
  const Quality linear = judge(calibration.linear_predictions());
  return {.fitted_tokens = calibration.fitted_tokens(),
          .held_out_tokens = calibration.held_out_tokens(),
          .r2 = quality.r2,
          .lowest_r2 = quality.lowest_r2,
          .linear_r2 = linear.r2,
          .lowest_linear_r2 = linear.lowest_r2,
          .threshold = threshold,
          .kept = llm::share_kept(calibration.predictions(), threshold)};
}

}  // namespace dms
