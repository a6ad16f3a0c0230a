#include "support/plain_policy.h"

#include <limits>
#include <map>
#include <memory>
#include <string>
#include <utility>

#include "base/npy.h"
#include "dms/error.h"

namespace dms::testing_support {
namespace {

constexpr int64_t kDefaultWindow = 256;

/// The arguments of a policy; whatever is left at the end is one it does not have.
class Args {
 public:
  explicit Args(std::map<std::string, std::string> values) : values_(std::move(values)) {}

  std::string take(const std::string& key, const std::string& fallback) {
    const auto it = values_.find(key);
    if (it == values_.end()) return fallback;
    std::string value = it->second;
    values_.erase(it);
    return value;
  }
  int64_t integer(const std::string& key, int64_t fallback) {
    return std::stoll(take(key, std::to_string(fallback)));
  }
  void finish() const {
    if (values_.empty()) return;
    throw InputError({.where = "policy_args", .what = "unknown", .got = values_.begin()->first});
  }

 private:
  std::map<std::string, std::string> values_;
};

PlainPolicy none() {
  return {.window = 0, .evicts = [](const PlainFate&) { return false; }};
}

PlainPolicy dms(Args& args, const DmsSpec& trained, int64_t window) {
  const std::string fallback = trained.disable_eviction ? "true" : "false";
  const bool evicts = args.take("disable_eviction", fallback) == "false";
  return {.window = window,
          .shift = trained.decision_shift,
          .evicts = [evicts](const PlainFate& fate) { return evicts && fate.logit > 0; }};
}

/// Scores come as logits.
PlainPolicy kvzap(Args& args, const KvzapSpec& scored, int64_t window) {
  const double threshold = std::stod(args.take("threshold", std::to_string(scored.threshold)));
  const int64_t sinks = args.integer("n_sink", scored.sinks);
  return {.window = window, .evicts = [=](const PlainFate& fate) {
            return fate.token >= sinks && fate.logit < threshold;
          }};
}

/// The first start_size tokens stay. With shifted positions a query reads keys beyond the recent
/// ones from its place in the cache, so that no distance exceeds start_size + recent_size.
PlainPolicy streaming(Args& args, int64_t context) {
  const int64_t start = args.integer("start_size", 4);
  const int64_t recent = args.integer("recent_size", 2000);
  const bool shifts = args.take("enable_pos_shift", "false") == "true";
  PlainPolicy policy{.window = recent,
                     .evicts = [start](const PlainFate& fate) { return fate.token >= start; }};
  if (shifts) policy.far_place = start + recent;
  if (shifts && start + recent < context) policy.max_tokens = std::numeric_limits<int32_t>::max();
  return policy;
}

/// SplitMix64's finaliser.
uint64_t scrambled(uint64_t x) {
  x += 0x9e3779b97f4a7c15u;
  x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9u;
  x = (x ^ (x >> 27)) * 0x94d049bb133111ebu;
  return x ^ (x >> 31);
}

PlainPolicy random(Args& args, int64_t kv_heads, int64_t window) {
  const double keep = 1.0 / std::stod(args.take("cr", "8"));
  const uint64_t seed = std::stoull(args.take("seed", "0"));
  return {.window = window, .evicts = [=](const PlainFate& fate) {
            const auto head = static_cast<uint64_t>(fate.layer * kv_heads + fate.kv_head);
            const uint64_t hash =
                scrambled(scrambled(seed ^ scrambled(head)) ^ static_cast<uint64_t>(fate.token));
            return static_cast<double>(hash >> 11) * 0x1p-53 >= keep;
          }};
}

/// Tokens beyond the file are kept.
PlainPolicy forced(const std::filesystem::path& file, int64_t window) {
  const auto fates = std::make_shared<const NpyBytes>(read_npy_bytes(file));
  return {.window = window, .evicts = [fates](const PlainFate& fate) {
            const int64_t tokens = fates->shape.at(2);
            if (fate.token >= tokens) return false;
            const int64_t head = fate.layer * fates->shape.at(1) + fate.kv_head;
            return fates->values.at(static_cast<size_t>(head * tokens + fate.token)) != 0;
          }};
}

PlainPolicy by_name(const std::string& name,
                    Args& args,
                    const ModelSpec& spec,
                    const CacheOptions& options) {
  int64_t of_model = kDefaultWindow;
  if (spec.dms) of_model = spec.dms->window;
  if (spec.kvzap) of_model = spec.kvzap->window;
  const int64_t window = options.window_tokens.value_or(of_model);
  if (name == "none") return none();
  if (name == "dms" && spec.dms) return dms(args, *spec.dms, window);
  if (name == "kvzap" && spec.kvzap) return kvzap(args, *spec.kvzap, window);
  if (name == "streaming") return streaming(args, spec.context);
  if (name == "random") return random(args, spec.kv_heads, window);
  if (name == "forced") return forced(options.decisions_file, window);
  throw InputError({.where = "policy", .what = "the plain model has no such policy", .got = name});
}

}  // namespace

PlainPolicy plain_policy(const ModelSpec& spec, const CacheOptions& options) {
  if (options.kv_dtype != "" && options.kv_dtype != "f32") {
    throw InputError(
        {.where = "kv_dtype", .what = "unknown", .got = options.kv_dtype, .expected = "f32"});
  }
  std::string fallback = "none";
  if (spec.dms) fallback = "dms";
  if (spec.kvzap) fallback = "kvzap";
  Args args(options.policy_args);
  PlainPolicy policy =
      by_name(options.policy.empty() ? fallback : options.policy, args, spec, options);
  args.finish();
  if (policy.max_tokens == 0) policy.max_tokens = spec.context;
  return policy;
}

}  // namespace dms::testing_support
