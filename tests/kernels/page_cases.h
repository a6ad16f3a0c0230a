#pragma once
// Tokens and pages for the tests of pages.

#include <cstddef>
#include <cstdint>
#include <random>
#include <span>
#include <string>
#include <vector>

#include <gtest/gtest.h>

#include "kernels/kv_page.h"

namespace dms::kernels {

struct Tokens {
  Tokens(int64_t count, int64_t head_dim, int64_t stride, uint64_t seed)
      : keys(static_cast<size_t>(count * stride)), values(keys), stride_(stride), dim_(head_dim) {
    std::mt19937_64 random(seed);
    std::normal_distribution<float> normal;
    for (float& x : keys) x = normal(random);
    for (float& x : values) x = normal(random);
  }

  std::span<const float> key(int64_t token) const { return row(keys, token); }
  std::span<const float> value(int64_t token) const { return row(values, token); }

  std::vector<float> keys;
  std::vector<float> values;

 private:
  std::span<const float> row(const std::vector<float>& all, int64_t token) const {
    return std::span(all).subspan(static_cast<size_t>(token * stride_), static_cast<size_t>(dim_));
  }

  int64_t stride_;
  int64_t dim_;
};

using Page = std::vector<std::byte>;

inline Page garbage(const KvPageLayout& layout) {
  return Page(static_cast<size_t>(layout.bytes()), std::byte{0xff});
}

class KvPage : public testing::TestWithParam<KvFormat> {
 protected:
  KvPageLayout layout(int64_t head_dim) const {
    return {.format = GetParam(), .head_dim = head_dim};
  }
};

inline const auto kFormatName = [](const auto& format) {
  return std::string(kv_format_name(format.param));
};

}  // namespace dms::kernels
