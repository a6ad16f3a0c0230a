#pragma once
// One seed for every random test: DMS_TEST_SEED, or a fixed number. Failures print it.

#include <cstdint>
#include <cstdlib>

namespace dms::testing_support {

inline uint64_t seed() {
  const char* text = std::getenv("DMS_TEST_SEED");
  return text == nullptr ? 20261121 : std::strtoull(text, nullptr, 10);
}

}  // namespace dms::testing_support
