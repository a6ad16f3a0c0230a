#include "kernels/attention_peaks.h"

#include <algorithm>
#include <cmath>
#include <vector>

#include "base/check.h"
#include "base/parallel.h"
#include "kernels/matmul.h"

namespace dms::kernels {
namespace {

/// Scores of so many rows are in memory at a time.
constexpr int64_t kTileRows = 128;
constexpr int64_t kGrainColumns = 256;

PackedMatrix pack_keys(const AttentionPeakArgs& args, int64_t entries) {
  PackedMatrix packed(WeightFormat::f32, entries, args.head_dim);
  parallel_for(packed.panels(), 4, [&](int64_t panel) {
    const int64_t first = panel * kPanelRows;
    const int64_t count = std::min(kPanelRows, entries - first);
    packed.set_panel_rows(panel,
                          0,
                          count,
                          args.keys.subspan(static_cast<size_t>(first * args.head_dim),
                                            static_cast<size_t>(count * args.head_dim)));
  });
  return packed;
}

/// log(sum(exp(score))).
float log_sum(std::span<const float> scores) {
  const float max = std::ranges::max(scores);
  float sum = 0.0f;
  for (const float score : scores) sum += std::exp(score - max);
  return max + std::log(sum);
}

class PeakTiles {
 public:
  PeakTiles(const AttentionPeakArgs& args, std::span<float> peaks)
      : args_(args),
        entries_(std::ssize(args.keys) / args.head_dim),
        count_(std::ssize(args.offsets)),
        places_(std::ssize(peaks) / args.group),
        keys_(pack_keys(args, entries_)),
        peaks_(peaks) {}

  void run() {
    const int64_t queries = std::max<int64_t>(kTileRows / args_.group, 1);
    for (int64_t first = 0; first < count_; first += queries) {
      run_tile(first, std::min(queries, count_ - first));
    }
  }

 private:
  std::span<float> row(int64_t row, int64_t count) {
    return std::span(scores_).subspan(static_cast<size_t>(row * entries_),
                                      static_cast<size_t>(count));
  }

  /// Makes scores of one head's products, in place.
  void finish_scores(int64_t head, std::span<float> products) const {
    const float* biases = args_.biases.empty() ? nullptr : args_.biases.data() + head * entries_;
    for (size_t i = 0; i < products.size(); ++i) {
      products[i] = args_.scale * (biases == nullptr ? products[i] : products[i] + biases[i]);
    }
    if (args_.soft_cap == 0.0f) return;
    for (float& score : products) score = args_.soft_cap * std::tanh(score / args_.soft_cap);
  }

  void run_tile(int64_t first, int64_t count) {
    const int64_t group = args_.group;
    const int64_t rows = count * group;
    scores_.resize(static_cast<size_t>(rows * entries_));
    matmul({.weights = keys_,
            .x = args_.queries.subspan(static_cast<size_t>(first * group * args_.head_dim),
                                       static_cast<size_t>(rows * args_.head_dim)),
            .out = scores_,
            .rows = rows,
            .out_columns = entries_,
            .compute = Compute::f32});
    // What is to be added to a score.
    std::vector<float> shifts(static_cast<size_t>(rows));
    parallel_for(rows, 4, [&](int64_t r) {
      const int64_t query = first + r / group;
      const std::span<float> scores = row(r, args_.shared + query + 1);
      finish_scores(r % group, scores);
      shifts[static_cast<size_t>(r)] = args_.offsets[static_cast<size_t>(query)] - log_sum(scores);
    });
    parallel_for(ceil_div(places_, kGrainColumns), 1, [&](int64_t block) {
      raise(block * kGrainColumns, std::min((block + 1) * kGrainColumns, places_), shifts);
    });
  }

  void raise(int64_t begin, int64_t end, std::span<const float> shifts) {
    for (int64_t r = 0; r < std::ssize(shifts); ++r) {
      const float* scores = scores_.data() + r * entries_ + args_.first;
      float* peaks = peaks_.data() + r % args_.group * places_;
      const float shift = shifts[static_cast<size_t>(r)];
      for (int64_t i = begin; i < end; ++i) {
        peaks[i] = std::max(peaks[i], scores[i] + shift);
      }
    }
  }

  const AttentionPeakArgs& args_;
  int64_t entries_;
  int64_t count_;
  int64_t places_;
  PackedMatrix keys_;
  std::span<float> peaks_;
  std::vector<float> scores_;
};

}  // namespace

void attention_peaks(const AttentionPeakArgs& args, std::span<float> peaks) {
  const int64_t count = std::ssize(args.offsets);
  ensure(std::ssize(args.queries) == count * args.group * args.head_dim, "a query for each head");
  ensure(std::ssize(args.keys) == (args.shared + count) * args.head_dim, "a key for each entry");
  ensure(args.biases.empty() || std::ssize(args.biases) == args.group * (args.shared + count),
         "a bias for each head and entry");
  ensure(std::ssize(peaks) % args.group == 0 &&
             args.first + std::ssize(peaks) / args.group <= args.shared,
         "peaks of shared entries");
  PeakTiles(args, peaks).run();
}

}  // namespace dms::kernels
