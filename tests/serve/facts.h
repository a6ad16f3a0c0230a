#pragma once
// A model that requests of the tests are for, and what their refusals say.

#include <functional>
#include <string>

#include <gtest/gtest.h>

#include "serve/generation_request.h"

namespace dms::serve::testing_support {

inline ModelFacts facts() {
  ModelFacts model;
  model.names = {"demo", "alias"};
  model.vocab = 100;
  model.context = 64;
  return model;
}

/// What `action` is refused with.
inline ApiError refusal(const std::function<void()>& action) {
  try {
    action();
  } catch (const ApiError& error) {
    return error;
  }
  ADD_FAILURE() << "nothing was refused";
  return {0, ""};
}

}  // namespace dms::serve::testing_support
