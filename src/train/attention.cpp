#include "train/attention.h"

#include <algorithm>
#include <limits>
#include <optional>
#include <tuple>
#include <vector>

#include "base/check.h"

namespace dms::train {
namespace {

using at::indexing::Slice;
using torch::autograd::AutogradContext;
using torch::autograd::variable_list;

constexpr int64_t kLeastBlock = 64;   // queries of a band's block: enough to fill the kernel
constexpr int64_t kBiasChannels = 8;  // one would do; eight keep the head's rows aligned
constexpr int64_t kUnlimited = std::numeric_limits<int64_t>::max();

/// Keys 0 <= t - i <= reach. q [batch, q_heads, tokens, head_dim], k and v with kv_heads.
struct Inputs {
  at::Tensor q;
  at::Tensor k;
  at::Tensor v;
};

struct Outputs {
  at::Tensor out;  // like q
  at::Tensor lse;  // [batch, q_heads, tokens], float32 (float64 for float64)
};

struct Gradients {
  at::Tensor q;
  at::Tensor k;
  at::Tensor v;
};

Outputs flash(const Inputs& in, bool causal, const at::Tensor& mask, double scale) {
  const auto mask_argument = mask.defined() ? std::optional(mask) : std::nullopt;
  auto [out, lse] = at::_scaled_dot_product_flash_attention_for_cpu(
      in.q, in.k, in.v, 0.0, causal, mask_argument, scale);
  return {out, lse};
}

Gradients flash_backward(const at::Tensor& grad,
                         const Inputs& in,
                         const Outputs& whole,
                         bool causal,
                         const at::Tensor& mask,
                         double scale) {
  const auto mask_argument = mask.defined() ? std::optional(mask) : std::nullopt;
  auto [q, k, v] = at::_scaled_dot_product_flash_attention_for_cpu_backward(
      grad, in.q, in.k, in.v, whole.out, whole.lse, 0.0, causal, mask_argument, scale);
  return {q, k, v};
}

at::Tensor rows(const at::Tensor& x, int64_t begin, int64_t end) { return x.slice(2, begin, end); }

/// A band of keys, computed block by block: block b holds queries [b size, (b + 1) size) and keys
/// from b size - reach on. The first block has no keys before it and is a call of its own.
class Band {
 public:
  Band(int64_t tokens, int64_t reach)
      : reach_(reach),
        size_(std::min(std::max(reach, kLeastBlock), tokens)),
        blocks_(ceil_div(tokens, size_)),
        padding_(blocks_ * size_ - tokens) {}

  Outputs forward(const Inputs& in, double scale) const {
    const Outputs first = flash(first_block(in), false, mask(in.q, size_), scale);
    if (blocks_ == 1) return first;
    const Inputs rest = later_blocks(in);
    const Outputs blocks = flash(rest, false, mask(in.q, size_ + reach_), scale);
    const int64_t batch = in.q.size(0);
    const int64_t tokens = in.q.size(2);
    return {at::cat({first.out, join(blocks.out, batch)}, 2).slice(2, 0, tokens),
            at::cat({first.lse, join(blocks.lse, batch)}, 2).slice(2, 0, tokens)};
  }

  Gradients backward(const at::Tensor& grad,
                     const Inputs& in,
                     const Outputs& whole,
                     double scale) const {
    const Outputs first_whole{rows(whole.out, 0, size_), rows(whole.lse, 0, size_)};
    Gradients first = flash_backward(
        rows(grad, 0, size_), first_block(in), first_whole, false, mask(in.q, size_), scale);
    if (blocks_ == 1) return first;
    const Outputs later_whole{split(whole.out), split(whole.lse)};
    const Gradients later = flash_backward(
        split(grad), later_blocks(in), later_whole, false, mask(in.q, size_ + reach_), scale);
    const int64_t batch = in.q.size(0);
    const int64_t tokens = in.q.size(2);
    return {at::cat({first.q, join(later.q, batch)}, 2).slice(2, 0, tokens),
            fold(first.k, later.k, in.k),
            fold(first.v, later.v, in.v)};
  }

 private:
  Inputs first_block(const Inputs& in) const {
    return {rows(in.q, 0, size_), rows(in.k, 0, size_), rows(in.v, 0, size_)};
  }

  Inputs later_blocks(const Inputs& in) const {
    return {split(in.q), split_keys(in.k), split_keys(in.v)};
  }

  at::Tensor padded(const at::Tensor& x) const {
    if (padding_ == 0) return x;
    std::vector<int64_t> shape = x.sizes().vec();
    shape[2] = padding_;
    return at::cat({x, at::zeros(shape, x.options())}, 2);
  }

  /// Rows after the first block, [batch, heads, tokens, …] -> [batch x blocks, heads, size, …].
  at::Tensor split(const at::Tensor& x) const {
    const at::Tensor later = padded(x).slice(2, size_);
    return later.unflatten(2, {blocks_ - 1, size_}).transpose(1, 2).flatten(0, 1);
  }

  at::Tensor join(const at::Tensor& x, int64_t batch) const {
    return x.unflatten(0, {batch, blocks_ - 1}).transpose(1, 2).flatten(2, 3);
  }

  /// Each later block's keys, overlapping: [batch x blocks, heads, reach + size, head_dim].
  at::Tensor split_keys(const at::Tensor& x) const {
    const at::Tensor windows = padded(x).slice(2, size_ - reach_).unfold(2, size_ + reach_, size_);
    return windows.permute({0, 2, 1, 4, 3}).flatten(0, 1);
  }

  /// Adds up the gradients of keys that two blocks saw.
  at::Tensor fold(const at::Tensor& first, const at::Tensor& later, const at::Tensor& like) const {
    const int64_t batch = like.size(0);
    at::Tensor sum = at::zeros({batch, like.size(1), blocks_ * size_, like.size(3)},
                               like.options().dtype(later.scalar_type()));
    sum.slice(2, 0, size_).copy_(first);
    sum.slice(2, size_).add_(join(later.slice(2, reach_), batch));
    const at::Tensor before = later.slice(2, 0, reach_).unflatten(0, {batch, blocks_ - 1});
    sum.unflatten(2, {blocks_, size_})
        .slice(2, 0, blocks_ - 1)
        .slice(3, size_ - reach_)
        .add_(before.transpose(1, 2));
    return sum.slice(2, 0, like.size(2));
  }

  /// Additive [1, 1, size, keys]; the last key is the last query's own.
  at::Tensor mask(const at::Tensor& like, int64_t keys) const {
    const auto options = like.options().dtype(at::kLong);
    const at::Tensor query = at::arange(size_, options).unsqueeze(1) + (keys - size_);
    const at::Tensor distance = query - at::arange(keys, options);
    const at::Tensor hidden = (distance < 0).logical_or(distance > reach_);
    return at::zeros({1, 1, size_, keys}, like.options())
        .masked_fill_(hidden, -std::numeric_limits<double>::infinity());
  }

  int64_t reach_;
  int64_t size_;
  int64_t blocks_;
  int64_t padding_;
};

bool is_causal(const Inputs& in, int64_t reach) { return reach >= in.q.size(2) - 1; }

Outputs reach_forward(const Inputs& in, int64_t reach, double scale) {
  if (is_causal(in, reach)) return flash(in, true, {}, scale);
  return Band(in.q.size(2), reach).forward(in, scale);
}

Gradients reach_backward(
    const at::Tensor& grad, const Inputs& in, const Outputs& whole, int64_t reach, double scale) {
  if (is_causal(in, reach)) return flash_backward(grad, in, whole, true, {}, scale);
  return Band(in.q.size(2), reach).backward(grad, in, whole, scale);
}

/// The far part's inputs: queries from `offset` on, the keys they see, and channels that add
/// bias[i] to the score. In bf16 the bias is the sum of three channels, exact to float32's
/// rounding.
Inputs far_inputs(const Inputs& in, const at::Tensor& bias, int64_t offset, double scale) {
  const int64_t count = in.q.size(2) - offset;
  const at::Tensor value = (rows(bias, 0, count) / scale).unsqueeze(3);
  const auto channels = [](const at::Tensor& x, const at::Tensor& like) {
    std::vector<int64_t> shape = like.sizes().vec();
    shape[3] = kBiasChannels;
    return x.defined() ? x : at::zeros(shape, like.options());
  };
  const at::Tensor k = rows(in.k, 0, count);
  const at::Tensor v = rows(in.v, 0, count);
  const at::Tensor q = rows(in.q, offset, in.q.size(2));
  at::Tensor carried = channels({}, k);
  at::Tensor rest = value;
  for (int64_t channel = 0; channel < 3; ++channel) {
    const at::Tensor part = rest.to(k.scalar_type());
    carried.slice(3, channel, channel + 1).copy_(part);
    rest = rest - part.to(rest.scalar_type());
  }
  at::Tensor ones = channels({}, q);
  ones.slice(3, 0, 3).fill_(1.0);
  return {at::cat({q, ones}, 3), at::cat({k, carried}, 3), at::cat({v, channels({}, v)}, 3)};
}

/// What the saved sizes and options say about the two parts.
struct Plan {
  int64_t near_reach = kUnlimited;  // keys with t - i <= near_reach, without bias
  int64_t far_offset = 0;           // keys with t - i >= far_offset, with bias; 0: no far part
  int64_t far_reach = kUnlimited;   // of t - far_offset - i
};

Plan make_plan(int64_t tokens, bool has_bias, const AttentionOptions& options) {
  const int64_t last = options.sliding_window > 0 ? options.sliding_window - 1 : kUnlimited;
  if (!has_bias || options.window >= last || options.window >= tokens - 1) {
    return {.near_reach = last};
  }
  const int64_t offset = options.window + 1;
  return {.near_reach = options.window,
          .far_offset = offset,
          .far_reach = last == kUnlimited ? kUnlimited : last - offset};
}

Outputs forward(const Inputs& in, const at::Tensor& bias, const Plan& plan, double scale) {
  Outputs whole = reach_forward(in, plan.near_reach, scale);
  if (plan.far_offset == 0) return whole;
  const Outputs far =
      reach_forward(far_inputs(in, bias, plan.far_offset, scale), plan.far_reach, scale);
  const at::Tensor near_out = whole.out.slice(2, plan.far_offset);
  const at::Tensor near_lse = whole.lse.slice(2, plan.far_offset);
  const at::Tensor lse = at::logaddexp(near_lse, far.lse);
  const at::Tensor near_share = at::exp(near_lse - lse).unsqueeze(3);
  const at::Tensor far_share = at::exp(far.lse - lse).unsqueeze(3);
  const at::Tensor far_out = far.out.slice(3, 0, in.q.size(3));
  const at::Tensor merged = near_out * near_share + far_out * far_share;
  const int64_t offset = plan.far_offset;
  return {at::cat({whole.out.slice(2, 0, offset), merged.to(in.q.scalar_type())}, 2),
          at::cat({whole.lse.slice(2, 0, offset), lse}, 2)};
}

/// Adds the far part's gradients to the near part's and returns that of the bias.
at::Tensor add_far(Gradients& sum,
                   const at::Tensor& grad,
                   const Inputs& in,
                   const Outputs& whole,
                   const at::Tensor& bias,
                   const Plan& plan,
                   double scale) {
  const int64_t offset = plan.far_offset;
  const int64_t dim = in.q.size(3);
  const at::Tensor far_grad = grad.slice(2, offset);
  const at::Tensor out = whole.out.slice(2, offset);
  std::vector<int64_t> shape = out.sizes().vec();
  shape[3] = kBiasChannels;
  const at::Tensor zeros = at::zeros(shape, out.options());
  const Gradients far = reach_backward(at::cat({far_grad, zeros}, 3),
                                       far_inputs(in, bias, offset, scale),
                                       {at::cat({out, zeros}, 3), whole.lse.slice(2, offset)},
                                       plan.far_reach,
                                       scale);
  const int64_t count = in.q.size(2) - offset;
  sum.q.slice(2, offset).add_(far.q.slice(3, 0, dim));
  sum.k.slice(2, 0, count).add_(far.k.slice(3, 0, dim));
  sum.v.slice(2, 0, count).add_(far.v.slice(3, 0, dim));
  at::Tensor bias_grad = at::zeros_like(bias);
  bias_grad.slice(2, 0, count).copy_(far.k.select(3, dim) / scale);
  return bias_grad;
}

class AttentionFunction : public torch::autograd::Function<AttentionFunction> {
 public:
  static at::Tensor forward(AutogradContext* context,
                            const at::Tensor& q,
                            const at::Tensor& k,
                            const at::Tensor& v,
                            const std::optional<at::Tensor>& given_bias,
                            double scale,
                            int64_t window,
                            int64_t sliding_window) {
    const at::Tensor bias = given_bias.value_or(at::Tensor());
    const AttentionOptions options{scale, window, sliding_window};
    const Plan plan = make_plan(q.size(2), bias.defined(), options);
    const Outputs whole = train::forward({q, k, v}, bias, plan, scale);
    context->save_for_backward({q, k, v, bias, whole.out, whole.lse});
    context->saved_data["scale"] = scale;
    context->saved_data["window"] = window;
    context->saved_data["sliding_window"] = sliding_window;
    return whole.out;
  }

  static variable_list backward(AutogradContext* context, const variable_list& grads) {
    const variable_list saved = context->get_saved_variables();
    const Inputs in{saved[0], saved[1], saved[2]};
    const at::Tensor& bias = saved[3];
    const Outputs whole{saved[4], saved[5]};
    const AttentionOptions options{context->saved_data["scale"].toDouble(),
                                   context->saved_data["window"].toInt(),
                                   context->saved_data["sliding_window"].toInt()};
    const Plan plan = make_plan(in.q.size(2), bias.defined(), options);
    const at::Tensor grad = grads[0].contiguous();
    Gradients sum = reach_backward(grad, in, whole, plan.near_reach, options.scale);
    at::Tensor bias_grad;
    if (bias.defined()) {
      bias_grad = plan.far_offset > 0 ? add_far(sum, grad, in, whole, bias, plan, options.scale)
                                      : at::zeros_like(bias);
    }
    return {sum.q, sum.k, sum.v, bias_grad, {}, {}, {}};
  }
};

}  // namespace

at::Tensor attention(const at::Tensor& q,
                     const at::Tensor& k,
                     const at::Tensor& v,
                     const at::Tensor& bias,
                     const AttentionOptions& options) {
  ensure(q.dim() == 4 && k.dim() == 4 && v.sizes() == k.sizes(), "attention shapes");
  ensure(q.size(1) % k.size(1) == 0 && q.size(2) == k.size(2), "attention heads and tokens");
  return AttentionFunction::apply(q,
                                  k,
                                  v,
                                  bias.defined() ? std::optional(bias) : std::nullopt,
                                  options.scale,
                                  options.window,
                                  options.sliding_window);
}

}  // namespace dms::train
