#include "cuda/decode_loop.h"

#include <utility>

#include "base/check.h"
#include "cuda/kernels/paging.h"

namespace dms::cuda {
namespace {

constexpr const char* kBuffers = "choosing tokens on the device";

}  // namespace

DecodeLoop::DecodeLoop(CudaModel& model,
                       std::vector<CudaSequence*> sequences,
                       std::span<const SamplingRow> settings,
                       bool uses_graphs)
    : model_(model),
      sequences_(std::move(sequences)),
      graphs_(uses_graphs, std::ssize(sequences_)),
      settings_(settings.size_bytes(), kBuffers),
      chosen_(settings.size() * sizeof(int32_t), kBuffers),
      workspace_(static_cast<size_t>(sample_workspace_bytes(static_cast<int32_t>(settings.size()),
                                                            static_cast<int32_t>(model.vocab()))),
                 kBuffers) {
  ensure(settings.size() == sequences_.size(), "settings for each sequence");
  check(cudaMemcpyAsync(settings_.data(),
                        settings.data(),
                        settings.size_bytes(),
                        cudaMemcpyHostToDevice,
                        model.stream().get()),
        kBuffers);
}

StepWork DecodeLoop::work_of(std::span<const int32_t> first) const {
  const CudaSequence& any = *sequences_.front();
  StepWork work{.bank = &any.bank(),
                .fate = any.plan().fate(),
                .needs_logits = any.plan().needs_logits(),
                .decode_rows = static_cast<int32_t>(sequences_.size())};
  for (size_t i = 0; i < sequences_.size(); ++i) {
    work.tokens.push_back(first[i]);
    work.positions.push_back(static_cast<int32_t>(sequences_[i]->tokens()));
    work.slots.push_back(sequences_[i]->slot());
    work.wanted.push_back(static_cast<int32_t>(i));
  }
  return work;
}

void DecodeLoop::launch(const StepWork& work) {
  Step& step = model_.step();
  step.run(work);
  step.run_head(0, work.rows());
  check(sample({.logits = step.logits(),
                .settings = settings_.at<SamplingRow>(),
                .tokens = chosen_.at<int32_t>(),
                .rows = work.rows(),
                .vocab = static_cast<int32_t>(model_.vocab()),
                .workspace = workspace_.data()},
               model_.stream().get()),
        kBuffers);
  check(advance_rows({.chosen = chosen_.at<int32_t>(),
                      .tokens = step.device_tokens(),
                      .positions = step.device_positions(),
                      .record = record_.at<int32_t>() + 1,
                      .step = record_.at<int32_t>(),
                      .rows = work.rows()},
                     model_.stream().get()),
        kBuffers);
}

std::vector<int32_t> DecodeLoop::run(std::span<const int32_t> first, int32_t steps) {
  ensure(first.size() == sequences_.size(), "a token for each sequence");
  const size_t chosen = first.size() * static_cast<size_t>(steps);
  if (record_.bytes() < (chosen + 1) * sizeof(int32_t)) {
    record_ = DeviceBuffer((chosen + 1) * sizeof(int32_t), kBuffers);
    graphs_.clear();  // graphs hold the address of the one before
  }
  std::vector<int32_t> tokens(chosen);
  model_.seat(sequences_, std::vector<int64_t>(sequences_.size(), steps), true);
  try {
    decode(first, steps);
    check(cudaMemcpyAsync(tokens.data(),
                          record_.at<int32_t>() + 1,
                          chosen * sizeof(int32_t),
                          cudaMemcpyDeviceToHost,
                          model_.stream().get()),
          kBuffers);
    model_.learn(sequences_);
  } catch (...) {
    model_.take_in_failure(sequences_.front()->bank());
    throw;
  }
  for (CudaSequence* sequence : sequences_) sequence->advance(steps, Rows::decoded);
  return tokens;
}

/// Puts all steps on the stream.
void DecodeLoop::decode(std::span<const int32_t> first, int32_t steps) {
  check(cudaMemsetAsync(record_.data(), 0, sizeof(int32_t), model_.stream().get()), kBuffers);
  const StepWork work = work_of(first);
  work.bank->flush();
  model_.step().prepare(work);
  for (int32_t i = 0; i < steps; ++i) {
    graphs_.run(work, model_.stream(), [&] { launch(work); });
  }
}

}  // namespace dms::cuda
