#include "train/layer_checkpoint.h"

#include <memory>

namespace dms::train {
namespace {

using torch::autograd::AutogradContext;
using torch::autograd::variable_list;

struct HeldFunction : torch::CustomClassHolder {
  explicit HeldFunction(LayerFunction function) : call(std::move(function)) {}
  LayerFunction call;
};

class Recompute : public torch::autograd::Function<Recompute> {
 public:
  /// A TensorList: autograd looks into no other list for what the result depends on.
  static variable_list forward(AutogradContext* context,
                               const c10::intrusive_ptr<HeldFunction>& function,
                               at::TensorList inputs) {
    context->save_for_backward(inputs.vec());
    context->saved_data["function"] =
        c10::IValue::make_capsule(c10::intrusive_ptr<torch::CustomClassHolder>(function));
    const at::NoGradGuard no_grad;
    return function->call(inputs[0]);
  }

  static variable_list backward(AutogradContext* context, const variable_list& grads) {
    const variable_list inputs = context->get_saved_variables();
    const auto held = context->saved_data["function"].toCapsule();
    const auto* function = static_cast<const HeldFunction*>(held.get());
    const at::AutoGradMode with_grad(true);
    const at::Tensor x = inputs[0].detach().set_requires_grad(true);
    const variable_list outputs = function->call(x);
    variable_list wanted(inputs);
    wanted[0] = x;
    variable_list roots;
    variable_list root_grads;
    for (size_t i = 0; i < outputs.size(); ++i) {
      if (!outputs[i].requires_grad() || !grads[i].defined()) continue;
      roots.push_back(outputs[i]);
      root_grads.push_back(grads[i]);
    }
    variable_list result = torch::autograd::grad(roots,
                                                 wanted,
                                                 root_grads,
                                                 /*retain_graph=*/false,
                                                 /*create_graph=*/false,
                                                 /*allow_unused=*/true);
    result.insert(result.begin(), at::Tensor());  // for `function`
    return result;
  }
};

}  // namespace

std::vector<at::Tensor> run_checkpointed(LayerFunction function,
                                         const std::vector<at::Tensor>& inputs) {
  return Recompute::apply(c10::make_intrusive<HeldFunction>(std::move(function)),
                          at::TensorList(inputs));
}

}  // namespace dms::train
