#include "train/ops.h"

namespace dms::train {
namespace {

using torch::autograd::AutogradContext;
using torch::autograd::Function;
using torch::autograd::variable_list;

class RmsNorm : public Function<RmsNorm> {
 public:
  static at::Tensor forward(AutogradContext* context,
                            const at::Tensor& x,
                            const at::Tensor& weight,
                            double eps) {
    const at::Tensor wide = x.to(wide_type(x));
    const at::Tensor inverse = (wide.square().mean(-1, true) + eps).rsqrt_();
    context->save_for_backward({x, weight, inverse});
    return (wide * inverse * weight).to(x.scalar_type());
  }

  static variable_list backward(AutogradContext* context, const variable_list& grads) {
    const variable_list saved = context->get_saved_variables();
    const at::Tensor& weight = saved[1];
    const at::Tensor& inverse = saved[2];
    const at::Tensor grad = grads[0].to(wide_type(saved[0]));
    const at::Tensor unit = saved[0].to(grad.scalar_type()) * inverse;
    const at::Tensor scaled = grad * weight;
    const at::Tensor along = (scaled * unit).mean(-1, true);
    const at::Tensor x_grad = (scaled - unit * along).mul_(inverse).to(saved[0].scalar_type());
    at::Tensor weight_grad;
    if (context->needs_input_grad(1)) {
      weight_grad = (grad * unit).flatten(0, -2).sum(0).to(weight.scalar_type());
    }
    return {x_grad, weight_grad, {}};
  }
};

class Swiglu : public Function<Swiglu> {
 public:
  static at::Tensor forward(AutogradContext* context,
                            const at::Tensor& gate,
                            const at::Tensor& up) {
    context->save_for_backward({gate, up});
    return at::silu(gate).mul_(up);
  }

  static variable_list backward(AutogradContext* context, const variable_list& grads) {
    const variable_list saved = context->get_saved_variables();
    const at::Tensor& gate = saved[0];
    const at::Tensor& up = saved[1];
    return {at::silu_backward(grads[0] * up, gate), grads[0] * at::silu(gate)};
  }
};

at::Tensor turn(const at::Tensor& x, const at::Tensor& cos, const at::Tensor& sin) {
  const int64_t half = cos.size(1);
  const at::Tensor first = x.slice(3, 0, half);
  const at::Tensor second = x.slice(3, half, 2 * half);
  at::Tensor out = at::empty(x.sizes(), x.options());
  out.slice(3, 0, half).copy_(first * cos - second * sin);
  out.slice(3, half, 2 * half).copy_(second * cos + first * sin);
  if (2 * half < x.size(3)) out.slice(3, 2 * half).copy_(x.slice(3, 2 * half));
  return out;
}

/// A rotation: its backward turns the other way.
class Rotate : public Function<Rotate> {
 public:
  static at::Tensor forward(AutogradContext* context,
                            const at::Tensor& x,
                            const at::Tensor& cos,
                            const at::Tensor& sin) {
    context->save_for_backward({cos, sin});
    return turn(x, cos, sin);
  }

  static variable_list backward(AutogradContext* context, const variable_list& grads) {
    const variable_list saved = context->get_saved_variables();
    return {turn(grads[0], saved[0], -saved[1]), {}, {}};
  }
};

}  // namespace

at::ScalarType wide_type(const at::Tensor& x) {
  return x.scalar_type() == at::kDouble ? at::kDouble : at::kFloat;
}

at::Tensor rms_norm(const at::Tensor& x, const at::Tensor& weight, double eps) {
  return RmsNorm::apply(x, weight, eps);
}

at::Tensor swiglu(const at::Tensor& gate, const at::Tensor& up) { return Swiglu::apply(gate, up); }

at::Tensor rotate(const at::Tensor& x, const at::Tensor& cos, const at::Tensor& sin) {
  return Rotate::apply(x, cos, sin);
}

}  // namespace dms::train
