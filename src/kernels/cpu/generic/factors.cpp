// Products with factors in plain C++. The sums' order is part of their definition (factor_table.h).

#include "base/dtype.h"
#include "kernels/factor_table.h"

namespace dms::kernels {
namespace {

float widen(float number) { return number; }
float widen(BFloat16 number) { return to_float(number); }

template <class Number>
void multiply(const FactorCall& call) {
  const auto* factor = static_cast<const Number*>(call.factor);
  for (int64_t r = 0; r < call.count; ++r, factor += call.columns) {
    for (int64_t c = 0; c < call.columns; ++c) {
      const float number = widen(factor[c]);
      for (int64_t i = 0; i < call.rows; ++i) call.out[i][c] += call.x[i][r] * number;
    }
  }
}

void narrow_all(const float* from, int64_t count, uint16_t* to) {
  for (int64_t i = 0; i < count; ++i) to[i] = to_bf16(from[i]).bits;
}

void widen_all(const uint16_t* from, int64_t count, float* to) {
  for (int64_t i = 0; i < count; ++i) to[i] = to_float(BFloat16{from[i]});
}

}  // namespace

const FactorTable kFactorsGeneric{.multiply_f32 = multiply<float>,
                                  .multiply_bf16 = multiply<BFloat16>,
                                  .narrow = narrow_all,
                                  .widen = widen_all};

}  // namespace dms::kernels
