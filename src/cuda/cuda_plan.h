#pragma once
// CacheOptions as the device carries them out: a window, a rule by which fates come about and a
// format of survivors.

#include <algorithm>
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "cpu/options.h"
#include "cuda/kernels/cache_view.h"
#include "cuda/kernels/decisions.h"
#include "cuda/page_arena.h"
#include "engine/model.h"
#include "policy/policy.h"

namespace dms::cuda {

/// Whose pages a sequence takes.
struct HeadShape {
  int32_t heads = 0;  // of all layers
  int32_t head_dim = 0;
  KvFormat survivor_format = KvFormat::bf16;
};

class CudaPlan final : public engine::SequencePlan {
 public:
  CudaPlan(std::shared_ptr<const engine::SequencePlan> host,
           policy::PolicyPtr policy,
           const HeadShape& heads)
      : host_(std::move(host)),
        policy_(std::move(policy)),
        rule_(policy_->fate_rule().value()),
        heads_(heads) {}

  int64_t max_tokens() const override { return host_->max_tokens(); }
  int64_t window_tokens() const override { return host_->window_tokens(); }
  const std::string& name() const override { return host_->name(); }
  bool shares_prefixes() const override { return host_->shares_prefixes(); }
  int64_t expected_bytes(int64_t tokens) const override;
  /// Its pages.
  PageDemand expected_pages(int64_t tokens) const;

  /// W. A window beyond the longest sequence is as good as one of its length.
  int32_t window() const {
    return static_cast<int32_t>(std::min(host_->window_tokens(), host_->max_tokens()));
  }
  KvFormat survivor_format() const { return heads_.survivor_format; }
  /// Without logits.
  FateParams fate() const;
  bool needs_logits() const { return policy_->needs().decision_logits; }
  int32_t shift() const { return static_cast<int32_t>(policy_->decision_shift()); }
  /// Whether survivors are all tokens, as they were.
  bool keeps_all() const {
    return rule_.kind == cache::FateRule::Kind::keep && survivor_format() == KvFormat::bf16;
  }
  /// Whether fates don't depend on what is computed: known_fates() has them.
  bool knows_fates() const { return rule_.kind == cache::FateRule::Kind::known; }
  /// [layers, kv_heads, columns] words of 32 tokens, as CacheView::fates.
  std::vector<uint32_t> known_fates(int32_t layers, int32_t kv_heads, int32_t columns) const;

 private:
  std::shared_ptr<const engine::SequencePlan> host_;  // what the CPU makes of the same options
  policy::PolicyPtr policy_;
  cache::FateRule rule_;
  HeadShape heads_;
};

/// Throws InputError naming the option that is bad, or that the device does not have.
std::shared_ptr<const CudaPlan> make_plan(const ModelSpec& spec,
                                          const cpu::ResolvedModelOptions& model,
                                          const CacheOptions& options);

}  // namespace dms::cuda
