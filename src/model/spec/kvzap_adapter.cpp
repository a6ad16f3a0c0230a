#include "model/spec/kvzap_adapter.h"

#include <algorithm>
#include <array>

#include "model/spec/calibrated_adapter.h"

namespace dms {
namespace {

constexpr int64_t kMaxTokens = int64_t{1} << 30;
constexpr int64_t kMaxHidden = int64_t{1} << 16;
constexpr double kMaxNumber = 1e9;

constexpr const char* kThreshold = "kvzap_threshold";
constexpr const char* kWindow = "kvzap_window_size";
constexpr const char* kSinks = "kvzap_n_sink";
constexpr const char* kHidden = "kvzap_hidden_size";
constexpr const char* kRatio = "kvzap_cr";
constexpr std::array kKeys{kThreshold, kWindow, kSinks, kHidden, kRatio};

}  // namespace

std::optional<KvzapSpec> kvzap_from_config(const JsonFields& config) {
  const bool any = std::ranges::any_of(kKeys, [&](const char* key) { return config.has(key); });
  if (!any) return std::nullopt;
  KvzapSpec spec{.origin = config.where()};
  spec.threshold = config.number(kThreshold, -kMaxNumber, kMaxNumber);
  spec.window = config.integer_or(kWindow, spec.window, 0, kMaxTokens);
  spec.sinks = config.integer_or(kSinks, spec.sinks, 0, kMaxTokens);
  spec.hidden = config.integer_or(kHidden, spec.hidden, 0, kMaxHidden);
  spec.target_cr = config.number_or(kRatio, 0.0, 0.0, kMaxNumber);
  return spec;
}

void check_kvzap_output(const std::filesystem::path& out) {
  check_calibrated_output(out, kThreshold);
}

void write_kvzap_adapter(const std::filesystem::path& out,
                         const ModelSpec& spec,
                         const WeightSource& source) {
  write_calibrated_adapter(out,
                           kThreshold,
                           {{kThreshold, spec.kvzap->threshold},
                            {kWindow, spec.kvzap->window},
                            {kSinks, spec.kvzap->sinks},
                            {kHidden, spec.kvzap->hidden},
                            {kRatio, spec.kvzap->target_cr}},
                           spec,
                           source);
}

}  // namespace dms
