#include "kernels/matmul.h"

#include <algorithm>
#include <array>

#include "base/check.h"
#include "base/parallel.h"
#include "base/threads.h"
#include "kernels/kernel_table.h"

namespace dms::kernels {
namespace {

static_assert(kPanelRows == kPanelOutputs);

/// Rows multiplied per pass over the weights: their packed activations stay in the outer caches.
constexpr int64_t kBlockRows = 512;
/// Bytes of a panel per pass over the tiles: long enough to make light of reloading sums.
constexpr int64_t kBlockBytes = 128 << 10;
/// Weights that meet every tile of rows before the next ones do: half a second-level cache.
constexpr int64_t kUnitBytes = 512 << 10;
/// Bytes of weights whose product is worth another thread's attention.
constexpr int64_t kGrainBytes = 32 << 10;
constexpr int64_t kMaxTileRows = 128;
constexpr int64_t kFloatGroupBytes = kPanelRows * static_cast<int64_t>(sizeof(float));
constexpr int64_t kCacheLine = 64;

using TileSums = std::array<float, kMaxTileRows * kPanelRows>;

bool is_gated(Epilogue epilogue) {
  return epilogue != Epilogue::store && epilogue != Epilogue::accumulate;
}

Activation activation_of(Epilogue epilogue) {
  switch (epilogue) {
    case Epilogue::gelu_gate:
      return Activation::gelu;
    case Epilogue::gelu_tanh_gate:
      return Activation::gelu_tanh;
    case Epilogue::relu_gate:
      return Activation::relu;
    default:
      return Activation::silu;
  }
}

/// Quantised weights meet float32 activations as float32: unpacked, then multiplied.
bool unpacks(const MatmulArgs& args) {
  return is_quantised(args.weights.format()) && args.compute == Compute::f32;
}

const MatmulKernel& kernel_for(const MatmulTable& table, const MatmulArgs& args) {
  if (unpacks(args)) return table.f32;
  const QuantisedMatmulTable& quantised = quantised_matmul_table();
  const bool minima = args.weights.has_minima();
  switch (args.weights.format()) {
    case WeightFormat::int8:
      return minima ? quantised.int8_minima : quantised.int8;
    case WeightFormat::int4:
      return minima ? quantised.int4_minima : quantised.int4;
    case WeightFormat::bf16:
      return args.compute == Compute::f32 ? table.bf16_f32 : table.bf16_bf16;
    case WeightFormat::f32:
      break;
  }
  return table.f32;
}

bool can_compute(WeightFormat weights, Compute compute) {
  if (compute == Compute::f32) return true;
  return weights == WeightFormat::bf16 || (is_quantised(weights) && compute == Compute::int8);
}

void check(const MatmulArgs& args) {
  const PackedMatrix& w = args.weights;
  ensure(args.rows > 0, "a product without rows");
  ensure(can_compute(w.format(), args.compute), "weights of another type than the product's");
  ensure(std::ssize(args.x) == args.rows * w.columns(), "activations of a wrong shape");
  ensure(std::ssize(args.out) == args.rows * args.out_columns, "output of a wrong shape");
  ensure(args.bias.empty() || std::ssize(args.bias) == w.rows(), "bias of a wrong size");
  if (is_gated(args.epilogue)) {
    ensure(w.rows() == 2 * round_up(args.out_columns, kGateOutputs), "gated weights do not fit");
  } else {
    ensure(args.out_columns == w.rows(), "output columns differ from weight rows");
  }
}

/// Some rows of the product: tiles of rows as even as possible, their activations packed.
class RowBlock {
 public:
  RowBlock(const MatmulArgs& args, int64_t first_row, int64_t rows)
      : args_(args),
        table_(matmul_table()),
        kernel_(kernel_for(table_, args)),
        first_row_(first_row),
        rows_(rows),
        tiles_(ceil_div(rows, kernel_.tile_rows)),
        group_bytes_(unpacks(args) ? kFloatGroupBytes : args.weights.group_bytes()),
        groups_(unpacks(args) ? args.weights.columns() : args.weights.panel_bytes() / group_bytes_),
        packed_bytes_(round_up(rows * groups_ * kernel_.group_bytes, kCacheLine)),
        packed_(scratch(packed_bytes_ + rows * static_cast<int64_t>(sizeof(float)))) {
    if (tiles_ == 1) return;
    const int64_t blocks = ceil_div(groups_ * group_bytes_, kBlockBytes);
    block_groups_ = ceil_div(groups_, blocks);
    const int64_t block_bytes = block_groups_ * group_bytes_;
    const int64_t panels = args.weights.panels();
    const int64_t units = ceil_div(panels, std::max<int64_t>(1, kUnitBytes / block_bytes));
    unit_panels_ = ceil_div(panels, round_up(units, used_threads()));
  }

  void multiply() const {
    if (tiles_ == 1) {
      multiply_one_tile();
    } else {
      multiply_tiles();
    }
  }

 private:
  /// A thin product: memory is read once, in order, by each thread.
  void multiply_one_tile() const {
    const PackedMatrix& weights = args_.weights;
    pack(0);
    parallel_for(weights.panels(), grain(weights.panel_bytes()), [&](int64_t panel) {
      alignas(64) TileSums sums;
      multiply_block(0, panels_from(panel, 1), {0, groups_}, sums.data());
      finish(0, panel, sums.data());
    });
  }

  void multiply_tiles() const {
    const int64_t units = ceil_div(args_.weights.panels(), unit_panels_);
    const int64_t tile_bytes = ceil_div(rows_, tiles_) * groups_ * kernel_.group_bytes;
    parallel_for(tiles_, grain(tile_bytes), [&](int64_t tile) { pack(tile); });
    const int64_t unit_bytes = unit_panels_ * args_.weights.panel_bytes();
    parallel_for(units, grain(unit_bytes * tiles_), [&](int64_t unit) {
      auto* sums = reinterpret_cast<float*>(scratch_sums(rows_ * unit_panels_ * kPanelRows * 4));
      multiply_unit(unit * unit_panels_, sums);
    });
  }

  static int64_t grain(int64_t bytes) { return ceil_div(kGrainBytes, bytes); }

  /// A few panels times all tiles, by blocks of columns whose weights stay in the second-level
  /// cache; sums wait in `sums` between blocks.
  void multiply_unit(int64_t first_panel, float* sums) const {
    const int64_t end_panel = std::min(first_panel + unit_panels_, args_.weights.panels());
    const std::byte* panels = panels_from(first_panel, end_panel - first_panel);
    alignas(64) TileSums whole;
    for (int64_t group = 0; group < groups_; group += block_groups_) {
      const ColumnBlock block{group, std::min(block_groups_, groups_ - group)};
      for (int64_t tile = 0; tile < tiles_; ++tile) {
        for (int64_t panel = first_panel; panel < end_panel; ++panel) {
          float* at = sums + ((panel - first_panel) * rows_ + tile_begin(tile)) * kPanelRows;
          if (block.groups == groups_) at = whole.data();
          const bool is_last = group + block.groups == groups_;
          if (is_last) prefetch_output(tile, panel);
          const std::byte* data = panels + (panel - first_panel) * groups_ * group_bytes_;
          multiply_block(tile, data, block, at);
          if (is_last) finish(tile, panel, at);
        }
      }
    }
  }

  struct ColumnBlock {
    int64_t first;
    int64_t groups;
  };

  /// Each kind of scratch is kept by its thread, so that only the first calls allocate.
  static std::byte* scratch(int64_t bytes) {
    thread_local AlignedBuffer buffer;
    return grown(buffer, bytes);
  }
  static std::byte* scratch_sums(int64_t bytes) {
    thread_local AlignedBuffer buffer;
    return grown(buffer, bytes);
  }
  static std::byte* scratch_panels(int64_t bytes) {
    thread_local AlignedBuffer buffer;
    return grown(buffer, bytes);
  }
  static std::byte* grown(AlignedBuffer& buffer, int64_t bytes) {
    if (buffer.bytes() < bytes) buffer = AlignedBuffer(bytes);
    return buffer.data();
  }

  int64_t tile_begin(int64_t tile) const { return tile * rows_ / tiles_; }
  int64_t tile_rows(int64_t tile) const { return tile_begin(tile + 1) - tile_begin(tile); }
  std::byte* packed_tile(int64_t tile) const {
    return packed_ + tile_begin(tile) * groups_ * kernel_.group_bytes;
  }

  float* row_scales(int64_t tile) const {
    return reinterpret_cast<float*>(packed_ + packed_bytes_) + tile_begin(tile);
  }

  /// The panels as the kernel reads them, one after another.
  const std::byte* panels_from(int64_t first, int64_t count) const {
    const PackedMatrix& weights = args_.weights;
    if (!unpacks(args_)) return weights.panel(first).data();
    std::byte* floats = scratch_panels(count * groups_ * group_bytes_);
    for (int64_t i = 0; i < count; ++i) {
      weights.unpack_panel(first + i,
                           {reinterpret_cast<float*>(floats + i * groups_ * group_bytes_),
                            static_cast<size_t>(groups_ * kPanelRows)});
    }
    return floats;
  }

  void pack(int64_t tile) const {
    const int64_t columns = args_.weights.columns();
    kernel_.pack_tile({.x = args_.x.data() + (first_row_ + tile_begin(tile)) * columns,
                       .rows = tile_rows(tile),
                       .columns = columns,
                       .tile = packed_tile(tile),
                       .row_scales = row_scales(tile)});
  }

  void multiply_block(int64_t tile, const std::byte* panel, ColumnBlock block, float* sums) const {
    const int64_t rows = tile_rows(tile);
    kernel_.multiply_tile(
        {.panel = panel + block.first * group_bytes_,
         .tile = packed_tile(tile) + block.first * rows * kernel_.group_bytes,
         .column_groups = block.groups,
         .rows = rows,
         .sums = sums,
         .resume = block.first > 0,
         .next_tile = packed_tile((tile + 1) % tiles_) + block.first * rows * kernel_.group_bytes,
         .row_scales =
             scales_rows() && block.first + block.groups == groups_ ? row_scales(tile) : nullptr});
  }

  bool scales_rows() const {
    return args_.compute == Compute::int8 && is_quantised(args_.weights.format());
  }

  int64_t panel_outputs() const { return is_gated(args_.epilogue) ? kGateOutputs : kPanelRows; }

  float* output(int64_t tile, int64_t panel) const {
    const int64_t row = first_row_ + tile_begin(tile);
    return args_.out.data() + row * args_.out_columns + panel * panel_outputs();
  }

  /// The rows of an output tile lie far apart: without this, each waits for memory in turn.
  void prefetch_output(int64_t tile, int64_t panel) const {
    constexpr int64_t kLineFloats = 16;
    for (int64_t row = 0; row < tile_rows(tile); ++row) {
      const float* line = output(tile, panel) + row * args_.out_columns;
      __builtin_prefetch(line, 1);
      if (panel_outputs() > kLineFloats) __builtin_prefetch(line + kLineFloats, 1);
    }
  }

  void finish(int64_t tile, int64_t panel, const float* sums) const {
    std::array<float, kPanelRows> bias;
    if (!args_.bias.empty()) copy_bias(panel, bias);
    const int64_t left = args_.out_columns - panel * panel_outputs();
    const FinishTileCall call{.sums = sums,
                              .bias = args_.bias.empty() ? nullptr : bias.data(),
                              .rows = tile_rows(tile),
                              .out = output(tile, panel),
                              .out_stride = args_.out_columns,
                              .outputs = std::min(panel_outputs(), left)};
    if (is_gated(args_.epilogue)) {
      table_.finish_gated(call, activation_of(args_.epilogue));
    } else if (args_.epilogue == Epilogue::accumulate) {
      table_.finish_accumulate(call);
    } else {
      table_.finish_store(call);
    }
  }

  void copy_bias(int64_t panel, std::span<float> bias) const {
    const auto at = static_cast<size_t>(panel * kPanelRows);
    const size_t count = std::min(bias.size(), args_.bias.size() - at);
    std::ranges::fill(bias, 0.0f);
    std::ranges::copy(args_.bias.subspan(at, count), bias.begin());
  }

  const MatmulArgs& args_;
  const MatmulTable& table_;
  const MatmulKernel& kernel_;
  int64_t first_row_;
  int64_t rows_;
  int64_t tiles_;
  int64_t group_bytes_;  // of a panel's column group
  int64_t groups_;       // column groups
  int64_t packed_bytes_;
  std::byte* packed_;  // tiles, then [rows] scales
  int64_t block_groups_ = 0;
  int64_t unit_panels_ = 0;
};

}  // namespace

void matmul(const MatmulArgs& args) {
  check(args);
  for (int64_t row = 0; row < args.rows; row += kBlockRows) {
    RowBlock(args, row, std::min(kBlockRows, args.rows - row)).multiply();
  }
}

}  // namespace dms::kernels
