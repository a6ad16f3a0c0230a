#include "train/gating.h"

namespace dms::train {
namespace {

constexpr double kHidden = -1e5;  // a score that no softmax sees, finite so that sums stay finite
constexpr double kKept = -1e5;    // a noised logit that says stay, whatever the noise

/// The last token has no decision yet: nobody sees it from beyond its window.
at::Tensor shift_fates(const at::Tensor& per_token, int64_t shift) {
  return shift == 0 ? per_token : at::constant_pad_nd(per_token.slice(2, shift), {0, shift}, 0.0);
}

at::Tensor of_the_deciding_head(const at::Tensor& x, bool per_layer) {
  return per_layer ? x.slice(1, 0, 1).expand_as(x) : x;
}

/// Is the decision of each token that of a sink?
at::Tensor decides_sinks(const at::Tensor& logits, const GateOptions& options) {
  const at::Tensor token = at::arange(logits.size(2), logits.options().dtype(at::kLong));
  return (token >= options.shift).logical_and(token < options.shift + options.sinks);
}

/// Mixes its arguments so that neighbouring steps start unrelated sequences (SplitMix64).
uint64_t mix(uint64_t seed, uint64_t value) {
  uint64_t z = seed + 0x9e3779b97f4a7c15ULL * (value + 1);
  z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9ULL;
  z = (z ^ (z >> 27)) * 0x94d049bb133111ebULL;
  return z ^ (z >> 31);
}

}  // namespace

Gates gate(const at::Tensor& logits, const at::Tensor& noise, const GateOptions& options) {
  const at::Tensor z = of_the_deciding_head((logits + noise) / options.tau, options.per_layer)
                           .masked_fill(decides_sinks(logits, options), kKept);
  const at::Tensor probability = at::sigmoid(z);
  const at::Tensor shifted = shift_fates(z, options.shift);
  Gates gates;
  gates.bias = at::log_sigmoid(-shifted);
  gates.decisions = options.soft_fraction
                        ? probability
                        : (z > 0).to(z.scalar_type()) - probability.detach() + probability;
  return gates;
}

Gates hard_gate(const at::Tensor& logits, const GateOptions& options) {
  const at::Tensor evict =
      of_the_deciding_head((logits > 0).to(logits.scalar_type()), options.per_layer)
          .masked_fill(decides_sinks(logits, options), 0.0);
  return {.bias = shift_fates(evict, options.shift) * kHidden, .decisions = evict};
}

at::Tensor gumbel_noise(const ModelSpec& spec,
                        int64_t batch,
                        int64_t tokens,
                        uint64_t seed,
                        int64_t step,
                        int64_t micro,
                        bool single) {
  at::Generator generator = at::detail::createCPUGenerator(
      mix(mix(seed, static_cast<uint64_t>(step)), static_cast<uint64_t>(micro)));
  const auto sample = [&] {
    at::Tensor uniform = at::empty({spec.layers, batch, spec.kv_heads, tokens}, at::kFloat);
    uniform.uniform_(0.0, 1.0, generator).clamp_(1e-20, 1.0 - 1e-7);
    return uniform.log_().neg_().log_().neg_();
  };
  const at::Tensor first = sample();
  return single ? first : first - sample();
}

}  // namespace dms::train
