#include "llm/calibration_input.h"

#include "dms/error.h"

namespace dms::llm {

void check_range(const char* field, int64_t value, int64_t min, int64_t max) {
  if (value >= min && value <= max) return;
  throw InputError({.field = field,
                    .what = "out of range",
                    .got = std::to_string(value),
                    .expected = std::to_string(min) + " to " + std::to_string(max)});
}

void require_plain(const ModelSpec& spec, const std::filesystem::path& model) {
  if (!spec.dms) return;
  throw InputError({.where = model.string(),
                    .what = "the model already has trained eviction",
                    .got = "settings from " + spec.dms->origin,
                    .expected = "a plain model"});
}

CalibrationText encode_text(const Tokenizer& tokenizer,
                            const ModelSpec& spec,
                            const std::filesystem::path& model,
                            const std::string& text,
                            int64_t tokens,
                            int64_t least) {
  CalibrationText encoded{.beginning = tokenizer.encode("", true),
                          .ids = tokenizer.encode(text, false)};
  require_known(encoded.beginning, spec.vocab, model);
  require_known(encoded.ids, spec.vocab, model);
  const int64_t count = std::ssize(encoded.ids);
  if (count < least || tokens < least) {
    const bool is_text = tokens >= least;
    throw InputError({.field = is_text ? "text" : "tokens",
                      .what = "too short to calibrate with",
                      .got = std::to_string(is_text ? count : tokens) + " tokens",
                      .expected = "at least " + std::to_string(least)});
  }
  if (count > tokens) encoded.ids.resize(static_cast<size_t>(tokens));
  return encoded;
}

}  // namespace dms::llm
