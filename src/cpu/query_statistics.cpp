#include "cpu/query_statistics.h"

#include <algorithm>
#include <iterator>
#include <utility>

#include "cpu/replay.h"
#include "cpu/rotations.h"

namespace dms::cpu {
namespace {

/// Looks at what the model appends until it goes, also when an error passes by.
class Watching {
 public:
  Watching(CpuModel& model, model::ChunkWatcher watcher) : model_(model) {
    model.watch_chunks(std::move(watcher));
  }
  Watching(const Watching&) = delete;
  Watching& operator=(const Watching&) = delete;
  ~Watching() { model_.watch_chunks({}); }

 private:
  CpuModel& model_;
};

}  // namespace

QueryStatistics::QueryStatistics(CpuModel& model, const ModelSpec& spec)
    : model_(model), spec_(spec), rotations_(rotations_of(spec)) {
  layers_.assign(static_cast<size_t>(spec.layers),
                 policy::FrequencyMeans(spec.q_heads, spec.head_dim, rotations_.pairs()));
}

void QueryStatistics::add(const cache::LayerChunk& chunk, int64_t first) {
  cache::SeenTokens seen{.layer = chunk.layer,
                         .rope_length = chunk.rope_length,
                         .first = first,
                         .queries = {},
                         .keys = {}};
  for (int64_t i = 0; i < chunk.count; ++i) {
    seen.queries.push_back(
        chunk.queries.subspan(static_cast<size_t>(i * chunk.token_stride),
                              static_cast<size_t>(spec_.q_heads * spec_.head_dim)));
  }
  layers_[static_cast<size_t>(chunk.layer)].add(seen, *rotations_.at(seen.layer, seen.rope_length));
}

void QueryStatistics::read(std::span<const int32_t> ids,
                           const std::function<void(int64_t)>& progress) {
  int64_t position = 0;
  const Watching watching(model_, [&](const cache::LayerChunk& chunk) {
    add(chunk, position);
    if (chunk.layer < spec_.layers - 1) return;
    position += chunk.count;
    progress(chunk.count);
  });
  const auto sequence = model_.new_sequence(model_.plan({.policy = "none"}));
  read_text(model_, *sequence, ids, std::ssize(ids));
  tokens_ += std::ssize(ids);
}

std::vector<float> QueryStatistics::means() const {
  std::vector<float> all;
  for (const policy::FrequencyMeans& layer : layers_) {
    for (int64_t head = 0; head < spec_.q_heads; ++head) {
      std::ranges::copy(layer.mean(head), std::back_inserter(all));
    }
  }
  return all;
}

std::vector<float> QueryStatistics::sizes() const {
  std::vector<float> all;
  for (const policy::FrequencyMeans& layer : layers_) {
    for (int64_t head = 0; head < spec_.q_heads; ++head) {
      std::ranges::copy(layer.mean_sizes(head), std::back_inserter(all));
    }
  }
  return all;
}

}  // namespace dms::cpu
