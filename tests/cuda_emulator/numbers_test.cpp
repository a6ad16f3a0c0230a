// Conversions of the emulator against NVIDIA's own for the host, every code and every 4099th float.

#include "cuda_emulator/runtime/numbers.h"

#include <bit>

#include <cuda_bf16.h>
#include <cuda_fp16.h>
#include <cuda_fp8.h>
#include <gtest/gtest.h>

namespace cuda_emulator {
namespace {

template <class F>
void for_each_float(F function) {
  constexpr u64 kStep = 4099;
  for (u64 bits = 0; bits < u64{1} << 32; bits += kStep) {
    const float value = f32(static_cast<u32>(bits));
    if (value == value) function(value);
  }
}

TEST(Numbers, RoundFloatsToSmallFormats) {
  for_each_float([](float value) {
    ASSERT_EQ(float_to_bf16(value), std::bit_cast<u16>(__float2bfloat16(value))) << value;
    ASSERT_EQ(float_to_f16(value), std::bit_cast<u16>(__float2half_rn(value))) << value;
    ASSERT_EQ(float_to_bf16_rz(value), std::bit_cast<u16>(__float2bfloat16_rz(value))) << value;
    ASSERT_EQ(float_to_f16_rz(value), std::bit_cast<u16>(__float2half_rz(value))) << value;
    ASSERT_EQ(float_to_e4m3(value), __nv_cvt_float_to_fp8(value, __NV_SATFINITE, __NV_E4M3));
    ASSERT_EQ(float_to_e5m2(value), __nv_cvt_float_to_fp8(value, __NV_SATFINITE, __NV_E5M2));
    ASSERT_EQ(double_to_bf16(value), float_to_bf16(value)) << value;
    ASSERT_EQ(double_to_f16(value), float_to_f16(value)) << value;
  });
}

TEST(Numbers, WidenSmallFormats) {
  for (u32 code = 0; code < 65536; code++) {
    const auto bits = static_cast<u16>(code);
    const float f16 = __half2float(std::bit_cast<__half>(bits));
    const float bf16 = __bfloat162float(std::bit_cast<__nv_bfloat16>(bits));
    if (f16 == f16) {
      ASSERT_EQ(f16_to_float(bits), f16) << code;
    }
    if (bf16 == bf16) {
      ASSERT_EQ(bf16_to_float(bits), bf16) << code;
    }
  }
  for (u32 code = 0; code < 256; code++) {
    const auto bits = static_cast<u8>(code);
    const float e4m3 = __half2float(__half(__nv_cvt_fp8_to_halfraw(bits, __NV_E4M3)));
    const float e5m2 = __half2float(__half(__nv_cvt_fp8_to_halfraw(bits, __NV_E5M2)));
    if (e4m3 == e4m3) {
      ASSERT_EQ(e4m3_to_float(bits), e4m3) << code;
    }
    if (e5m2 == e5m2) {
      ASSERT_EQ(e5m2_to_float(bits), e5m2) << code;
    }
  }
}

TEST(Numbers, RoundDoublesOnce) {
  // Through float this would fall on a tie, and go down.
  const double above_tie = 1 + 0x1p-8 + 0x1p-40;
  EXPECT_EQ(double_to_bf16(above_tie), 0x3f81);
  EXPECT_EQ(float_to_bf16(static_cast<float>(above_tie)), 0x3f80);
  EXPECT_EQ(double_to_f16(-1 - 0x1p-11 - 0x1p-50), 0xbc01);
}

}  // namespace
}  // namespace cuda_emulator
