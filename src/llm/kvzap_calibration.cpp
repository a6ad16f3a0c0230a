#include "llm/kvzap_calibration.h"

#include <algorithm>
#include <random>
#include <utility>

#include "base/check.h"
#include "model/kvzap_scores.h"

namespace dms::llm {
namespace {

/// Sums in memory at a time.
constexpr int64_t kSumBytes = int64_t{4} << 30;
/// scikit-learn's Ridge has the same.
constexpr double kPenalty = 1.0;
/// As in KVzap's recipe: so much of attention is shared by an alike number of tokens.
constexpr int64_t kLongest = 1250;
constexpr int64_t kHeldOutEvery = 8;
/// What no query attends at all has a score of minus infinity.
constexpr float kLeastScore = -30.0f;

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
    segment.is_held_out = std::ssize(segments) % kHeldOutEvery == kHeldOutEvery / 2;
    first += count;
  }
  return segments;
}

KvzapCalibration::KvzapCalibration(cpu::CpuModel model,
                                   const ModelSpec& spec,
                                   cpu::ReplayPrompt prompt,
                                   int64_t sinks,
                                   std::function<void(int64_t)> progress)
    : model_(std::move(model)),
      spec_(spec),
      replay_(model_, spec_, std::move(prompt), cpu::ReplayScore::output),
      sinks_(sinks),
      progress_(std::move(progress)),
      targets_(static_cast<size_t>(spec.layers)),
      predictions_(static_cast<size_t>(spec.layers)) {}

int64_t KvzapCalibration::longest_segment() const {
  const int64_t asks = replay_.tokens_needed(0);
  return std::min(kLongest, (spec_.context - asks) / 2);
}

int64_t KvzapCalibration::layers_at_a_time() const {
  const int64_t layer_bytes = spec_.hidden * spec_.hidden * int64_t{sizeof(double)};
  return std::clamp<int64_t>(kSumBytes / layer_bytes, 1, spec_.layers);
}

int64_t KvzapCalibration::tokens_to_read(std::span<const TextSegment> segments) const {
  int64_t replayed = 0;
  int64_t predicted = 0;
  for (const TextSegment& segment : segments) {
    replayed += replay_.tokens_needed(std::ssize(segment.ids));
    if (segment.is_held_out) predicted += std::ssize(segment.ids);
  }
  return ceil_div(spec_.layers, layers_at_a_time()) * replayed + predicted;
}

/// What a layer says of one segment, but for the sinks, which are kept without being asked.
void KvzapCalibration::add_segment(const TextSegment& segment,
                                   int64_t layer,
                                   std::span<const float> scores) {
  const int64_t tokens = std::ssize(segment.ids);
  const int64_t sinks = std::min(sinks_, tokens);
  std::vector<float> rows;  // [tokens - sinks, kv_heads]
  for (int64_t i = sinks; i < tokens; ++i) {
    for (int64_t head = 0; head < spec_.kv_heads; ++head) {
      rows.push_back(std::max(scores[static_cast<size_t>(head * tokens + i)], kLeastScore));
    }
  }
  if (segment.is_held_out) {
    std::vector<float>& targets = targets_[static_cast<size_t>(layer)];
    targets.insert(targets.end(), rows.begin(), rows.end());
  } else {
    const std::span<const float> inputs = replay_.inputs(layer);
    sums_[static_cast<size_t>(layer) % sums_.size()].add(
        inputs.subspan(static_cast<size_t>(sinks * spec_.hidden)), rows);
  }
}

void KvzapCalibration::collect(std::span<const TextSegment> segments, cpu::ReplayLayers layers) {
  for (const TextSegment& segment : segments) {
    const std::vector<float> scores = replay_.run(segment.ids, layers);
    const auto layer_scores = static_cast<size_t>(spec_.kv_heads) * segment.ids.size();
    for (int64_t layer = layers.begin; layer < layers.end; ++layer) {
      add_segment(segment,
                  layer,
                  std::span(scores).subspan(
                      static_cast<size_t>(layer - layers.begin) * layer_scores, layer_scores));
    }
    progress_(replay_.tokens_needed(std::ssize(segment.ids)));
  }
}

/// By the decoder's own arithmetic.
void KvzapCalibration::predict(std::span<const TextSegment> segments,
                               std::span<const LinearFit> fits) {
  std::vector<model::KvzapWeights> weights;
  for (const LinearFit& fit : fits) {
    weights.push_back(
        {.hidden = {}, .hidden_bias = {}, .scores = fit.weights, .bias = fit.intercepts});
  }
  int64_t position = 0;
  model_.watch([&](int64_t layer, model::LinearInput input, std::span<const float> rows) {
    if (input != model::LinearInput::qkv) return;
    const int64_t count = std::ssize(rows) / spec_.hidden;
    std::vector<float> scores(static_cast<size_t>(count * spec_.kv_heads));
    model::kvzap_scores(weights[static_cast<size_t>(layer)], rows, count, scores);
    const int64_t sinks = std::clamp<int64_t>(sinks_ - position, 0, count);
    std::vector<float>& predicted = predictions_[static_cast<size_t>(layer)];
    predicted.insert(predicted.end(), scores.begin() + sinks * spec_.kv_heads, scores.end());
    if (layer == spec_.layers - 1) position += count;
  });
  for (const TextSegment& segment : segments) {
    if (!segment.is_held_out) continue;
    position = 0;
    const auto sequence = model_.new_sequence(model_.plan({.policy = "none"}));
    cpu::read_text(model_, *sequence, segment.ids, std::ssize(segment.ids));
    progress_(std::ssize(segment.ids));
  }
  model_.watch({});
}

std::vector<LinearFit> KvzapCalibration::fit(std::span<const TextSegment> segments) {
  for (const TextSegment& segment : segments) {
    const int64_t tokens = std::max<int64_t>(std::ssize(segment.ids) - sinks_, 0);
    (segment.is_held_out ? held_out_tokens_ : fitted_tokens_) += tokens;
  }
  std::vector<LinearFit> fits;
  const int64_t at_a_time = layers_at_a_time();
  for (int64_t first = 0; first < spec_.layers; first += at_a_time) {
    const cpu::ReplayLayers layers{.begin = first,
                                   .end = std::min(first + at_a_time, spec_.layers)};
    sums_.assign(static_cast<size_t>(at_a_time), Ridge(spec_.hidden, spec_.kv_heads));
    collect(segments, layers);
    for (int64_t layer = layers.begin; layer < layers.end; ++layer) {
      fits.push_back(sums_[static_cast<size_t>(layer - first)].solve(kPenalty));
    }
  }
  sums_.clear();
  predict(segments, fits);
  return fits;
}

std::vector<double> KvzapCalibration::held_out_r2() const {
  return r2_of_heads(targets_, predictions_, spec_.kv_heads);
}

float KvzapCalibration::threshold(double ratio) const { return threshold_for(predictions_, ratio); }

double KvzapCalibration::share_kept(float threshold) const {
  return llm::share_kept(predictions_, threshold);
}

}  // namespace dms::llm
