#pragma once
// What the engine needs of a model. The scheduler is tested with a scripted one.

#include <cstdint>
#include <memory>
#include <span>

#include "model/decoder.h"

namespace dms::engine {

class Model {
 public:
  virtual ~Model() = default;
  virtual int64_t vocab() const = 0;
  virtual int64_t context() const = 0;
  /// Appends every segment's ids and returns the wanted logits rows, [rows, vocab].
  virtual std::span<const float> forward(std::span<const model::Segment> segments) = 0;
  /// Seconds spent in attention so far.
  virtual double attention_seconds() const = 0;
};

/// The real thing.
class DecoderModel final : public Model {
 public:
  explicit DecoderModel(model::Decoder decoder) : decoder_(std::move(decoder)) {}
  int64_t vocab() const override { return decoder_.spec().vocab; }
  int64_t context() const override { return decoder_.spec().context; }
  std::span<const float> forward(std::span<const model::Segment> segments) override {
    return decoder_.forward(segments);
  }
  double attention_seconds() const override { return decoder_.attention_seconds(); }

 private:
  model::Decoder decoder_;
};

}  // namespace dms::engine
