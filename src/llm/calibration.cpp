#include "llm/calibration.h"

#include <algorithm>
#include <array>

#include "base/check.h"

namespace dms::llm {
namespace {

using model::LinearInput;

constexpr std::array kInputs{
    LinearInput::qkv, LinearInput::attention_output, LinearInput::mlp_in, LinearInput::mlp_out};
/// Moments in memory at a time.
constexpr int64_t kMomentBytes = int64_t{2} << 30;

LinearInput input_of(WeightRole role) {
  switch (role) {
    case WeightRole::attention_output:
      return LinearInput::attention_output;
    case WeightRole::gate_up:
    case WeightRole::gate:
    case WeightRole::up:
      return LinearInput::mlp_in;
    case WeightRole::down:
      return LinearInput::mlp_out;
    default:
      return LinearInput::qkv;
  }
}

}  // namespace

Calibration::Calibration(cpu::CpuModel model, const ModelSpec& spec, std::vector<int32_t> ids)
    : model_(std::move(model)), spec_(spec), ids_(std::move(ids)) {}

int64_t Calibration::columns_of(LinearInput input) const {
  switch (input) {
    case LinearInput::attention_output:
      return spec_.q_heads * spec_.head_dim;
    case LinearInput::mlp_out:
      return spec_.ffn;
    default:
      return spec_.hidden;
  }
}

void Calibration::run(std::span<const int32_t> window) {
  constexpr int64_t kChunk = 512;
  const auto sequence = model_.new_sequence(model_.plan({.policy = "none"}));
  for (int64_t first = 0; first < std::ssize(window); first += kChunk) {
    const int64_t count = std::min(kChunk, std::ssize(window) - first);
    const std::array parts{
        engine::Part{.sequence = sequence.get(),
                     .ids = window.subspan(static_cast<size_t>(first), static_cast<size_t>(count)),
                     .length = std::ssize(window)}};
    if (!model_.reserve(parts)) throw model_.shortage(parts);
    model_.forward(parts);
  }
}

void Calibration::read_text(int64_t first_layer) {
  int64_t layer_bytes = 0;
  for (const LinearInput input : kInputs) {
    layer_bytes += columns_of(input) * columns_of(input) * int64_t{sizeof(float)};
  }
  const int64_t layers = std::max<int64_t>(1, kMomentBytes / layer_bytes);
  end_layer_ = std::min(first_layer + layers, spec_.layers);
  for (int64_t layer = first_layer; layer < end_layer_; ++layer) {
    for (const LinearInput input : kInputs)
      moments_.emplace(Place{layer, input}, columns_of(input));
  }
  model_.watch([this](int64_t layer, LinearInput input, std::span<const float> rows) {
    const auto it = moments_.find({layer, input});
    if (it != moments_.end()) it->second.add(rows);
  });
  const int64_t window = std::min(kWindow, spec_.context);
  for (int64_t first = 0; first < std::ssize(ids_); first += window) {
    const int64_t count = std::min(window, std::ssize(ids_) - first);
    run(std::span(ids_).subspan(static_cast<size_t>(first), static_cast<size_t>(count)));
  }
  model_.watch({});
}

std::shared_ptr<const quantise::FeedbackRounding> Calibration::rounding(const WeightName& weight) {
  if (weight.layer >= end_layer_) read_text(weight.layer);
  std::erase_if(roundings_, [&](const auto& item) { return item.first.first < weight.layer; });
  const Place place{weight.layer, input_of(weight.role)};
  std::shared_ptr<const quantise::FeedbackRounding>& rounding = roundings_[place];
  if (!rounding) {
    const auto it = moments_.find(place);
    ensure(it != moments_.end(), "moments of a layer that was not watched");
    rounding = std::make_shared<const quantise::FeedbackRounding>(it->second);
    moments_.erase(it);
  }
  return rounding;
}

}  // namespace dms::llm
