#include "llm/kvzap_calibration.h"

#include <algorithm>
#include <array>
#include <random>
#include <utility>

#include "base/check.h"
#include "model/kvzap_scores.h"

namespace dms::llm {
namespace {

/// What is collected, sums and rows, in memory at a time.
constexpr int64_t kCollectedBytes = int64_t{4} << 30;
/// Rows of a layer that a hidden layer's fit keeps: a part of a longer text's, evenly.
constexpr int64_t kRowBytes = int64_t{1} << 30;
/// scikit-learn's Ridge has the same.
constexpr double kPenalty = 1.0;
/// As in KVzap's recipe: so much of attention is shared by an alike number of tokens.
constexpr int64_t kLongest = 1250;
/// Of so many segments one is held out, another one says when to stop.
constexpr int64_t kUses = 8;
constexpr int64_t kStop = 2;
constexpr int64_t kHoldOut = 4;
/// What no query attends at all has a score of minus infinity.
constexpr float kLeastScore = -30.0f;

TextSegment::Use use_of(int64_t segment) {
  if (segment % kUses == kHoldOut) return TextSegment::Use::hold_out;
  return segment % kUses == kStop ? TextSegment::Use::stop : TextSegment::Use::fit;
}

/// As the decoder has them.
model::KvzapWeights served(const Mlp& fit, int64_t columns) {
  const auto width = std::ssize(fit.hidden.intercepts);
  model::KvzapWeights weights{.hidden = {},
                              .hidden_bias = fit.hidden.intercepts,
                              .scores = fit.output.weights,
                              .bias = fit.output.intercepts};
  if (width > 0) weights.hidden = packed_rows(fit.hidden.weights, width, columns);
  return weights;
}

}  // namespace

std::vector<TextSegment> cut_text(std::span<const int32_t> ids,
                                  std::span<const int32_t> beginning,
                                  int64_t longest) {
  longest -= std::ssize(beginning);
  const int64_t shortest = std::max<int64_t>(longest * 3 / 5, 1);
  std::minstd_rand random(1);
  std::vector<TextSegment> segments;
  for (int64_t first = 0; std::ssize(ids) - first >= shortest;) {
    const auto range = static_cast<uint32_t>(longest - shortest + 1);
    const int64_t drawn = shortest + static_cast<int64_t>(random() % range);
    const int64_t count = std::min(drawn, std::ssize(ids) - first);
    const auto part = ids.subspan(static_cast<size_t>(first), static_cast<size_t>(count));
    TextSegment& segment = segments.emplace_back();
    segment.ids.assign(beginning.begin(), beginning.end());
    segment.ids.insert(segment.ids.end(), part.begin(), part.end());
    segment.use = use_of(std::ssize(segments));
    first += count;
  }
  return segments;
}

KvzapCalibration::KvzapCalibration(cpu::CpuModel model,
                                   const ModelSpec& spec,
                                   cpu::ReplayPrompt prompt,
                                   const KvzapSettings& settings,
                                   std::function<void(int64_t)> progress)
    : model_(std::move(model)),
      spec_(spec),
      replay_(model_, spec_, std::move(prompt), cpu::ReplayScore::output),
      settings_(settings),
      progress_(std::move(progress)),
      targets_(static_cast<size_t>(spec.layers)),
      predictions_(static_cast<size_t>(spec.layers)),
      linear_predictions_(static_cast<size_t>(settings.hidden > 0 ? spec.layers : 0)) {}

int64_t KvzapCalibration::longest_segment() const {
  const int64_t asks = replay_.tokens_needed(0);
  return std::min(kLongest, (spec_.context - asks) / 2);
}

KvzapCalibration::Layer KvzapCalibration::empty_layer() const {
  const Ridge sums(spec_.hidden, spec_.kv_heads);
  const auto rows = [&](int64_t tokens) {
    return RegressionRows(spec_.hidden, spec_.kv_heads, ceil_div(tokens, rows_a_kept_one()));
  };
  if (settings_.hidden == 0) return {sums, std::nullopt, rows(0), rows(0)};
  return {sums, sums, rows(fitted_tokens_ - stopping_tokens_), rows(stopping_tokens_)};
}

/// The part of what is fitted that a hidden layer's fit keeps: one row of so many.
int64_t KvzapCalibration::rows_a_kept_one() const {
  const int64_t row_bytes = RegressionRows::row_bytes(spec_.hidden, spec_.kv_heads);
  return std::max<int64_t>(ceil_div(fitted_tokens_ * row_bytes, kRowBytes), 1);
}

int64_t KvzapCalibration::layers_at_a_time() const {
  int64_t layer_bytes = spec_.hidden * spec_.hidden * int64_t{sizeof(double)};
  if (settings_.hidden > 0) {
    layer_bytes *= 2;  // of what is fitted, and of what says when to stop
    layer_bytes += fitted_tokens_ / rows_a_kept_one() *
                   RegressionRows::row_bytes(spec_.hidden, spec_.kv_heads);
  }
  return std::clamp<int64_t>(kCollectedBytes / layer_bytes, 1, spec_.layers);
}

void KvzapCalibration::begin(std::vector<TextSegment> segments) {
  segments_ = std::move(segments);
  for (const TextSegment& segment : segments_) {
    const int64_t tokens = std::max<int64_t>(std::ssize(segment.ids) - settings_.sinks, 0);
    (segment.use == TextSegment::Use::hold_out ? held_out_tokens_ : fitted_tokens_) += tokens;
    if (segment.use == TextSegment::Use::stop) stopping_tokens_ += tokens;
  }
}

int64_t KvzapCalibration::tokens_to_read() const {
  int64_t replayed = 0;
  int64_t predicted = 0;
  for (const TextSegment& segment : segments_) {
    replayed += replay_.tokens_needed(std::ssize(segment.ids));
    if (segment.use == TextSegment::Use::hold_out) predicted += std::ssize(segment.ids);
  }
  const int64_t descended = settings_.hidden > 0 ? spec_.layers * fitted_tokens_ : 0;
  return ceil_div(spec_.layers, layers_at_a_time()) * replayed + descended + predicted;
}

/// What a layer says of one segment, but for the sinks, which are kept without being asked.
void KvzapCalibration::add_segment(const TextSegment& segment,
                                   int64_t layer,
                                   std::span<const float> scores,
                                   Layer& into) {
  const int64_t tokens = std::ssize(segment.ids);
  const int64_t sinks = std::min(settings_.sinks, tokens);
  std::vector<float> rows;  // [tokens - sinks, kv_heads]
  for (int64_t i = sinks; i < tokens; ++i) {
    for (int64_t head = 0; head < spec_.kv_heads; ++head) {
      rows.push_back(std::max(scores[static_cast<size_t>(head * tokens + i)], kLeastScore));
    }
  }
  if (segment.use == TextSegment::Use::hold_out) {
    std::vector<float>& targets = targets_[static_cast<size_t>(layer)];
    targets.insert(targets.end(), rows.begin(), rows.end());
    return;
  }
  const std::span<const float> inputs =
      replay_.inputs(layer).subspan(static_cast<size_t>(sinks * spec_.hidden));
  const bool stops = settings_.hidden > 0 && segment.use == TextSegment::Use::stop;
  (stops ? *into.stopping_sums : into.sums).add(inputs, rows);
  if (settings_.hidden > 0) {
    (stops ? into.stopping : into.fitted).add(inputs, rows, rows_a_kept_one());
  }
}

void KvzapCalibration::collect(cpu::ReplayLayers layers) {
  for (const TextSegment& segment : segments_) {
    const std::vector<float> scores = replay_.run(segment.ids, layers);
    const size_t layer_scores = static_cast<size_t>(spec_.kv_heads) * segment.ids.size();
    for (int64_t layer = layers.begin; layer < layers.end; ++layer) {
      const auto index = static_cast<size_t>(layer - layers.begin);
      const auto of_layer = std::span(scores).subspan(index * layer_scores, layer_scores);
      add_segment(segment, layer, of_layer, collected_[index]);
    }
    progress_(replay_.tokens_needed(std::ssize(segment.ids)));
  }
}

Mlp KvzapCalibration::fit_layer(Layer& layer) {
  if (settings_.hidden == 0) return {.hidden = {}, .output = layer.sums.solve(kPenalty)};
  Mlp fit = fit_mlp(layer.fitted,
                    layer.stopping,
                    layer.sums.solve(kPenalty),
                    {.width = settings_.hidden, .seed = settings_.seed});
  layer.sums.add(*layer.stopping_sums);
  linear_fits_.push_back({.hidden = {}, .output = layer.sums.solve(kPenalty)});
  progress_(fitted_tokens_);
  return fit;
}

std::vector<Mlp> KvzapCalibration::fit() {
  std::vector<Mlp> fits;
  const int64_t at_a_time = layers_at_a_time();
  for (int64_t first = 0; first < spec_.layers; first += at_a_time) {
    const cpu::ReplayLayers layers{.begin = first,
                                   .end = std::min(first + at_a_time, spec_.layers)};
    for (int64_t i = layers.begin; i < layers.end; ++i) collected_.push_back(empty_layer());
    collect(layers);
    for (Layer& layer : collected_) fits.push_back(fit_layer(layer));
    collected_.clear();
  }
  predict(fits);
  return fits;
}

/// By the decoder's own arithmetic.
void KvzapCalibration::predict(std::span<const Mlp> fits) {
  struct Judged {
    std::vector<model::KvzapWeights> weights;
    HeldOutScores& predictions;
  };
  std::array judged{Judged{{}, predictions_}, Judged{{}, linear_predictions_}};
  for (const Mlp& fit : fits) judged[0].weights.push_back(served(fit, spec_.hidden));
  for (const Mlp& fit : linear_fits_) judged[1].weights.push_back(served(fit, spec_.hidden));
  int64_t position = 0;
  model_.watch([&](int64_t layer, model::LinearInput input, std::span<const float> rows) {
    if (input != model::LinearInput::qkv) return;
    const int64_t count = std::ssize(rows) / spec_.hidden;
    const int64_t sinks = std::clamp<int64_t>(settings_.sinks - position, 0, count);
    std::vector<float> scores(static_cast<size_t>(count * spec_.kv_heads));
    for (const auto& [weights, predictions] : judged) {
      if (weights.empty()) continue;
      model::kvzap_scores(weights[static_cast<size_t>(layer)], rows, count, scores);
      std::vector<float>& predicted = predictions[static_cast<size_t>(layer)];
      predicted.insert(predicted.end(), scores.begin() + sinks * spec_.kv_heads, scores.end());
    }
    if (layer == spec_.layers - 1) position += count;
  });
  for (const TextSegment& segment : segments_) {
    if (segment.use != TextSegment::Use::hold_out) continue;
    position = 0;
    const auto sequence = model_.new_sequence(model_.plan({.policy = "none"}));
    cpu::read_text(model_, *sequence, segment.ids, std::ssize(segment.ids));
    progress_(std::ssize(segment.ids));
  }
  model_.watch({});
}

}  // namespace dms::llm
