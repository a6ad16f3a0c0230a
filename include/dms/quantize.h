#pragma once
// Makes a folder of quantised weights from a model, once, so that it need not be done at every
// load.

#include <cstdint>
#include <filesystem>
#include <string>

#include "dms/llm.h"

namespace dms {

struct QuantizeOptions {
  std::string weights = "int4";  // or "int8": linear layers, symmetric, a scale for 32 inputs each
  /// Text like what the model will see. Where it is not empty, weights are rounded so that the
  /// outputs change least on it (GPTQ) instead of the weights themselves.
  std::string calibration_text{};
  int64_t calibration_tokens = 32768;  // of the text, at most
  int64_t threads = 0;                 // 0: all cores this process may use
};

struct QuantizeResult {
  int64_t weight_bytes = 0;        // of the tensors written
  int64_t calibration_tokens = 0;  // that were used
};

/// Reads the Hugging Face folder `model` and writes `out` as compressed-tensors' "pack-quantized":
/// it opens here, in vLLM and in transformers. The embedding and the head are stored in bf16,
/// norms, biases and decision projections in float32. `progress`: weights done, weights in all.
/// Throws InputError where the model or an option cannot be used, the text is shorter than 512
/// tokens, or `out` holds something else; RunError when the disk is full. Nothing is left of a
/// failure.
QuantizeResult quantize_model(const std::filesystem::path& model,
                              const std::filesystem::path& out,
                              const QuantizeOptions& options,
                              const Progress& progress = {});

}  // namespace dms
