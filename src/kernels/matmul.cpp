#include "kernels/matmul.h"

#include <algorithm>
#include <array>

#include "base/check.h"
#include "kernels/kernel_table.h"

namespace dms::kernels {
namespace {

static_assert(kPanelRows == kPanelOutputs);

/// Rows multiplied per pass over the weights: their packed activations stay in the outer caches.
constexpr int64_t kBlockRows = 512;
/// Weights whose product with every tile of rows is done before the next: half a second-level
/// cache.
constexpr int64_t kGroupBytes = 512 << 10;
/// Bytes of weights below which a second thread costs more than it brings.
constexpr int64_t kSerialBytes = 64 << 10;
constexpr int64_t kMaxTileRows = 16;

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

const MatmulKernel& kernel_for(const MatmulTable& table, DType weights, Compute compute) {
  if (weights == DType::f32) return table.f32;
  return compute == Compute::bf16 ? table.bf16_bf16 : table.bf16_f32;
}

void check(const MatmulArgs& args) {
  const PackedMatrix& w = args.weights;
  ensure(args.rows > 0, "a product without rows");
  ensure(w.type() == DType::bf16 || args.compute == Compute::f32, "f32 weights in a bf16 product");
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
        kernel_(kernel_for(table_, args.weights.type(), args.compute)),
        first_row_(first_row),
        rows_(rows),
        tiles_(ceil_div(rows, kernel_.tile_rows)),
        groups_(args.weights.panel_bytes() / (kPanelRows * 4)),
        group_panels_(std::max<int64_t>(1, kGroupBytes / args.weights.panel_bytes())),
        packed_(scratch(rows * groups_ * kernel_.group_bytes)) {
    if (tiles_ == 1) group_panels_ = 1;
  }

  void multiply() const {
    const PackedMatrix& weights = args_.weights;
    const int64_t units = ceil_div(weights.panels(), group_panels_);
    if (tiles_ == 1) pack(0);
#pragma omp parallel if (weights.bytes() > kSerialBytes)
    {
      if (tiles_ > 1) {
#pragma omp for schedule(static)
        for (int64_t tile = 0; tile < tiles_; ++tile) pack(tile);
      }
#pragma omp for schedule(static) nowait
      for (int64_t unit = 0; unit < units; ++unit) multiply_group(unit * group_panels_);
    }
  }

 private:
  /// Kept by each calling thread, so that only the first calls allocate.
  static std::byte* scratch(int64_t bytes) {
    thread_local AlignedBuffer buffer;
    if (buffer.bytes() < bytes) buffer = AlignedBuffer(bytes);
    return buffer.data();
  }

  int64_t tile_begin(int64_t tile) const { return tile * rows_ / tiles_; }
  int64_t tile_rows(int64_t tile) const { return tile_begin(tile + 1) - tile_begin(tile); }
  std::byte* packed_tile(int64_t tile) const {
    return packed_ + tile_begin(tile) * groups_ * kernel_.group_bytes;
  }

  void pack(int64_t tile) const {
    const int64_t columns = args_.weights.columns();
    kernel_.pack_tile({.x = args_.x.data() + (first_row_ + tile_begin(tile)) * columns,
                       .rows = tile_rows(tile),
                       .columns = columns,
                       .tile = packed_tile(tile)});
  }

  void multiply_group(int64_t first_panel) const {
    const int64_t end = std::min(first_panel + group_panels_, args_.weights.panels());
    for (int64_t tile = 0; tile < tiles_; ++tile) {
      for (int64_t panel = first_panel; panel < end; ++panel) multiply_tile(tile, panel);
    }
  }

  void multiply_tile(int64_t tile, int64_t panel) const {
    alignas(64) std::array<float, kMaxTileRows * kPanelRows> sums;
    kernel_.multiply_tile({.panel = args_.weights.panel(panel).data(),
                           .tile = packed_tile(tile),
                           .column_groups = groups_,
                           .rows = tile_rows(tile),
                           .sums = sums.data()});
    finish(tile, panel, sums.data());
  }

  void finish(int64_t tile, int64_t panel, const float* sums) const {
    const bool gated = is_gated(args_.epilogue);
    const int64_t panel_outputs = gated ? kGateOutputs : kPanelRows;
    const int64_t first = panel * panel_outputs;
    std::array<float, kPanelRows> bias;
    if (!args_.bias.empty()) copy_bias(panel, bias);
    const FinishTileCall call{
        .sums = sums,
        .bias = args_.bias.empty() ? nullptr : bias.data(),
        .rows = tile_rows(tile),
        .out = args_.out.data() + (first_row_ + tile_begin(tile)) * args_.out_columns + first,
        .out_stride = args_.out_columns,
        .outputs = std::min(panel_outputs, args_.out_columns - first)};
    if (gated) {
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
  int64_t groups_;  // column groups
  int64_t group_panels_;
  std::byte* packed_;
};

}  // namespace

void matmul(const MatmulArgs& args) {
  check(args);
  for (int64_t row = 0; row < args.rows; row += kBlockRows) {
    RowBlock(args, row, std::min(kBlockRows, args.rows - row)).multiply();
  }
}

}  // namespace dms::kernels
