#include "cuda/weights.h"

#include <algorithm>
#include <cmath>
#include <cstring>

#include "base/check.h"
#include "base/parallel.h"
#include "cuda/kernels/random_fill.h"
#include "cuda/weight_list.h"
#include "cuda/weight_rows.h"

namespace dms::cuda {
namespace {

constexpr size_t kStagingBytes = size_t{16} << 20;
constexpr const char* kCopying = "copying weights to the device";

/// Copies to the device through two pieces of pinned memory: one is filled while the other is
/// copied.
class Uploader {
 public:
  Uploader() {
    for (Piece& piece : pieces_) piece.memory = PinnedBuffer(kStagingBytes, "copies of weights");
  }

  /// Room for up to `bytes` bytes, all of the host's to fill; at most kStagingBytes.
  std::byte* next_piece() {
    current_ = 1 - current_;
    pieces_[current_].copied.synchronize();
    return pieces_[current_].memory.data();
  }

  /// Starts copying `bytes` bytes of the piece, from byte `from` on.
  void copy(const void* to, size_t from, size_t bytes) {
    if (bytes == 0) return;
    check(cudaMemcpyAsync(const_cast<void*>(to),
                          pieces_[current_].memory.data() + from,
                          bytes,
                          cudaMemcpyHostToDevice,
                          stream_.get()),
          kCopying);
  }
  /// After the last copy() of a piece.
  void finish_piece() { pieces_[current_].copied.record(stream_); }

  void finish() { stream_.synchronize(); }

 private:
  struct Piece {
    PinnedBuffer memory;
    Event copied;
  };

  Stream stream_;
  Piece pieces_[2];
  int current_ = 0;
};

const std::byte* advance(const void* data, size_t bytes) {
  return data == nullptr ? nullptr : static_cast<const std::byte*>(data) + bytes;
}

void upload(const MatrixItem& item, Uploader& uploader) {
  const MatrixView& view = *item.view;
  const RowBytes bytes = row_bytes(view.format, view.columns);
  const size_t row_total = bytes.data + bytes.scales + bytes.minima;
  const auto rows_of_piece = static_cast<int64_t>(kStagingBytes / row_total);
  ensure(rows_of_piece > 0, "a row of weights that is too long");
  for (int64_t first = 0; first < view.rows; first += rows_of_piece) {
    const int64_t count = std::min(rows_of_piece, view.rows - first);
    const auto rows = static_cast<size_t>(count);
    const size_t scales_at = rows * bytes.data;
    const size_t minima_at = scales_at + rows * bytes.scales;
    std::byte* piece = uploader.next_piece();
    parallel_for(count, kernels::kPanelRows, [&](int64_t i) {
      const auto at = static_cast<size_t>(i);
      write_row(*item.source,
                first + i,
                view.format,
                {.data = piece + at * bytes.data,
                 .scales = piece + scales_at + at * bytes.scales,
                 .minima = piece + minima_at + at * bytes.minima});
    });
    const auto before = static_cast<size_t>(first);
    const void* scales = view.format == MatrixFormat::fp8
                             ? static_cast<const void*>(view.scales)
                             : static_cast<const void*>(view.group_scales);
    uploader.copy(advance(view.data, before * bytes.data), 0, rows * bytes.data);
    uploader.copy(advance(scales, before * bytes.scales), scales_at, rows * bytes.scales);
    uploader.copy(
        advance(view.group_minima, before * bytes.minima), minima_at, rows * bytes.minima);
    uploader.finish_piece();
  }
}

void upload(const VectorItem& item, Uploader& uploader) {
  const std::span<const std::byte> source = std::as_bytes(item.source);
  for (size_t first = 0; first < source.size(); first += kStagingBytes) {
    const size_t count = std::min(kStagingBytes, source.size() - first);
    std::memcpy(uploader.next_piece(), source.data() + first, count);
    uploader.copy(advance(*item.view, first), 0, count);
    uploader.finish_piece();
  }
}

void generate(const MatrixView& view, uint64_t seed, cudaStream_t stream) {
  const RandomMatrixParams params{.format = view.format,
                                  .data = const_cast<void*>(view.data),
                                  .scales = const_cast<float*>(view.scales),
                                  .group_scales = const_cast<__half*>(view.group_scales),
                                  .group_minima = const_cast<__half*>(view.group_minima),
                                  .rows = view.rows,
                                  .columns = view.columns,
                                  .seed = seed,
                                  // Uniform in [-a, a] has variance a^2 / 3.
                                  .limit = std::sqrt(3.0f / static_cast<float>(view.columns))};
  check(fill_random(params, stream), "generating weights");
}

void take_memory(const WeightList& list, DeviceWeights& weights) {
  weights.memory = DeviceBuffer(total_bytes(list), "weights");
  place(list, weights.memory.data(), weights);
}

}  // namespace

size_t device_weight_bytes(const ModelSpec& spec,
                           const model::DecoderWeights& weights,
                           MatrixFormat format) {
  DeviceWeights shapes;
  return total_bytes(list_weights(spec, weights, format, shapes));
}

DeviceWeights upload_weights(const ModelSpec& spec,
                             const model::DecoderWeights& weights,
                             MatrixFormat format) {
  DeviceWeights device;
  const WeightList list = list_weights(spec, weights, format, device);
  take_memory(list, device);
  Uploader uploader;
  for (const MatrixItem& item : list.matrices) upload(item, uploader);
  for (const VectorItem& item : list.vectors) upload(item, uploader);
  uploader.finish();
  return device;
}

DeviceWeights random_weights(const ModelSpec& spec, uint64_t seed, MatrixFormat format) {
  DeviceWeights device;
  const WeightList list = list_shapes(spec, format, device);
  take_memory(list, device);
  const Stream stream;
  for (const MatrixItem& item : list.matrices) {
    generate(*item.view, seed++ * 0x9e3779b97f4a7c15u, stream.get());
  }
  for (const VectorItem& item : list.vectors) {
    check(fill_constant(const_cast<float*>(*item.view), item.count, item.value, stream.get()),
          "generating weights");
  }
  stream.synchronize();
  return device;
}

}  // namespace dms::cuda
