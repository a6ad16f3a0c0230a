#include "train/optimizer.h"

#include <algorithm>
#include <cmath>

#include "dms/error.h"
#include "train/agreement.h"
#include "train/ops.h"
#include "train/ownership.h"

namespace dms::train {
namespace {

constexpr double kMuonMomentum = 0.95;
constexpr double kClipEpsilon = 1e-6;

bool is_hidden_matrix(const WeightName& weight) {
  return weight.layer >= 0 && weight.shape.size() == 2 && !is_adapter(weight.role);
}

}  // namespace

at::Tensor orthogonalise(const at::Tensor& matrix) {
  const bool is_tall = matrix.size(0) > matrix.size(1);
  at::Tensor x = is_tall ? matrix.t() : matrix;
  // Five iterations only bring singular values near one, so bf16 is enough, and four times faster.
  x = (x / (x.norm() + 1e-7)).to(at::kBFloat16);
  for (int i = 0; i < 5; ++i) {
    const at::Tensor a = at::mm(x, x.t());
    x = 3.4445 * x + at::mm(-4.7750 * a + 2.0315 * at::mm(a, a), x);
  }
  return (is_tall ? x.t() : x).to(matrix.scalar_type());
}

Optimizer::Optimizer(Parameters& parameters, const TrainerSection& settings, Communicator& ranks)
    : settings_(settings), ranks_(ranks) {
  std::vector<Parameter*> trained;
  for (Parameter& parameter : parameters.all()) {
    if (parameter.trained) trained.push_back(&parameter);
  }
  std::vector<int64_t> values;
  for (const Parameter* parameter : trained) values.push_back(parameter->value.numel());
  const std::vector<int64_t> owners = share_out(values, ranks.size());
  for (size_t i = 0; i < trained.size(); ++i) {
    Slot slot{.parameter = trained[i],
              .owner = owners[i],
              .uses_muon =
                  settings.optimizer == OptimizerKind::muon && is_hidden_matrix(trained[i]->name),
              .sum = {},
              .master = {},
              .first = {},
              .second = {}};
    if (owns(slot)) {
      const at::Tensor leaf = trained[i]->value.detach();
      const at::Device home = settings.offload_optimizer ? at::kCPU : leaf.device();
      slot.master = leaf.to(home, wide_type(leaf));
      slot.sum = at::zeros_like(slot.master);
      slot.first = at::zeros_like(slot.master);
      if (!slot.uses_muon) slot.second = at::zeros_like(slot.master);
    }
    slots_.push_back(std::move(slot));
  }
}

/// What the owner adds to its sum.
at::Tensor Optimizer::over_ranks(const Slot& slot, const at::Tensor& gradient) const {
  if (ranks_.size() == 1) return gradient;
  const at::Tensor leaf = slot.parameter->value.detach();
  const auto wide = leaf.options().dtype(wide_type(leaf));
  at::Tensor sum =
      gradient.defined() ? gradient.to(wide).contiguous() : at::zeros(leaf.sizes(), wide);
  ranks_.reduce_sum(sum, slot.owner);
  return sum;
}

void Optimizer::accumulate() {
  const at::NoGradGuard no_grad;
  for (Slot& slot : slots_) {
    at::Tensor& gradient = slot.parameter->value.mutable_grad();
    const at::Tensor sum = over_ranks(slot, gradient);
    if (owns(slot) && sum.defined()) slot.sum.add_(sum.to(slot.sum.device()));
    gradient.reset();
  }
}

void Optimizer::average(int64_t micro_batches) {
  for (Slot& slot : slots_) {
    if (owns(slot)) slot.sum.div_(static_cast<double>(micro_batches * ranks_.size()));
  }
}

double Optimizer::gradient_norm() {
  std::vector<at::Tensor> norms;
  for (const Slot& slot : slots_) {
    if (owns(slot)) norms.push_back(slot.sum.norm());
  }
  at::Tensor squares = at::zeros({1}, at::kDouble);
  if (!norms.empty()) squares[0] = at::stack(norms).to(at::kDouble).square().sum();
  ranks_.all_reduce_sum(squares);
  return std::sqrt(squares.item<double>());
}

double Optimizer::step(double lr_factor, int64_t micro_batches) {
  const at::NoGradGuard no_grad;
  average(micro_batches);
  const double norm = gradient_norm();
  if (!std::isfinite(norm)) return norm;
  const double limit = settings_.max_grad_norm;
  if (limit > 0.0 && norm > limit) {
    for (Slot& slot : slots_) {
      if (owns(slot)) slot.sum.mul_(limit / (norm + kClipEpsilon));
    }
  }
  ++steps_;
  update_adamw(lr_factor);
  for (Slot& slot : slots_) {
    if (owns(slot) && slot.uses_muon) update_muon(slot, lr_factor);
  }
  publish();
  for (Slot& slot : slots_) {
    if (owns(slot)) slot.sum.zero_();
  }
  return norm;
}

/// Decay for matrices only, as usual: a decayed norm or bias is a changed model.
void Optimizer::update_adamw(double lr_factor) {
  for (const bool decays : {false, true}) {
    std::vector<at::Tensor> masters, sums, firsts, seconds, counts;
    for (const Slot& slot : slots_) {
      if (!owns(slot) || slot.uses_muon || (slot.master.dim() == 2) != decays) continue;
      masters.push_back(slot.master);
      sums.push_back(slot.sum);
      firsts.push_back(slot.first);
      seconds.push_back(slot.second);
      counts.push_back(
          at::full({}, static_cast<double>(steps_), slot.master.options().dtype(at::kFloat)));
    }
    if (masters.empty()) continue;
    at::_fused_adamw_(masters,
                      sums,
                      firsts,
                      seconds,
                      {},
                      counts,
                      settings_.learning_rate * lr_factor,
                      settings_.adam_beta1,
                      settings_.adam_beta2,
                      decays ? settings_.weight_decay : 0.0,
                      settings_.adam_epsilon,
                      /*amsgrad=*/false,
                      /*maximize=*/false);
  }
}

void Optimizer::update_muon(Slot& slot, double lr_factor) const {
  const double lr = settings_.muon_learning_rate * lr_factor;
  slot.first.mul_(kMuonMomentum).add_(slot.sum);
  const at::Tensor nesterov = slot.sum + kMuonMomentum * slot.first;
  const double shape =
      static_cast<double>(slot.sum.size(0)) / static_cast<double>(slot.sum.size(1));
  slot.master.mul_(1.0 - lr * settings_.weight_decay);
  slot.master.sub_(orthogonalise(nesterov), lr * std::sqrt(std::max(1.0, shape)));
}

/// Masters to leaves, and from owners to everybody.
void Optimizer::publish() {
  for (Slot& slot : slots_) {
    at::Tensor leaf = slot.parameter->value.detach();
    if (owns(slot) && !leaf.is_alias_of(slot.master)) leaf.copy_(slot.master);
    ranks_.broadcast(leaf, slot.owner);
  }
}

std::vector<NamedTensor> Optimizer::masters() const {
  std::vector<NamedTensor> result;
  for (const Slot& slot : slots_) {
    if (owns(slot)) result.push_back({slot.parameter->name.name, slot.master});
  }
  return result;
}

std::vector<NamedTensor> Optimizer::moments() const {
  std::vector<NamedTensor> result;
  for (const Slot& slot : slots_) {
    if (!owns(slot)) continue;
    const std::string& name = slot.parameter->name.name;
    result.push_back({name + ".first", slot.first});
    if (slot.second.defined()) result.push_back({name + ".second", slot.second});
  }
  return result;
}

std::vector<std::string> Optimizer::state_names() const {
  std::vector<std::string> names;
  for (const Slot& slot : slots_) {
    const std::string& name = slot.parameter->name.name;
    names.insert(names.end(), {name, name + ".first"});
    if (!slot.uses_muon) names.push_back(name + ".second");
  }
  return names;
}

void Optimizer::load(const std::function<at::Tensor(const std::string&)>& find, int64_t steps) {
  const at::NoGradGuard no_grad;
  steps_ = steps;
  const auto restore = [&](at::Tensor& into, const std::string& name) {
    const at::Tensor value = find(name);
    if (!value.defined() || value.sizes() != into.sizes()) {
      throw InputError(
          {.where = name,
           .what = value.defined() ? "wrong shape in the checkpoint" : "missing in the checkpoint",
           .hint = "was it made with other dms.train or optim settings?"});
    }
    into.copy_(value);
  };
  all_or_none(ranks_, [&] {
    for (Slot& slot : slots_) {
      if (!owns(slot)) continue;
      const std::string& name = slot.parameter->name.name;
      restore(slot.master, name);
      restore(slot.first, name + ".first");
      if (slot.second.defined()) restore(slot.second, name + ".second");
    }
  });
  publish();
}

}  // namespace dms::train
