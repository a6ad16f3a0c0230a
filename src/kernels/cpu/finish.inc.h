// From a tile's sums to output, included by the AVX2 and AVX-512 files into their anonymous
// namespaces after kLanes.

#include "kernels/cpu/vector_math.inc.h"

inline Vector finished(const FinishTileCall& call, int64_t row, int64_t output) {
  const Vector sum = load(call.sums + row * kPanelOutputs + output);
  return call.bias == nullptr ? sum : sum + load(call.bias + output);
}

/// write(vector, target, lanes) for each vector of outputs that exist in each row.
template <class Value, class Write>
inline void for_each_output(const FinishTileCall& call, Value value, Write write) {
  for (int64_t row = 0; row < call.rows; ++row) {
    float* out = call.out + row * call.out_stride;
    for (int64_t output = 0; output < call.outputs; output += kLanes) {
      const int64_t left = call.outputs - output;
      write(value(row, output), out + output, left < kLanes ? left : int64_t{kLanes});
    }
  }
}

inline void put(Vector x, float* target, int64_t lanes) {
  if (lanes == kLanes) {
    store(target, x);
  } else {
    store_first(target, x, lanes);
  }
}

void finish_store(const FinishTileCall& call) {
  for_each_output(
      call, [&](int64_t row, int64_t output) { return finished(call, row, output); }, put);
}

void finish_accumulate(const FinishTileCall& call) {
  for_each_output(
      call,
      [&](int64_t row, int64_t output) { return finished(call, row, output); },
      [](Vector x, float* target, int64_t lanes) {
        put((lanes == kLanes ? load(target) : load_first(target, lanes)) + x, target, lanes);
      });
}

void finish_gated(const FinishTileCall& call, Activation op) {
  for_each_output(
      call,
      [&](int64_t row, int64_t output) {
        return activate(op, finished(call, row, output)) *
               finished(call, row, kGateOutputs + output);
      },
      put);
}
