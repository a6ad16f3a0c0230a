#include "train/attention.h"

#include <limits>
#include <optional>
#include <vector>

#include "base/check.h"
#include "train/band_attention.h"

namespace dms::train {
namespace {

using torch::autograd::AutogradContext;
using torch::autograd::variable_list;

constexpr int64_t kBiasChannels = 8;  // one would do; eight keep the head's rows aligned

at::Tensor rows(const at::Tensor& x, int64_t begin, int64_t end) { return x.slice(2, begin, end); }

/// What a head is extended by.
at::Tensor zero_channels(const at::Tensor& like) {
  std::vector<int64_t> shape = like.sizes().vec();
  shape[3] = kBiasChannels;
  return at::zeros(shape, like.options());
}

/// The far part's inputs: queries from `offset` on, the keys they see, and channels that add
/// bias[i] to the score. In bf16 the bias is the sum of three channels, exact to float32's
/// rounding.
AttentionInputs far_inputs(const AttentionInputs& in,
                           const at::Tensor& bias,
                           int64_t offset,
                           double scale) {
  const int64_t count = in.q.size(2) - offset;
  const at::Tensor value = (rows(bias, 0, count) / scale).unsqueeze(3);
  const at::Tensor k = rows(in.k, 0, count);
  const at::Tensor v = rows(in.v, 0, count);
  const at::Tensor q = rows(in.q, offset, in.q.size(2));
  at::Tensor carried = zero_channels(k);
  at::Tensor rest = value;
  for (int64_t channel = 0; channel < 3; ++channel) {
    const at::Tensor part = rest.to(k.scalar_type());
    carried.slice(3, channel, channel + 1).copy_(part);
    rest = rest - part.to(rest.scalar_type());
  }
  at::Tensor ones = zero_channels(q);
  ones.slice(3, 0, 3).fill_(1.0);
  return {at::cat({q, ones}, 3), at::cat({k, carried}, 3), at::cat({v, zero_channels(v)}, 3)};
}

/// What the saved sizes and options say about the two parts.
struct Plan {
  int64_t near_reach = kAllKeys;  // keys with t - i <= near_reach, without bias
  int64_t far_offset = 0;         // keys with t - i >= far_offset, with bias; 0: no far part
  int64_t far_reach = kAllKeys;   // of t - far_offset - i
};

Plan make_plan(int64_t tokens, bool has_bias, const AttentionOptions& options) {
  const int64_t last = options.sliding_window > 0 ? options.sliding_window - 1 : kAllKeys;
  if (!has_bias || options.window >= last || options.window >= tokens - 1) {
    return {.near_reach = last};
  }
  const int64_t offset = options.window + 1;
  return {.near_reach = options.window,
          .far_offset = offset,
          .far_reach = last == kAllKeys ? kAllKeys : last - offset};
}

AttentionOutputs forward(const AttentionInputs& in,
                         const at::Tensor& bias,
                         const Plan& plan,
                         double scale) {
  AttentionOutputs whole = band_forward(in, plan.near_reach, scale);
  if (plan.far_offset == 0) return whole;
  const AttentionOutputs far =
      band_forward(far_inputs(in, bias, plan.far_offset, scale), plan.far_reach, scale);
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
at::Tensor add_far(AttentionGradients& sum,
                   const at::Tensor& grad,
                   const AttentionInputs& in,
                   const AttentionOutputs& whole,
                   const at::Tensor& bias,
                   const Plan& plan,
                   double scale) {
  const int64_t offset = plan.far_offset;
  const int64_t dim = in.q.size(3);
  const at::Tensor far_grad = grad.slice(2, offset);
  const at::Tensor out = whole.out.slice(2, offset);
  const at::Tensor zeros = zero_channels(out);
  const AttentionGradients far =
      band_backward(at::cat({far_grad, zeros}, 3),
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
    const AttentionOutputs whole = train::forward({q, k, v}, bias, plan, scale);
    context->save_for_backward({q, k, v, bias, whole.out, whole.lse});
    context->saved_data["scale"] = scale;
    context->saved_data["window"] = window;
    context->saved_data["sliding_window"] = sliding_window;
    return whole.out;
  }

  static variable_list backward(AutogradContext* context, const variable_list& grads) {
    const variable_list saved = context->get_saved_variables();
    const AttentionInputs in{saved[0], saved[1], saved[2]};
    const at::Tensor& bias = saved[3];
    const AttentionOutputs whole{saved[4], saved[5]};
    const AttentionOptions options{context->saved_data["scale"].toDouble(),
                                   context->saved_data["window"].toInt(),
                                   context->saved_data["sliding_window"].toInt()};
    const Plan plan = make_plan(in.q.size(2), bias.defined(), options);
    const at::Tensor grad = grads[0].contiguous();
    AttentionGradients sum = band_backward(grad, in, whole, plan.near_reach, options.scale);
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
