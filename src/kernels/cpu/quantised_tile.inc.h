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

inline float unit_of(int32_t bits) {
  if (bits >= kInfinityBits) return __builtin_nanf("");
  const float unit = float_of(bits) / kLargestActivationCode;
  return unit < kLeastUnit ? 0.0f : unit;
}

/// To 4 bits of mantissa.
inline float rounded_up(float ratio) {
  int32_t bits;
  __builtin_memcpy(&bits, &ratio, sizeof bits);
  return float_of((bits + kFactorStep - 1) & ~(kFactorStep - 1));
}

struct RowScale {
  float largest;
  float unit;
};

/// `group.factor` holds the group's largest magnitude.
inline void quantise_group(
    const float* x, int64_t count, const RowScale& row, int32_t zero, QuantisedActivations& group) {
  const float ratio = group.factor / row.largest;
  group = {};
  group.factor = 1.0f;
  if (!(row.unit > 0.0f) || ratio < kLeastFactor) return;
  group.factor = rounded_up(ratio);
  const float inverse = 1.0f / (group.factor * row.unit);
  const int32_t sum = round_codes(x, inverse, count, group.codes);
  group.start = -zero * sum;
  group.minimum_factor = group.factor * static_cast<float>(sum);
}

/// One row's groups, `stride` apart. `kZero`: what the kernel's dot product has to begin with for
/// each activation code.
template <int32_t kZero>
inline float pack_row(const float* x,
                      int64_t columns,
                      int64_t stride,
                      QuantisedActivations* groups) {
  int32_t bits = 0;
  for (int64_t column = 0; column < columns; column += kColumns) {
    const int64_t left = columns - column;
    const int32_t group = largest_bits(x + column, left < kColumns ? left : kColumns);
    bits = bits > group ? bits : group;
    groups[column / kColumns * stride].factor = float_of(group);
  }
  const RowScale scale{.largest = float_of(bits), .unit = unit_of(bits)};
  for (int64_t column = 0; column < columns; column += kColumns) {
    const int64_t left = columns - column;
    quantise_group(x + column,
                   left < kColumns ? left : kColumns,
                   scale,
                   kZero,
                   groups[column / kColumns * stride]);
  }
  return scale.unit;
}

template <int32_t kZero>
void pack_quantised(const PackTileCall& call) {
  auto* tile = static_cast<QuantisedActivations*>(call.tile);
  for (int64_t row = 0; row < call.rows; ++row) {
    call.row_scales[row] =
        pack_row<kZero>(call.x + row * call.columns, call.columns, call.rows, tile + row);
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
