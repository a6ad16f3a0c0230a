#pragma once
// LibTorch's attention kernels for GPUs, by their documented contracts, for tensors that are not on
// a GPU: computed from explicit scores on the CPU, shapes only on the meta device. They show that
// the trainer calls the kernels rightly; that the kernels do what they say only a GPU shows.

#include <ATen/core/dispatch/Dispatcher.h>
#include <torch/library.h>

#include "train/torch.h"

namespace dms::train::fixture {

/// Arguments of one call by their names in the operator's schema: their number differs between
/// releases.
class KernelCall {
 public:
  KernelCall(const c10::OperatorHandle& op, torch::jit::Stack& stack) : schema_(op.schema()) {
    arguments_ = torch::jit::pop(stack, schema_.arguments().size());
  }

  const c10::IValue& operator[](const std::string& name) const {
    for (size_t i = 0; i < arguments_.size(); ++i) {
      if (schema_.arguments()[i].name() == name) return arguments_[i];
    }
    throw std::logic_error("no argument " + name);
  }

 private:
  const c10::FunctionSchema& schema_;
  std::vector<c10::IValue> arguments_;
};

/// What of t - i is seen, and how heads are grouped; tensors are [batch, tokens, heads, head_dim].
struct KernelMask {
  int64_t reach = -1;  // t - i <= reach; -1: all
  double scale = 1.0;
};

inline KernelMask flash_mask(const KernelCall& call) {
  const bool is_causal = call["is_causal"].toBool();
  const bool is_local = !call["window_size_left"].isNone();
  TORCH_CHECK(is_causal != is_local, "causal, or a window");
  if (is_local) TORCH_CHECK(call["window_size_right"].toInt() == 0, "keys after the query");
  return {is_local ? call["window_size_left"].toInt() : -1, call["scale"].toDouble()};
}

inline KernelMask efficient_mask(const KernelCall& call) {
  TORCH_CHECK(call["custom_mask_type"].toInt() == 1, "causal from the top left");
  const c10::IValue& window = call["window_size"];
  return {window.isNone() ? -1 : window.toInt() - 1, call["scale"].toDouble()};
}

/// [batch, heads, queries, keys] and values with a head for every query head.
struct Explicit {
  at::Tensor q, k, v, scores;

  Explicit(const KernelCall& call, const KernelMask& mask) {
    q = call["query"].toTensor().transpose(1, 2).to(at::kDouble);
    const int64_t group = q.size(1) / call["key"].toTensor().size(2);
    const auto keys = [&](const char* name) {
      return call[name].toTensor().transpose(1, 2).to(at::kDouble).repeat_interleave(group, 1);
    };
    k = keys("key");
    v = keys("value");
    TORCH_CHECK(q.size(3) % 8 == 0, "head size must be a multiple of 8");
    const at::Tensor t = at::arange(q.size(2));
    const at::Tensor distance = t.unsqueeze(1) - t;
    at::Tensor hidden = distance < 0;
    if (mask.reach >= 0) hidden = hidden.logical_or(distance > mask.reach);
    scores = (at::matmul(q, k.transpose(2, 3)) * mask.scale)
                 .masked_fill(hidden, -std::numeric_limits<double>::infinity());
  }
};

struct ExplicitOutput {
  at::Tensor out;
  at::Tensor lse;
};

inline ExplicitOutput explicit_forward(const KernelCall& call, const KernelMask& mask) {
  const Explicit all(call, mask);
  return {at::matmul(at::softmax(all.scores, 3), all.v)
              .transpose(1, 2)
              .to(call["query"].toTensor().scalar_type()),
          at::logsumexp(all.scores, {3}).to(at::kFloat)};
}

/// `grad`: the name of that argument; `lse` [batch, heads, tokens].
inline std::vector<at::Tensor> explicit_backward(const KernelCall& call,
                                                 const KernelMask& mask,
                                                 const char* grad_name,
                                                 const at::Tensor& lse) {
  const Explicit all(call, mask);
  const auto turned = [&](const char* name) {
    return call[name].toTensor().transpose(1, 2).to(at::kDouble);
  };
  const at::Tensor grad = turned(grad_name);
  const at::Tensor p = (all.scores - lse.to(at::kDouble).unsqueeze(3)).exp();
  const at::Tensor delta = (grad * turned("out")).sum(3, true);
  const at::Tensor ds = p * (at::matmul(grad, all.v.transpose(2, 3)) - delta) * mask.scale;
  const int64_t kv_heads = call["key"].toTensor().size(2);
  const auto finished = [&](const at::Tensor& x, int64_t heads) {
    return x.unflatten(1, {heads, -1})
        .sum(2)
        .transpose(1, 2)
        .to(call["query"].toTensor().scalar_type());
  };
  return {finished(at::matmul(ds, all.k), all.q.size(1)),
          finished(at::matmul(ds.transpose(2, 3), all.q), kv_heads),
          finished(at::matmul(p.transpose(2, 3), grad), kv_heads)};
}

inline at::Tensor none_like(const at::Tensor& x) {
  return at::empty({2}, x.options().dtype(at::kLong));
}

inline void flash_forward(const c10::OperatorHandle& op, torch::jit::Stack* stack) {
  const KernelCall call(op, *stack);
  const at::Tensor q = call["query"].toTensor();
  TORCH_CHECK(q.scalar_type() == at::kBFloat16, "FlashAttention takes 16-bit types");
  ExplicitOutput result{
      at::empty_like(q),
      at::empty({q.size(0), q.size(2), q.size(1)}, q.options().dtype(at::kFloat))};
  if (q.is_cpu()) result = explicit_forward(call, flash_mask(call));
  torch::jit::push(*stack, result.out, result.lse, none_like(q), none_like(q), none_like(q));
}

inline void flash_backward(const c10::OperatorHandle& op, torch::jit::Stack* stack) {
  const KernelCall call(op, *stack);
  const at::Tensor q = call["query"].toTensor();
  TORCH_CHECK(call["logsumexp"].toTensor().is_contiguous(), "lse is read as contiguous");
  std::vector<at::Tensor> grads{at::empty_like(q),
                                at::empty_like(call["key"].toTensor()),
                                at::empty_like(call["value"].toTensor())};
  if (q.is_cpu()) {
    grads = explicit_backward(call, flash_mask(call), "grad_out", call["logsumexp"].toTensor());
  }
  torch::jit::push(*stack, grads[0], grads[1], grads[2]);
}

inline void efficient_forward(const c10::OperatorHandle& op, torch::jit::Stack* stack) {
  const KernelCall call(op, *stack);
  const at::Tensor q = call["query"].toTensor();
  TORCH_CHECK(call["key"].toTensor().size(2) == q.size(2), "as many KV heads as query heads");
  const int64_t tokens = q.size(1);
  const int64_t padded = (tokens + 31) / 32 * 32;
  at::Tensor out = at::empty_like(q);
  at::Tensor lse = at::full({q.size(0), q.size(2), padded},
                            std::numeric_limits<double>::infinity(),
                            q.options().dtype(at::kFloat));
  if (q.is_cpu()) {
    const ExplicitOutput result = explicit_forward(call, efficient_mask(call));
    out = result.out;
    lse.slice(2, 0, tokens).copy_(result.lse);
  }
  torch::jit::push(*stack, out, lse, none_like(q), none_like(q), tokens, tokens);
}

inline void efficient_backward(const c10::OperatorHandle& op, torch::jit::Stack* stack) {
  const KernelCall call(op, *stack);
  const at::Tensor q = call["query"].toTensor();
  const at::Tensor lse = call["logsumexp"].toTensor();
  TORCH_CHECK(lse.size(2) % 32 == 0 && lse.is_contiguous(), "lse is padded to 32 queries");
  std::vector<at::Tensor> grads{at::empty_like(q),
                                at::empty_like(call["key"].toTensor()),
                                at::empty_like(call["value"].toTensor())};
  if (q.is_cpu()) {
    grads = explicit_backward(call, efficient_mask(call), "grad_out_", lse.slice(2, 0, q.size(1)));
  }
  torch::jit::push(*stack, grads[0], grads[1], grads[2], at::Tensor());
}

}  // namespace dms::train::fixture
