#pragma once
// What a model's layers multiply while it reads a text, layer group by layer group, so that the
// moments of a few layers at a time are in memory.

#include <cstdint>
#include <map>
#include <memory>
#include <span>
#include <utility>
#include <vector>

#include "cpu/cpu_model.h"
#include "quantise/feedback_rounding.h"

namespace dms::llm {

class Calibration {
 public:
  /// Reads `ids` in windows of the model's context or kWindow tokens, without eviction.
  Calibration(cpu::CpuModel model, const ModelSpec& spec, std::vector<int32_t> ids);

  /// For a linear layer's weight; layers in ascending order. Uses the caller's threads.
  std::shared_ptr<const quantise::FeedbackRounding> rounding(const WeightName& weight);

  static constexpr int64_t kWindow = 2048;

 private:
  using Place = std::pair<int64_t, model::LinearInput>;

  int64_t columns_of(model::LinearInput input) const;
  void read_text(int64_t first_layer);
  void run(std::span<const int32_t> window);

  cpu::CpuModel model_;
  ModelSpec spec_;
  std::vector<int32_t> ids_;
  int64_t end_layer_ = 0;  // layers before it have been gathered
  std::map<Place, quantise::InputMoments> moments_;
  std::map<Place, std::shared_ptr<const quantise::FeedbackRounding>> roundings_;
};

}  // namespace dms::llm
