// Activations to int8 by rows and groups, included by the AVX2 and AVX-512 files into their
// anonymous namespaces. They provide
//   int32_t largest_bits(const float* x, int64_t count)    largest magnitude, as its bits
//   int32_t round_codes(const float* x, float inverse, int64_t count, int8_t* codes)
// of up to 32 values; round_codes fills up with zeros and returns the sum.

constexpr int64_t kColumns = kQuantisedColumns;
constexpr int32_t kInfinityBits = 0x7f800000;

inline float float_of(int32_t bits) {
  float value;
  __builtin_memcpy(&value, &bits, sizeof value);
  return value;
}

inline float unit_of(const float* x, int64_t columns) {
  int32_t bits = 0;
  for (int64_t column = 0; column < columns; column += kColumns) {
    const int64_t left = columns - column;
    const int32_t group = largest_bits(x + column, left < kColumns ? left : kColumns);
    bits = bits > group ? bits : group;
  }
  if (bits >= kInfinityBits) return __builtin_nanf("");
  const float unit = float_of(bits) / kCodesAndFactors;
  return unit < kLeastUnit ? 0.0f : unit;
}

inline void quantise_group(
    const float* x, int64_t count, float unit, int32_t zero, QuantisedActivations& group) {
  group = {};
  if (!(unit > 0.0f)) return;
  const float most = float_of(largest_bits(x, count));
  group.factor = static_cast<int32_t>(__builtin_ceilf(most / (kLargestActivationCode * unit)));
  if (group.factor == 0) return;
  const float inverse = 1.0f / (static_cast<float>(group.factor) * unit);
  const int32_t sum = round_codes(x, inverse, count, group.codes);
  group.start = -zero * sum;
  group.minimum_factor = static_cast<float>(group.factor * sum);
}

/// `kZero`: what the kernel's dot product has to begin with for each activation code.
template <int32_t kZero>
void pack_quantised(const PackTileCall& call) {
  auto* tile = static_cast<QuantisedActivations*>(call.tile);
  for (int64_t row = 0; row < call.rows; ++row) {
    const float* x = call.x + row * call.columns;
    const float unit = unit_of(x, call.columns);
    call.row_scales[row] = unit;
    for (int64_t column = 0; column < call.columns; column += kColumns) {
      const int64_t left = call.columns - column;
      quantise_group(x + column,
                     left < kColumns ? left : kColumns,
                     unit,
                     kZero,
                     tile[column / kColumns * call.rows + row]);
    }
  }
}

inline void begin_sums(const MultiplyTileCall& call) {
  if (call.resume) return;
  for (int64_t i = 0; i < call.rows * kPanelOutputs; ++i) call.sums[i] = 0.0f;
}

inline void end_sums(const MultiplyTileCall& call) {
  if (call.row_scales == nullptr) return;
  for (int64_t row = 0; row < call.rows; ++row) {
    float* sums = call.sums + row * kPanelOutputs;
    for (int64_t output = 0; output < kPanelOutputs; ++output) {
      sums[output] *= call.row_scales[row];
    }
  }
}
