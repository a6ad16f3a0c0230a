// Every 16-bit pattern against the definition of its format in float64.

#include "base/dtype.h"

#include <bit>
#include <cmath>
#include <cstdint>
#include <limits>
#include <random>

#include <gtest/gtest.h>

#include "support/seed.h"

namespace dms {
namespace {

/// sign * mantissa * 2^exponent of a format with this many exponent and mantissa bits.
double defined_value(uint32_t bits, int exponent_bits, int mantissa_bits) {
  const int bias = (1 << (exponent_bits - 1)) - 1;
  const auto mantissa = static_cast<double>(bits & ((1u << mantissa_bits) - 1));
  const int exponent = static_cast<int>(bits >> mantissa_bits) & ((1 << exponent_bits) - 1);
  const double sign = ((bits >> (mantissa_bits + exponent_bits)) & 1u) != 0 ? -1.0 : 1.0;
  if (exponent == (1 << exponent_bits) - 1) {
    return mantissa == 0 ? sign * INFINITY : std::numeric_limits<double>::quiet_NaN();
  }
  const double hidden = std::ldexp(1.0, mantissa_bits);
  const double significand = exponent == 0 ? mantissa : mantissa + hidden;
  return sign * std::ldexp(significand, std::max(exponent, 1) - bias - mantissa_bits);
}

void expect_same(float got, double expected, uint32_t bits) {
  if (std::isnan(expected)) {
    EXPECT_TRUE(std::isnan(got)) << "bits " << bits;
    return;
  }
  EXPECT_EQ(static_cast<double>(got), expected) << "bits " << bits;
  EXPECT_EQ(std::signbit(got), std::signbit(expected)) << "bits " << bits;
}

TEST(DType, EveryHalfIsConvertedExactly) {
  for (uint32_t bits = 0; bits < 65536; ++bits) {
    expect_same(half_to_float(static_cast<uint16_t>(bits)), defined_value(bits, 5, 10), bits);
  }
}

TEST(DType, EveryBFloat16IsConvertedExactlyAndBack) {
  for (uint32_t bits = 0; bits < 65536; ++bits) {
    const BFloat16 value{static_cast<uint16_t>(bits)};
    const double expected = defined_value(bits, 8, 7);
    expect_same(to_float(value), expected, bits);
    const BFloat16 back = to_bf16(to_float(value));
    if (std::isnan(expected)) {
      EXPECT_TRUE(std::isnan(to_float(back))) << "bits " << bits;
    } else {
      EXPECT_EQ(back.bits, bits);
    }
  }
}

TEST(DType, RoundingToBFloat16TakesTheNearestAndTiesToEven) {
  for (uint32_t bits = 0; bits < 0x7f7f; ++bits) {  // each finite value and the next larger one
    const float low = to_float(BFloat16{static_cast<uint16_t>(bits)});
    const float high = to_float(BFloat16{static_cast<uint16_t>(bits + 1)});
    const auto middle =
        static_cast<float>((static_cast<double>(low) + static_cast<double>(high)) / 2.0);
    const uint32_t even = bits % 2 == 0 ? bits : bits + 1;
    EXPECT_EQ(to_bf16(middle).bits, even) << bits;
    EXPECT_EQ(to_bf16(std::nextafter(middle, 0.0f)).bits, bits);
    EXPECT_EQ(to_bf16(std::nextafter(middle, INFINITY)).bits, bits + 1);
    EXPECT_EQ(to_bf16(-middle).bits, even | 0x8000u);
  }
}

TEST(DType, RoundingOverflowsToInfinityAndKeepsNaN) {
  EXPECT_EQ(to_bf16(std::numeric_limits<float>::max()).bits, 0x7f80);
  for (const uint32_t bits : {0x7f800001u, 0x7fffffffu, 0xff800001u, 0xffffffffu}) {
    EXPECT_TRUE(std::isnan(to_float(to_bf16(std::bit_cast<float>(bits))))) << bits;
  }
}

TEST(DType, RandomFloatsRoundToTheNearerNeighbour) {
  std::mt19937_64 random(testing_support::seed());
  for (int trial = 0; trial < 20000; ++trial) {
    const auto value = std::bit_cast<float>(static_cast<uint32_t>(random()) & 0xfeffffffu);
    const BFloat16 rounded = to_bf16(value);
    const double error = std::abs(static_cast<double>(to_float(rounded)) - value);
    for (const int step : {-1, 1}) {
      const BFloat16 other{static_cast<uint16_t>(rounded.bits + step)};
      const double distance = std::abs(static_cast<double>(to_float(other)) - value);
      if (std::isfinite(distance)) {
        EXPECT_LE(error, distance) << value << ", seed " << testing_support::seed();
      }
    }
  }
}

TEST(DType, RoundingToHalfTakesTheNearestAndTiesToEven) {
  for (uint32_t bits = 0; bits < 0x7c00; ++bits) {  // each finite value and the next larger one
    const float low = half_to_float(static_cast<uint16_t>(bits));
    const double next = bits + 1 == 0x7c00 ? 65536.0 : defined_value(bits + 1, 5, 10);
    const auto middle = static_cast<float>((static_cast<double>(low) + next) / 2.0);
    const uint32_t even = bits % 2 == 0 ? bits : bits + 1;
    ASSERT_EQ(to_half(low), bits);
    ASSERT_EQ(to_half(middle), even) << bits;
    ASSERT_EQ(to_half(std::nextafter(middle, 0.0f)), bits);
    ASSERT_EQ(to_half(std::nextafter(middle, INFINITY)), bits + 1);
    ASSERT_EQ(to_half(-middle), even | 0x8000u);
  }
  EXPECT_EQ(to_half(std::numeric_limits<float>::max()), 0x7c00);
  EXPECT_EQ(to_half(-INFINITY), 0xfc00);
  EXPECT_EQ(to_half(std::numeric_limits<float>::denorm_min()), 0);
  for (const uint32_t bits : {0x7f800001u, 0x7fffffffu, 0xff800001u, 0xffffffffu}) {
    EXPECT_TRUE(std::isnan(half_to_float(to_half(std::bit_cast<float>(bits))))) << bits;
  }
}

TEST(DType, NamesAreReadInEverySpelling) {
  for (const char* name : {"bf16", "bfloat16", "BF16", "torch.bfloat16"}) {
    EXPECT_EQ(parse_dtype(name), DType::bf16) << name;
  }
  for (const char* name : {"f16", "float16", "F16", "half", "torch.float16"}) {
    EXPECT_EQ(parse_dtype(name), DType::f16) << name;
  }
  for (const char* name : {"f32", "float32", "F32", "torch.float32"}) {
    EXPECT_EQ(parse_dtype(name), DType::f32) << name;
  }
  for (const char* name : {"", "float", "F64", "torch.", "torch.int8", "bf16 "}) {
    EXPECT_EQ(parse_dtype(name), std::nullopt) << name;
  }
  for (const DType type : {DType::f32, DType::bf16, DType::f16}) {
    EXPECT_EQ(parse_dtype(dtype_name(type)), type);
    EXPECT_EQ(dtype_bytes(type), type == DType::f32 ? 4 : 2);
  }
}

}  // namespace
}  // namespace dms
