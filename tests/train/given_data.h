#pragma once
// Training data that a test spells out.

#include <utility>
#include <vector>

#include "train/data/batches.h"

namespace dms::train::fixture {

/// The given samples in turn, and again from the first.
class GivenData final : public PreparedData {
 public:
  explicit GivenData(std::vector<Sample> samples, std::vector<int32_t> end_tokens = {})
      : samples_(std::move(samples)), end_tokens_(std::move(end_tokens)) {}

  int64_t size() const override { return std::ssize(samples_); }
  Sample sample(int64_t index) const override {
    return samples_[static_cast<size_t>(index % size())];
  }
  const std::vector<int32_t>& end_tokens() const override { return end_tokens_; }
  const std::vector<DatasetReport>& report() const override { return report_; }
  const std::vector<std::string>& notes() const override { return notes_; }

 private:
  std::vector<Sample> samples_;
  std::vector<int32_t> end_tokens_;
  std::vector<DatasetReport> report_;
  std::vector<std::string> notes_;
};

}  // namespace dms::train::fixture
