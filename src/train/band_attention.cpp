#include "train/band_attention.h"

#include <algorithm>
#include <limits>
#include <optional>
#include <vector>

#include "base/check.h"
#include "train/band_attention_cuda.h"

namespace dms::train {
namespace {

constexpr int64_t kLeastBlock = 64;  // queries of a band's block: enough to fill the kernel
constexpr int64_t kMostBlock = 512;  // … and no more than that: masks hold block x (reach + block)

AttentionOutputs flash(const AttentionInputs& in,
                       bool causal,
                       const at::Tensor& mask,
                       double scale) {
  const auto mask_argument = mask.defined() ? std::optional(mask) : std::nullopt;
  auto [out, lse] = at::_scaled_dot_product_flash_attention_for_cpu(
      in.q, in.k, in.v, 0.0, causal, mask_argument, scale);
  return {out, lse};
}

AttentionGradients flash_backward(const at::Tensor& grad,
                                  const AttentionInputs& in,
                                  const AttentionOutputs& whole,
                                  bool causal,
                                  const at::Tensor& mask,
                                  double scale) {
  const auto mask_argument = mask.defined() ? std::optional(mask) : std::nullopt;
  auto [q, k, v] = at::_scaled_dot_product_flash_attention_for_cpu_backward(
      grad, in.q, in.k, in.v, whole.out, whole.lse, 0.0, causal, mask_argument, scale);
  return {q, k, v};
}

at::Tensor rows(const at::Tensor& x, int64_t begin, int64_t end) { return x.slice(2, begin, end); }

/// Additive [1, 1, size, reach + size]: query r's own key is column reach + r.
at::Tensor band_mask(const at::Tensor& like, int64_t size, int64_t reach) {
  const auto options = like.options().dtype(at::kInt);
  const at::Tensor own = at::arange(size, options).unsqueeze(1) + reach;
  const at::Tensor distance = own - at::arange(reach + size, options);
  const at::Tensor hidden = (distance < 0).logical_or(distance > reach);
  return at::zeros({1, 1, size, reach + size}, like.options())
      .masked_fill_(hidden, -std::numeric_limits<double>::infinity());
}

/// A band of keys on the CPU, whose kernel takes causal attention or an additive mask: computed
/// block by block under one small mask that all blocks share. Block b holds queries [b size, (b +
/// 1) size) and keys from b size - reach on. The first block has no keys before it and is a call of
/// its own.
class Band {
 public:
  Band(int64_t tokens, int64_t reach)
      : reach_(reach),
        size_(std::min(std::max(reach, kLeastBlock), tokens)),
        blocks_(ceil_div(tokens, size_)),
        padding_(blocks_ * size_ - tokens) {}

  AttentionOutputs forward(const AttentionInputs& in, double scale) const {
    const AttentionOutputs first =
        flash(first_block(in), false, band_mask(in.q, size_, reach_).slice(3, reach_), scale);
    if (blocks_ == 1) return first;
    const AttentionInputs rest = later_blocks(in);
    const AttentionOutputs blocks = flash(rest, false, band_mask(in.q, size_, reach_), scale);
    const int64_t batch = in.q.size(0);
    const int64_t tokens = in.q.size(2);
    return {at::cat({first.out, join(blocks.out, batch)}, 2).slice(2, 0, tokens),
            at::cat({first.lse, join(blocks.lse, batch)}, 2).slice(2, 0, tokens)};
  }

  AttentionGradients backward(const at::Tensor& grad,
                              const AttentionInputs& in,
                              const AttentionOutputs& whole,
                              double scale) const {
    const AttentionOutputs first_whole{rows(whole.out, 0, size_), rows(whole.lse, 0, size_)};
    AttentionGradients first = flash_backward(rows(grad, 0, size_),
                                              first_block(in),
                                              first_whole,
                                              false,
                                              band_mask(in.q, size_, reach_).slice(3, reach_),
                                              scale);
    if (blocks_ == 1) return first;
    const AttentionOutputs later_whole{split(whole.out), split(whole.lse)};
    const AttentionGradients later = flash_backward(
        split(grad), later_blocks(in), later_whole, false, band_mask(in.q, size_, reach_), scale);
    const int64_t batch = in.q.size(0);
    const int64_t tokens = in.q.size(2);
    return {at::cat({first.q, join(later.q, batch)}, 2).slice(2, 0, tokens),
            fold(first.k, later.k, in.k),
            fold(first.v, later.v, in.v)};
  }

 private:
  AttentionInputs first_block(const AttentionInputs& in) const {
    return {rows(in.q, 0, size_), rows(in.k, 0, size_), rows(in.v, 0, size_)};
  }

  AttentionInputs later_blocks(const AttentionInputs& in) const {
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

  int64_t reach_;
  int64_t size_;
  int64_t blocks_;
  int64_t padding_;
};

/// A band that is wider than a block should be: copies of overlapping keys and a mask over them
/// would grow with the square of the reach, so blocks are computed one after the other on the keys
/// in place.
class WideBand {
 public:
  WideBand(const AttentionInputs& in, int64_t reach)
      : in_(in), reach_(reach), tokens_(in.q.size(2)), mask_(band_mask(in.q, kMostBlock, reach)) {}

  AttentionOutputs forward(double scale) const {
    AttentionOutputs all{at::empty_like(in_.q), {}};
    std::vector<at::Tensor> lse;
    for (int64_t begin = 0; begin < tokens_; begin += kMostBlock) {
      const Block block = block_at(begin);
      const AttentionOutputs part = flash(block.in, false, block.mask, scale);
      rows(all.out, begin, block.end).copy_(part.out);
      lse.push_back(part.lse);
    }
    all.lse = at::cat(lse, 2);
    return all;
  }

  AttentionGradients backward(const at::Tensor& grad,
                              const AttentionOutputs& whole,
                              double scale) const {
    AttentionGradients sum{at::empty_like(in_.q), at::zeros_like(in_.k), at::zeros_like(in_.v)};
    for (int64_t begin = 0; begin < tokens_; begin += kMostBlock) {
      const Block block = block_at(begin);
      const AttentionOutputs own{rows(whole.out, begin, block.end),
                                 rows(whole.lse, begin, block.end)};
      const AttentionGradients part =
          flash_backward(rows(grad, begin, block.end), block.in, own, false, block.mask, scale);
      rows(sum.q, begin, block.end).copy_(part.q);
      rows(sum.k, block.first_key, block.end).add_(part.k);
      rows(sum.v, block.first_key, block.end).add_(part.v);
    }
    return sum;
  }

 private:
  struct Block {
    AttentionInputs in;
    at::Tensor mask;
    int64_t first_key;
    int64_t end;
  };

  Block block_at(int64_t begin) const {
    const int64_t end = std::min(begin + kMostBlock, tokens_);
    const int64_t first_key = std::max<int64_t>(begin - reach_, 0);
    const int64_t column = first_key - (begin - reach_);
    return {
        .in = {rows(in_.q, begin, end), rows(in_.k, first_key, end), rows(in_.v, first_key, end)},
        .mask = mask_.slice(2, 0, end - begin).slice(3, column, column + end - first_key),
        .first_key = first_key,
        .end = end};
  }

  const AttentionInputs& in_;
  int64_t reach_;
  int64_t tokens_;
  at::Tensor mask_;  // [1, 1, kMostBlock, reach + kMostBlock]
};

bool is_causal(const AttentionInputs& in, int64_t reach) { return reach >= in.q.size(2) - 1; }

}  // namespace

AttentionOutputs band_forward(const AttentionInputs& in, int64_t reach, double scale) {
  if (!in.q.is_cpu()) return cuda_band_forward(in, reach, scale);
  if (is_causal(in, reach)) return flash(in, true, {}, scale);
  if (reach > kMostBlock) return WideBand(in, reach).forward(scale);
  return Band(in.q.size(2), reach).forward(in, scale);
}

AttentionGradients band_backward(const at::Tensor& grad,
                                 const AttentionInputs& in,
                                 const AttentionOutputs& whole,
                                 int64_t reach,
                                 double scale) {
  if (!in.q.is_cpu()) return cuda_band_backward(grad, in, whole, reach, scale);
  if (is_causal(in, reach)) return flash_backward(grad, in, whole, true, {}, scale);
  if (reach > kMostBlock) return WideBand(in, reach).backward(grad, whole, scale);
  return Band(in.q.size(2), reach).backward(grad, in, whole, scale);
}

}  // namespace dms::train
