#include "train/band_attention_cuda.h"

#include <algorithm>
#include <limits>
#include <optional>
#include <tuple>

#include "base/check.h"
#include "dms/error.h"

namespace dms::train {
namespace {

constexpr int64_t kHeadAlignment = 8;    // channels: both kernels want rows of 16 bytes in bf16
constexpr int64_t kMostFlashHead = 256;  // channels FlashAttention has kernels for
constexpr int64_t kLseAlignment = 32;    // queries the memory-efficient kernel rounds its lse up to
constexpr int64_t kCausalFromTopLeft = 1;  // its name for t - i >= 0

/// [batch, heads, tokens, head_dim] -> [batch, tokens, heads, head_dim], channels rounded up.
at::Tensor to_kernel(const at::Tensor& x) {
  const int64_t padding = round_up(x.size(3), kHeadAlignment) - x.size(3);
  const at::Tensor padded = padding == 0 ? x : at::constant_pad_nd(x, {0, padding}, 0.0);
  const at::Tensor turned = padded.transpose(1, 2);
  return turned.stride(3) == 1 ? turned : turned.contiguous();
}

at::Tensor from_kernel(const at::Tensor& x, int64_t head_dim) {
  return x.transpose(1, 2).slice(3, 0, head_dim);
}

/// FlashAttention: 16-bit types, groups of query heads as they are.
class Flash {
 public:
  Flash(int64_t tokens, int64_t reach, double scale)
      : tokens_(tokens), scale_(scale), is_causal_(reach >= tokens - 1) {
    if (is_causal_) return;
    left_ = reach;
    right_ = 0;
  }

  static bool takes(const at::Tensor& q) {
    const bool is_narrow = q.scalar_type() == at::kBFloat16 || q.scalar_type() == at::kHalf;
    return is_narrow && round_up(q.size(3), kHeadAlignment) <= kMostFlashHead;
  }

  AttentionOutputs forward(const AttentionInputs& in) const {
    const auto result = at::_flash_attention_forward(to_kernel(in.q),
                                                     to_kernel(in.k),
                                                     to_kernel(in.v),
                                                     std::nullopt,
                                                     std::nullopt,
                                                     tokens_,
                                                     tokens_,
                                                     0.0,
                                                     is_causal_,
                                                     false,
                                                     scale_,
                                                     left_,
                                                     right_);
    return {from_kernel(std::get<0>(result), in.q.size(3)), std::get<1>(result)};
  }

  AttentionGradients backward(const at::Tensor& grad,
                              const AttentionInputs& in,
                              const AttentionOutputs& whole) const {
    const int64_t head_dim = in.q.size(3);
    // For dropout alone, of which there is none.
    const at::Tensor random = at::empty({2}, in.q.options().dtype(at::kUInt64));
    const auto [q, k, v] = at::_flash_attention_backward(to_kernel(grad),
                                                         to_kernel(in.q),
                                                         to_kernel(in.k),
                                                         to_kernel(in.v),
                                                         to_kernel(whole.out),
                                                         whole.lse.contiguous(),
                                                         {},
                                                         {},
                                                         tokens_,
                                                         tokens_,
                                                         0.0,
                                                         is_causal_,
                                                         random,
                                                         random,
                                                         scale_,
                                                         left_,
                                                         right_);
    return {from_kernel(q, head_dim), from_kernel(k, head_dim), from_kernel(v, head_dim)};
  }

 private:
  int64_t tokens_;
  double scale_;
  bool is_causal_;
  std::optional<int64_t> left_;
  std::optional<int64_t> right_;
};

/// The memory-efficient kernel: float32 and wide heads; one KV head for every query head.
class Efficient {
 public:
  Efficient(int64_t tokens, int64_t group, int64_t reach, double scale)
      : tokens_(tokens), group_(group), scale_(scale) {
    if (reach < tokens - 1) window_ = reach + 1;
  }

  AttentionOutputs forward(const AttentionInputs& in) const {
    const auto result = at::_efficient_attention_forward(to_kernel(in.q),
                                                         repeated(in.k),
                                                         repeated(in.v),
                                                         std::nullopt,
                                                         std::nullopt,
                                                         std::nullopt,
                                                         std::nullopt,
                                                         std::nullopt,
                                                         0.0,
                                                         kCausalFromTopLeft,
                                                         true,
                                                         scale_,
                                                         std::nullopt,
                                                         window_);
    return {from_kernel(std::get<0>(result), in.q.size(3)),
            std::get<1>(result).slice(2, 0, tokens_)};
  }

  AttentionGradients backward(const at::Tensor& grad,
                              const AttentionInputs& in,
                              const AttentionOutputs& whole) const {
    const int64_t head_dim = in.q.size(3);
    const at::Tensor random = at::empty({}, in.q.options().dtype(at::kLong));
    const at::Tensor lse = at::constant_pad_nd(whole.lse,
                                               {0, round_up(tokens_, kLseAlignment) - tokens_},
                                               std::numeric_limits<double>::infinity());
    const auto result = at::_efficient_attention_backward(to_kernel(grad),
                                                          to_kernel(in.q),
                                                          repeated(in.k),
                                                          repeated(in.v),
                                                          std::nullopt,
                                                          to_kernel(whole.out),
                                                          std::nullopt,
                                                          std::nullopt,
                                                          tokens_,
                                                          tokens_,
                                                          lse.contiguous(),
                                                          0.0,
                                                          random,
                                                          random,
                                                          kCausalFromTopLeft,
                                                          false,
                                                          scale_,
                                                          std::nullopt,
                                                          window_);
    return {from_kernel(std::get<0>(result), head_dim),
            summed(from_kernel(std::get<1>(result), head_dim)),
            summed(from_kernel(std::get<2>(result), head_dim))};
  }

 private:
  at::Tensor repeated(const at::Tensor& x) const {
    return to_kernel(group_ == 1 ? x : x.repeat_interleave(group_, 1));
  }

  at::Tensor summed(const at::Tensor& x) const {
    return group_ == 1 ? x : x.unflatten(1, {-1, group_}).sum(2);
  }

  int64_t tokens_;
  int64_t group_;
  double scale_;
  std::optional<int64_t> window_;  // keys a query sees, itself included
};

void refuse_doubles(const at::Tensor& q) {
  if (q.scalar_type() != at::kDouble) return;
  throw InputError({.where = "training attention",
                    .what = "GPUs have no fused kernel for this type",
                    .got = "float64",
                    .expected = "float32 or bfloat16"});
}

}  // namespace

AttentionOutputs cuda_band_forward(const AttentionInputs& in, int64_t reach, double scale) {
  refuse_doubles(in.q);
  const int64_t tokens = in.q.size(2);
  if (Flash::takes(in.q)) return Flash(tokens, reach, scale).forward(in);
  return Efficient(tokens, in.q.size(1) / in.k.size(1), reach, scale).forward(in);
}

AttentionGradients cuda_band_backward(const at::Tensor& grad,
                                      const AttentionInputs& in,
                                      const AttentionOutputs& whole,
                                      int64_t reach,
                                      double scale) {
  refuse_doubles(in.q);
  const int64_t tokens = in.q.size(2);
  if (Flash::takes(in.q)) return Flash(tokens, reach, scale).backward(grad, in, whole);
  return Efficient(tokens, in.q.size(1) / in.k.size(1), reach, scale).backward(grad, in, whole);
}

}  // namespace dms::train
