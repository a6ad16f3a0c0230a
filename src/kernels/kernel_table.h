#pragma once
// What each instruction set provides for products and row operations. Plain structs of pointers and
// numbers: the per-ISA files may include nothing with inline functions.

#include <cstddef>
#include <cstdint>

namespace dms::kernels {

/// UnaryOp without its header.
enum class Activation : int32_t { silu, gelu, gelu_tanh, relu };

constexpr int64_t kPanelOutputs = 32;  // equals kPanelRows
constexpr int64_t kGateOutputs = 16;   // gate rows of a panel in gated layout

/// Rows of activations on their way into a tile [column groups][rows][words of one group], the
/// order in which a tile's product broadcasts them.
struct PackTileCall {
  const float* x;  // [rows, columns]
  int64_t rows;
  int64_t columns;
  void* tile;
  float* row_scales;  // [rows], written by kernels that quantise activations (quantised_tile.h)
};

/// One tile of rows times one panel: a chain of additions per output over ascending columns.
struct MultiplyTileCall {
  const void* panel;  // [column groups][32][p], or quantised_panel.h
  const void* tile;   // as packed
  int64_t column_groups;
  int64_t rows;             // 1..tile_rows
  float* sums;              // [rows, 32]
  bool resume;              // start from sums instead of zero: the next block of columns
  const void* next_tile;    // what a later call reads: fetched meanwhile
  const float* row_scales;  // [rows], which a last block's sums are multiplied by, or null
};

/// How activations are packed and multiplied for one type of weights and of arithmetic.
struct MatmulKernel {
  int64_t tile_rows;    // rows whose sums stay in registers at most
  int64_t group_bytes;  // one row's activations of one column group in a tile
  void (*pack_tile)(const PackTileCall&);
  void (*multiply_tile)(const MultiplyTileCall&);
};

/// Turns a tile's sums for one panel into output.
struct FinishTileCall {
  const float* sums;  // [rows, 32]
  const float* bias;  // [32], or null
  int64_t rows;
  float* out;  // first row, first output of the panel
  int64_t out_stride;
  int64_t outputs;  // of this panel that exist: 1..32, 1..16 for finish_gated
};

struct MatmulTable {
  MatmulKernel f32;        // f32 weights, f32 activations
  MatmulKernel bf16_f32;   // bf16 weights, f32 activations
  MatmulKernel bf16_bf16;  // bf16 weights, activations rounded to bf16
  void (*finish_store)(const FinishTileCall&);
  void (*finish_accumulate)(const FinishTileCall&);
  void (*finish_gated)(const FinishTileCall&, Activation);
};

/// Products of quantised weights and activations (quantised_tile.h).
struct QuantisedMatmulTable {
  MatmulKernel int8;
  MatmulKernel int8_minima;
  MatmulKernel int4;
  MatmulKernel int4_minima;
};

/// Sums go by 32 interleaved float32 chains without fused multiply-add, added pairwise at the end:
/// chain c with c + 16, then + 8, 4, 2, 1. The same bits on every instruction set.
constexpr int64_t kSumChains = 32;

struct RowTable {
  float (*sum)(const float* x, int64_t count);
  float (*sum_products)(const float* a, const float* b, int64_t count);
  float (*sum_squared_deviations)(const float* x, float mean, int64_t count);
  /// out = (x - mean) * factor * weight + bias (bias may be null)
  void (*normalise)(const float* x,
                    float mean,
                    float factor,
                    const float* weight,
                    const float* bias,
                    int64_t count,
                    float* out);
  void (*apply)(Activation op, float* x, int64_t count);
  void (*soft_cap)(float cap, float* x, int64_t count);
  /// x = e^(scale x - max), where max is the largest of scale x and returned; their sum. `scale` is
  /// positive, `count` too.
  float (*soften)(float scale, float* x, int64_t count, float* sum);
  /// One head: (low, high) halves of `half` channels turned by the angles.
  void (*rotate)(float* low, float* high, const float* cos, const float* sin, int64_t half);
};

/// Loops that do nothing but reach a bound of the machine.
struct ProbeTable {
  float (*read)(const void* data, int64_t bytes);  // bytes: a multiple of 4096
  float (*run_f32)(int64_t rounds);
  float (*run_bf16)(int64_t rounds);  // null where the ISA has no bf16 products
  int64_t f32_flop_per_round;
  int64_t bf16_flop_per_round;
  float (*run_int8)(int64_t rounds);  // null where the ISA has no int8 products
  int64_t int8_op_per_round;
};

extern const MatmulTable kMatmulGeneric;
extern const MatmulTable kMatmulAvx2;
extern const MatmulTable kMatmulAvx512;
extern const QuantisedMatmulTable kQuantisedGeneric;
extern const QuantisedMatmulTable kQuantisedAvx2;
extern const QuantisedMatmulTable kQuantisedAvx512;
extern const RowTable kRowsGeneric;
extern const RowTable kRowsAvx2;
extern const RowTable kRowsAvx512;
extern const ProbeTable kProbeGeneric;
extern const ProbeTable kProbeAvx2;
extern const ProbeTable kProbeAvx512;

/// The tables of the active instruction set.
const MatmulTable& matmul_table();
const QuantisedMatmulTable& quantised_matmul_table();
const RowTable& row_table();
const ProbeTable& probe_table();

}  // namespace dms::kernels
