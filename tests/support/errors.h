#pragma once
// What a refused input must say.

#include <initializer_list>
#include <string>

#include <gtest/gtest.h>

#include "dms/error.h"

namespace dms::testing_support {

/// Runs `action`, which must throw an InputError, and returns its text.
template <class Action>
std::string input_error(Action&& action) {
  try {
    action();
  } catch (const InputError& error) {
    return error.what();
  } catch (const std::exception& error) {
    ADD_FAILURE() << "expected an InputError, got " << error.what();
    return {};
  }
  ADD_FAILURE() << "expected an InputError, got nothing";
  return {};
}

/// `text` must hold every one of `parts`.
inline void expect_parts(const std::string& text, std::initializer_list<std::string> parts) {
  for (const std::string& part : parts) {
    EXPECT_NE(text.find(part), std::string::npos) << "no '" << part << "' in: " << text;
  }
}

}  // namespace dms::testing_support
