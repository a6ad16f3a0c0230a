#pragma once
// What a refused input must say.

#include <initializer_list>
#include <string>
#include <utility>

#include <gtest/gtest.h>

#include "dms/error.h"

namespace dms::testing_support {

/// Runs `action`, which must throw an error of this kind, and returns its text.
template <class Kind, class Action>
std::string error_of(Action&& action) {
  try {
    action();
  } catch (const Kind& error) {
    return error.what();
  } catch (const std::exception& error) {
    ADD_FAILURE() << "expected another error, got " << error.what();
    return {};
  }
  ADD_FAILURE() << "expected an error, got nothing";
  return {};
}

template <class Action>
std::string input_error(Action&& action) {
  return error_of<InputError>(std::forward<Action>(action));
}

template <class Action>
std::string run_error(Action&& action) {
  return error_of<RunError>(std::forward<Action>(action));
}

/// `text` must hold every one of `parts`.
inline void expect_parts(const std::string& text, std::initializer_list<std::string> parts) {
  for (const std::string& part : parts) {
    EXPECT_NE(text.find(part), std::string::npos) << "no '" << part << "' in: " << text;
  }
}

}  // namespace dms::testing_support
