#pragma once
// Weights and made-up gradients for tests of the optimiser.

#include <vector>

#include "train/tiny_student.h"

namespace dms::train::fixture {

using Gradients = std::vector<at::Tensor>;  // in the order of Parameters::all()

inline Parameters trained_parameters(const TinyShape& shape, at::ScalarType type) {
  Parameters parameters(tiny_spec(shape), NoiseWeights(1), type);
  parameters.train({"all"});
  return parameters;
}

/// Normal, of standard deviation `size`; the same for the same seed.
inline Gradients random_gradients(const Parameters& parameters, int64_t seed, double size = 1.0) {
  at::manual_seed(static_cast<uint64_t>(seed));
  Gradients gradients;
  for (const Parameter& parameter : parameters.all()) {
    const at::Tensor g = at::randn(parameter.name.shape, at::kDouble) * size;
    gradients.push_back(g.to(parameter.value.scalar_type()));
  }
  return gradients;
}

/// As a backward would.
inline void give(Parameters& parameters, const Gradients& gradients) {
  for (size_t i = 0; i < gradients.size(); ++i) {
    Parameter& parameter = parameters.all()[i];
    if (parameter.trained) parameter.value.mutable_grad() = gradients[i].clone();
  }
}

}  // namespace dms::train::fixture
