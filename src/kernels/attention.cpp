#include "kernels/attention.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <vector>

#include "base/aligned_buffer.h"
#include "base/check.h"
#include "kernels/attention_table.h"
#include "kernels/isa.h"
#include "kernels/kv_format_table.h"
#include "kernels/kv_rotation.h"

namespace dms::kernels {
namespace {

constexpr float kNoScore = -std::numeric_limits<float>::infinity();

/// At least attend_workspace_bytes(), kept by each thread, so that only the first calls allocate.
std::byte* workspace(int64_t rows, int64_t head_dim_padded) {
  thread_local AlignedBuffer buffer;
  const int64_t bytes = attend_workspace_bytes(rows, head_dim_padded);
  if (buffer.bytes() < bytes) buffer = AlignedBuffer(bytes);
  return buffer.data();
}

void check_call(const AttentionArgs& args, const AttentionPartial& partial, int64_t stride) {
  const KvPageLayout& layout = args.layout;
  const int64_t rows = args.positions * args.group;
  ensure(layout.head_dim > 0 && args.group > 0, "an empty head or group");
  ensure(args.positions > 0 && args.positions <= kMaxTilePositions, "a tile of wrong height");
  ensure(args.scale > 0, "a scale that is not positive");
  ensure(args.soft_cap >= 0, "a negative cap");
  const int64_t q_floats = (args.positions - 1) * stride + args.group * layout.head_dim;
  ensure(std::ssize(args.q) >= q_floats, "fewer queries than positions");
  ensure(args.far_biases.empty() || std::ssize(args.far_biases) == rows, "a far bias for each row");
  ensure(args.q_far.empty() || std::ssize(args.q_far) >= q_floats, "fewer far queries");
  ensure(std::min(std::ssize(partial.max), std::ssize(partial.sum)) >= rows, "no room for sums");
  ensure(std::ssize(partial.output) >= rows * layout.head_dim, "no room for the output");
}

/// weights[i] = what partial i counts towards the normalised output of `row`.
void merge_weights(std::span<const AttentionPartial> partials,
                   size_t row,
                   std::span<float> weights) {
  float max = kNoScore;
  for (const AttentionPartial& part : partials) max = std::max(max, part.max[row]);
  float sum = 0;
  for (size_t i = 0; i < partials.size(); ++i) {
    const bool is_empty = partials[i].max[row] == kNoScore;
    weights[i] = is_empty ? 0.0f : std::exp(partials[i].max[row] - max);
    sum += is_empty ? 0.0f : weights[i] * partials[i].sum[row];
  }
  for (float& weight : weights) weight = sum > 0 ? weight / sum : 0.0f;
}

void add_weighted(std::span<const float> in, float weight, bool is_first, std::span<float> out) {
  const float* source = in.data();
  float* target = out.data();
  const size_t count = out.size();
  if (is_first) {
    for (size_t c = 0; c < count; ++c) target[c] = source[c] * weight;
  } else {
    for (size_t c = 0; c < count; ++c) target[c] += source[c] * weight;
  }
}

/// Rotated copies of the tile's queries, for keys that are.
class RotatedQueries {
 public:
  RotatedQueries(const AttentionArgs& args, int64_t stride) {
    thread_local std::vector<float> near;
    thread_local std::vector<float> far;
    near_ = rotate(args, args.q, stride, near);
    far_ = args.q_far.empty() ? near_ : rotate(args, args.q_far, stride, far);
  }

  const float* near() const { return near_; }
  const float* far() const { return far_; }

 private:
  /// [positions, group, head_dim], without gaps.
  static const float* rotate(const AttentionArgs& args,
                             std::span<const float> q,
                             int64_t stride,
                             std::vector<float>& out) {
    const int64_t head_dim = args.layout.head_dim;
    const int64_t row = args.group * head_dim;
    out.resize(static_cast<size_t>(args.positions * row));
    for (int64_t position = 0; position < args.positions; ++position) {
      float* target = out.data() + position * row;
      std::copy_n(q.data() + position * stride, row, target);
      for (int64_t head = 0; head < args.group; ++head) {
        rotate_head(target + head * head_dim, head_dim);
      }
    }
    return out.data();
  }

  const float* near_ = nullptr;
  const float* far_ = nullptr;
};

}  // namespace

const AttentionTable& attention_table() {
  switch (active_isa()) {
    case Isa::avx512:
      return kAttentionAvx512;
    case Isa::avx2:
      return kAttentionAvx2;
    case Isa::generic:
      break;
  }
  return kAttentionGeneric;
}

void attend(const AttentionArgs& args, AttentionPartial partial) {
  const KvPageLayout& layout = args.layout;
  const int64_t stride =
      args.q_position_stride == 0 ? args.group * layout.head_dim : args.q_position_stride;
  check_call(args, partial, stride);
  AttendCall call{
      .q = args.q.data(),
      .q_far = args.q_far.empty() ? args.q.data() : args.q_far.data(),
      .far_biases = args.far_biases.empty() ? nullptr : args.far_biases.data(),
      .q_position_stride = stride,
      .pages = args.pages.data(),
      .page_count = std::ssize(args.pages),
      .keys = side_of(layout, Side::keys),
      .values = side_of(layout, Side::values),
      .positions = args.positions,
      .group = args.group,
      .head_dim = layout.head_dim,
      .head_dim_padded = layout.head_dim_padded(),
      .scale = args.scale,
      .soft_cap = args.soft_cap,
      .max = partial.max.data(),
      .sum = partial.sum.data(),
      .output = partial.output.data(),
      .workspace = workspace(args.positions * args.group, layout.head_dim_padded()),
  };
  if (format_row(layout.format.keys).is_rotated) {
    const RotatedQueries rotated(args, stride);
    call.q = rotated.near();
    call.q_far = rotated.far();
    call.q_position_stride = args.group * layout.head_dim;
  }
  const AttentionTable& table = attention_table();
  (layout.format == KvFormat::f32 ? table.attend_f32 : table.attend_bf16)(call);
  if (!format_row(layout.format.values).is_rotated) return;
  for (int64_t row = 0; row < args.positions * args.group; ++row) {
    turn_head_back(call.output + row * layout.head_dim, layout.head_dim);
  }
}

void merge_partials(std::span<const AttentionPartial> partials,
                    int64_t positions,
                    int64_t group,
                    int64_t head_dim,
                    std::span<float> out,
                    int64_t out_position_stride) {
  ensure(std::ssize(out) >= (positions - 1) * out_position_stride + group * head_dim,
         "no room for the merged output");
  thread_local std::vector<float> weights;
  weights.resize(partials.size());
  for (int64_t row = 0; row < positions * group; ++row) {
    merge_weights(partials, static_cast<size_t>(row), weights);
    const int64_t offset = row / group * out_position_stride + row % group * head_dim;
    const auto target = out.subspan(static_cast<size_t>(offset), static_cast<size_t>(head_dim));
    if (partials.empty()) std::fill(target.begin(), target.end(), 0.0f);
    for (size_t i = 0; i < partials.size(); ++i) {
      const auto source = partials[i].output.subspan(static_cast<size_t>(row * head_dim),
                                                     static_cast<size_t>(head_dim));
      add_weighted(source, weights[i], i == 0, target);
    }
  }
}

}  // namespace dms::kernels
