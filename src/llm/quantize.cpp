#include "dms/quantize.h"

#include <optional>
#include <string>
#include <system_error>
#include <utility>

#include "base/file_status.h"
#include "base/threads.h"
#include "llm/calibration.h"
#include "llm/model_source.h"
#include "model/decoder_weights.h"
#include "quantise/quantised_folder.h"

namespace dms {
namespace {

constexpr int64_t kLeastTokens = 512;
constexpr int64_t kMostTokens = int64_t{1} << 22;

kernels::WeightFormat format_of(const std::string& name) {
  const auto format = kernels::parse_weight_format(name);
  if (format && is_quantised(*format)) return *format;
  throw InputError(
      {.field = "weights", .what = "unknown type", .got = name, .expected = "int8 or int4"});
}

void check_tokens(int64_t tokens) {
  if (tokens >= kLeastTokens && tokens <= kMostTokens) return;
  throw InputError(
      {.field = "calibration_tokens",
       .what = "out of range",
       .got = std::to_string(tokens),
       .expected = std::to_string(kLeastTokens) + " to " + std::to_string(kMostTokens)});
}

std::vector<int32_t> calibration_ids(const ModelSource& source,
                                     int64_t vocab,
                                     const std::filesystem::path& model,
                                     const QuantizeOptions& options) {
  std::vector<int32_t> ids = source.encode(options.calibration_text, false);
  llm::require_known(ids, vocab, model);
  if (std::ssize(ids) < kLeastTokens) {
    throw InputError({.field = "calibration_text",
                      .what = "too short to calibrate with",
                      .got = std::to_string(ids.size()) + " tokens",
                      .expected = "at least " + std::to_string(kLeastTokens)});
  }
  const auto most = static_cast<size_t>(options.calibration_tokens);
  if (ids.size() > most) ids.resize(most);
  return ids;
}

}  // namespace

QuantizeResult quantize_model(const std::filesystem::path& model,
                              const std::filesystem::path& out,
                              const QuantizeOptions& options,
                              const Progress& progress) {
  const kernels::WeightFormat format = format_of(options.weights);
  check_tokens(options.calibration_tokens);
  if (path_exists(model) && !is_folder(model)) {
    throw InputError({.where = model.string(),
                      .what = "is a file",
                      .expected = "a Hugging Face folder with config.json and *.safetensors"});
  }
  const ModelSource source(model,
                           {.weights = "bf16",
                            .threads = options.threads,
                            .metadata_scope = MetadataScope::with_parent});
  const ModelSource::State& state = *source.state_;
  quantise::check_quantised_folder(out, state.spec);
  use_threads(options.threads);

  QuantizeResult result;
  std::optional<llm::Calibration> calibration;
  if (!options.calibration_text.empty()) {
    std::vector<int32_t> ids = calibration_ids(source, state.spec.vocab, model, options);
    result.calibration_tokens = std::ssize(ids);
    cpu::CpuModel reader(
        state.spec,
        model::load_weights(state.spec, *state.weights, {.format = kernels::WeightFormat::bf16}),
        state.options);
    calibration.emplace(std::move(reader), state.spec, std::move(ids));
  }
  quantise::FolderOptions folder{.format = format, .progress = progress};
  if (calibration) {
    folder.rounding = [&](const WeightName& weight) { return calibration->rounding(weight); };
  }
  quantise::write_quantised_folder(model, out, state.spec, *state.weights, folder);
  std::error_code error;
  result.weight_bytes =
      static_cast<int64_t>(std::filesystem::file_size(out / "model.safetensors", error));
  return result;
}

}  // namespace dms
