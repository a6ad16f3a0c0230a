#pragma once
// A student's weights by their checkpoint names: frozen ones in the compute type, trained ones as
// leaves of autograd. What the optimiser keeps in float32 lives with the optimiser.

#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "model/spec/weights.h"
#include "train/torch.h"

namespace dms::train {

struct Parameter {
  WeightName name;
  at::Tensor value;  // shape of name.shape; trained: requires gradients
  bool trained = false;
};

class Parameters {
 public:
  /// Reads every weight of `spec` from `source` to `device` as `type`; those of the eviction
  /// adapter always in float32 (float64 stays), since decisions are made in float32. `names`: which
  /// weights there are in `source`; adapter weights that it lacks start as the recipe has them:
  /// projection and bias at zero, norm at one.
  Parameters(const ModelSpec& spec,
             const WeightSource& source,
             at::ScalarType type,
             at::Device device = at::kCPU);

  /// Marks as trained what `patterns` name: "adapter", "all", or weight names in which * stands for
  /// anything. Throws InputError naming a pattern that no weight matches.
  void train(const std::vector<std::string>& patterns);

  /// The weight of this role, in the layer (-1: outside of layers); undefined where there is none.
  const at::Tensor& get(WeightRole role, int64_t layer = -1) const;

  std::vector<Parameter>& all() { return parameters_; }
  const std::vector<Parameter>& all() const { return parameters_; }
  /// Number of values trained.
  int64_t trained_count() const;

 private:
  std::vector<Parameter> parameters_;
  std::map<std::pair<WeightRole, int64_t>, size_t> index_;
};

}  // namespace dms::train
