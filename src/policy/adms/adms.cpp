// ADMS: the first tokens, a compressed middle and the recent window. What leaves the window is a
// candidate, exact and seen by all, until the next plan; that one leaves each head's most important
// entries exact and gives the others to a compressor, together with what earlier plans gave it.
// semantics.md section 4.

#include <algorithm>
#include <array>
#include <memory>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "dms/error.h"
#include "policy/adms/compressor.h"
#include "policy/adms/importance.h"
#include "policy/idle.h"
#include "policy/policy.h"
#include "policy/turn_table.h"

namespace dms::policy {
namespace {

/// Last queries whose attention the metric `attention` averages.
constexpr int64_t kAttentionQueries = 32;

struct Settings {
  int64_t sinks = 4;
  int64_t recent = 2000;
  int64_t budget = 128;
  int64_t interval = 8;
  int64_t prompt_interval = 256;
  ImportanceMetric metric = ImportanceMetric::value_norm;
  double importance_ratio = 0.25;
  int64_t min_importance_tokens = 4;
  Coverage coverage{};
  bool adaptive = false;
  bool shift = false;
};

class Adms final : public cache::Policy {
 public:
  Adms(const Settings& settings,
       const PolicyRequest& request,
       std::shared_ptr<const TurnTables> turns,
       CompressorPtr compressor)
      : settings_(settings),
        turns_(std::move(turns)),
        kv_heads_(request.kv_heads),
        head_dim_(request.head_dim),
        compressor_(std::move(compressor)) {}

  int64_t window() const override { return settings_.recent; }
  double expected_keep() const override { return 0.0; }

  cache::PolicyNeeds needs() const override {
    const bool attends = settings_.metric == ImportanceMetric::attention;
    return {.last_queries = attends ? kAttentionQueries : 0, .contents = !attends};
  }

  std::optional<int64_t> far_position(int64_t token) const override {
    if (!settings_.shift) return std::nullopt;
    return std::min(token, settings_.sinks + settings_.budget + settings_.recent);
  }

  int64_t interval() const override { return settings_.interval; }
  int64_t prompt_interval() const override { return settings_.prompt_interval; }
  /// Prompts are cut at other multiples than answers.
  bool shares_prefixes() const override { return false; }
  int64_t first_ranked(int64_t) const override { return settings_.sinks; }
  int64_t ranked_end(int64_t tokens) const override {
    return std::min(std::max(tokens - settings_.recent, settings_.sinks), tokens);
  }

  std::vector<float> measure(const cache::HeadContents& head,
                             const cache::PolicyState*) const override {
    return importance_of(settings_.metric, head);
  }

  cache::EvictionPlan plan(const cache::LayerEntries& layer,
                           const cache::PolicyState*) const override {
    const Middle middle = middle_of(layer.tokens);
    const std::vector<int64_t> sizes = sizes_of(layer);
    const std::vector<int64_t> budgets = budgets_of(layer, sizes);
    cache::EvictionPlan plan;
    for (size_t head = 0; head < layer.heads.size(); ++head) {
      const cache::HeadEntries& entries = layer.heads[head];
      if (sizes[head] <= budgets[head]) {
        plan.emplace_back(entries.positions.size(), 0);
        continue;
      }
      plan.push_back(least_important(entries.positions,
                                     importance(entries),
                                     exact_of(budgets[head]),
                                     middle,
                                     settings_.coverage));
    }
    return plan;
  }

  bool digests() const override { return true; }
  int64_t most_merged() const override {
    const int64_t most = settings_.adaptive ? settings_.budget * kv_heads_ : settings_.budget;
    const int64_t merged = compressor_->most_merged(most);
    return settings_.shift ? merged + most : merged;
  }

  cache::BlockRoom most_blocks(int64_t tokens) const override {
    const int64_t middle = middle_of(tokens).tokens();
    if (middle <= 0 || (!settings_.adaptive && middle <= settings_.budget)) return {};
    if (settings_.adaptive) {  // any head may have come by all of it once
      const int64_t all = settings_.budget * kv_heads_;
      const cache::BlockRoom head = compressor_->most_block(all, head_dim_);
      return {.numbers = std::min(head.numbers * kv_heads_, 2 * all * head_dim_),
              .tokens = head.tokens * kv_heads_};
    }
    const int64_t budget = settings_.budget - exact_of(settings_.budget);
    cache::BlockRoom head = compressor_->most_block(budget, head_dim_);
    // The keys' basis is there once more, turned.
    if (settings_.shift) head.numbers += budget * head_dim_;
    return {.numbers = head.numbers * kv_heads_, .tokens = head.tokens * kv_heads_};
  }

  cache::Digest digest(cache::DigestRequest request) const override {
    const cache::HeadContents& leaving = request.leaving;
    const Middle middle = middle_of(request.layer.tokens);
    const auto head = static_cast<size_t>(leaving.head);
    const std::vector<int64_t> sizes = sizes_of(request.layer);
    const int64_t budget = budgets_of(request.layer, sizes)[head];
    if (sizes[head] <= budget) return std::move(request.before);
    cache::Digest digest = std::move(request.before);
    if (!leaving.positions.empty()) {
      digest = compressor_->compress({.leaving = leaving,
                                      .before = std::move(digest),
                                      .budget = budget - exact_of(budget),
                                      .middle = middle});
    }
    if (settings_.shift) digest.shifted = shifted(request.staying, digest, middle);
    return digest;
  }

 private:
  Middle middle_of(int64_t tokens) const {
    return {.begin = settings_.sinks, .end = ranked_end(tokens)};
  }

  int64_t exact_of(int64_t budget) const {
    const auto by_ratio =
        static_cast<int64_t>(settings_.importance_ratio * static_cast<double>(budget));
    return std::min(std::max(by_ratio, settings_.min_importance_tokens), budget);
  }

  const std::vector<float>& importance(const cache::HeadEntries& entries) const {
    return settings_.metric == ImportanceMetric::attention ? entries.attention : entries.measured;
  }

  /// What each head's middle takes before a plan. Where heads share a budget, one that was
  /// compressed has no use for more than what is left of it, and the others do.
  std::vector<int64_t> sizes_of(const cache::LayerEntries& layer) const {
    std::vector<int64_t> sizes(layer.heads.size(), middle_of(layer.tokens).tokens());
    for (size_t head = 0; settings_.adaptive && head < sizes.size(); ++head) {
      sizes[head] = std::ssize(layer.heads[head].positions) + layer.heads[head].digested;
    }
    return sizes;
  }

  std::vector<int64_t> budgets_of(const cache::LayerEntries& layer,
                                  std::span<const int64_t> sizes) const {
    std::vector<int64_t> even(layer.heads.size(), settings_.budget);
    if (!settings_.adaptive) return even;
    std::vector<std::span<const float>> all;
    for (const cache::HeadEntries& entries : layer.heads) all.emplace_back(importance(entries));
    return budgets_by_variance(
        all, settings_.budget * std::ssize(all), settings_.min_importance_tokens, sizes);
  }

  /// The middle at its places: entries by rising position, the last one just before the recent
  /// window as a query in the far frame sees it; the block with its last token there.
  cache::ShiftedMiddle shifted(const cache::HeadContents& staying,
                               const cache::Digest& digest,
                               const Middle& middle) const {
    const auto width = static_cast<size_t>(staying.head_dim);
    const std::shared_ptr<const TurnTable> turns = turns_->at(staying.layer, staying.rope_length);
    const int64_t places_end = settings_.sinks + settings_.budget;
    const cache::MergedEntries& merged = digest.merged;
    cache::ShiftedMiddle out;
    out.end = middle.end;
    const auto exact_count = staying.positions.size();
    const size_t count = exact_count + merged.positions.size();
    size_t exact = 0;
    size_t other = 0;
    for (size_t i = 0; i < count; ++i) {
      const bool is_exact =
          other == merged.positions.size() ||
          (exact < exact_count && staying.positions[exact] <= merged.positions[other]);
      const size_t from = is_exact ? exact++ : other++;
      const int32_t position = is_exact ? staying.positions[from] : merged.positions[from];
      const auto keys = is_exact ? staying.keys : std::span<const float>(merged.keys);
      const auto values = is_exact ? staying.values : std::span<const float>(merged.values);
      const auto key = keys.subspan(from * width, width);
      const auto value = values.subspan(from * width, width);
      out.entries.positions.push_back(position);
      out.entries.counts.push_back(is_exact ? 1 : merged.counts[from]);
      out.entries.keys.insert(out.entries.keys.end(), key.begin(), key.end());
      out.entries.values.insert(out.entries.values.end(), value.begin(), value.end());
      const int64_t place = places_end - static_cast<int64_t>(count - i);
      turns->turn(std::span(out.entries.keys).last(width), place - position);
    }
    if (digest.block.tokens() > 0) {
      out.key_basis = shifted_basis(
          digest.block, places_end - 1 - digest.block.positions.back(), width, *turns);
    }
    return out;
  }

  /// [head_dim, rank], each column turned as a key would be.
  static std::vector<float> shifted_basis(const cache::LowRankBlock& block,
                                          int64_t distance,
                                          size_t width,
                                          const TurnTable& turns) {
    std::vector<float> basis(block.key_basis.size());
    std::vector<float> column(width);
    const auto rank = static_cast<size_t>(block.rank);
    for (size_t r = 0; r < rank; ++r) {
      for (size_t c = 0; c < width; ++c) column[c] = block.key_basis[c * rank + r];
      turns.turn(column, distance);
      for (size_t c = 0; c < width; ++c) basis[c * rank + r] = column[c];
    }
    return basis;
  }

  Settings settings_;
  std::shared_ptr<const TurnTables> turns_;
  int64_t kv_heads_;
  int64_t head_dim_;
  CompressorPtr compressor_;
};

int64_t read_sinks(ArgReader& args) {
  constexpr int64_t kDefaultLength = 32768;
  constexpr int64_t kShare = 100;
  const int64_t start_size = args.integer("start_size", 4, 0, kMaxWindow);
  const int64_t length = args.integer("max_seq_length", kDefaultLength, 1, kMaxWindow);
  const bool is_dynamic = args.boolean("enable_dynamic_sink", true);
  if (!is_dynamic) refuse_idle(args, {"max_seq_length"}, "only with enable_dynamic_sink=true");
  return is_dynamic ? std::max(start_size, length / kShare) : start_size;
}

Settings read_settings(ArgReader& args) {
  Settings settings;
  constexpr std::array kMetrics{ImportanceMetric::value_norm,
                                ImportanceMetric::key_norm,
                                ImportanceMetric::mixed,
                                ImportanceMetric::attention};
  settings.sinks = read_sinks(args);
  settings.recent = args.integer("recent_size", settings.recent, 0, kMaxWindow);
  settings.budget = args.integer("compressed_budget", settings.budget, 1, kMaxWindow);
  settings.interval = args.integer("compression_interval", settings.interval, 1, kMaxWindow);
  settings.prompt_interval = args.integer(
      "prompt_interval", std::max(settings.interval, settings.prompt_interval), 1, kMaxWindow);
  settings.metric = kMetrics.at(
      args.choice("importance_metric", {"value_norm", "key_norm", "mixed", "attention"}));
  settings.importance_ratio = args.number("importance_ratio", settings.importance_ratio, 0.0, 1.0);
  settings.min_importance_tokens =
      args.integer("min_importance_tokens", settings.min_importance_tokens, 0, kMaxWindow);
  settings.coverage.priority = args.number("coverage_priority", 0.3, 0.0, 1.0);
  settings.coverage.segments = args.integer("coverage_segments", 4, 1, 1 << 16);
  if (settings.coverage.priority == 0.0) {
    refuse_idle(args, {"coverage_segments"}, "only with coverage_priority above 0");
  }
  settings.adaptive = args.boolean("use_adaptive_budget", false);
  settings.shift = args.boolean("enable_pos_shift", false);
  return settings;
}

CompressorPtr read_low_rank(ArgReader& args) {
  const int64_t rank = args.integer("rank", 16, 1, kMaxWindow);
  return low_rank_compressor(rank, args.integer("svd_max_tokens", 512, 1, kMaxWindow));
}

Merging read_merging(ArgReader& args, std::shared_ptr<const TurnTables> turns) {
  constexpr std::array kAnchors{Anchor::mean, Anchor::grid, Anchor::hybrid};
  return {std::move(turns), kAnchors.at(args.choice("anchor_mode", {"mean", "grid", "hybrid"}))};
}

/// Reads the arguments of the one that is meant.
CompressorPtr read_compressor(ArgReader& args, std::shared_ptr<const TurnTables> turns) {
  const std::vector<std::string_view> types{"low_rank", "vq", "summary", "custom"};
  const std::string_view type = types[args.choice("compressor_type", types)];
  const std::string only = "only with compressor_type=";
  if (type != "low_rank") refuse_idle(args, {"rank", "svd_max_tokens"}, only + "low_rank");
  if (type != "vq") refuse_idle(args, {"num_clusters"}, only + "vq");
  if (type != "custom") refuse_idle(args, {"compressor"}, only + "custom");
  if (type == "low_rank") {
    refuse_idle(args, {"anchor_mode"}, only + "vq, summary or custom");
    return read_low_rank(args);
  }
  Merging merging = read_merging(args, std::move(turns));
  if (type == "summary") return summary_compressor(std::move(merging));
  if (type == "custom") return custom_compressor(std::move(merging), args.text("compressor"));
  return vq_compressor(std::move(merging), args.integer("num_clusters", 64, 1, kMaxWindow));
}

/// Entries can only be moved to other places where positions turn keys, and where no head has more
/// of them than there are places.
void check_shift(const PolicyRequest& request, bool adaptive) {
  if (adaptive) {
    throw InputError({.field = "policy_args.use_adaptive_budget",
                      .what = "not beside enable_pos_shift, which has as many places for each head",
                      .got = "true",
                      .expected = "false"});
  }
  if (request.rotations.pairs() > 0) return;
  throw InputError({.field = "policy_args.enable_pos_shift",
                    .what = "needs positions that turn keys (RoPE)",
                    .got = "a model without them",
                    .expected = "enable_pos_shift=false"});
}

}  // namespace

PolicyPtr make_adms(const PolicyRequest& request) {
  if (request.window) {
    throw InputError({.field = "window_tokens",
                      .what = "the policy adms has no window of its own",
                      .got = std::to_string(*request.window),
                      .expected = "policy_args recent_size=" + std::to_string(*request.window)});
  }
  ArgReader args("adms", request.args);
  const Settings settings = read_settings(args);
  const auto turns =
      request.turns ? request.turns : std::make_shared<const TurnTables>(request.rotations);
  CompressorPtr compressor = read_compressor(args, turns);
  args.finish();
  if (settings.shift) check_shift(request, settings.adaptive);
  return std::make_shared<Adms>(settings, request, turns, std::move(compressor));
}

}  // namespace dms::policy
