// R-KV (Cai et al. 2025): for long generation. What the last queries attend stays, and of entries
// whose keys say the same only the last. As its authors' code, which softens the attention of a
// group to its largest and looks at no more than cosines of keys.

#include <algorithm>
#include <array>
#include <cmath>
#include <limits>

#include "base/euclidean_norm.h"
#include "policy/score.h"
#include "policy/weights.h"

namespace dms::policy {
namespace {

constexpr float kSame = 0.5f;       // keys with a larger cosine say the same
constexpr double kShortest = 1e-8;  // what is added to a key's length

/// Keys of length one. Of cosines only sums are needed, which a sum of directions has, and which is
/// the last above a threshold, which is looked for from the end: mostly it is not far.
class Directions {
 public:
  explicit Directions(const cache::HeadContents& head)
      : count_(head.positions.size()),
        width_(static_cast<size_t>(head.head_dim)),
        rows_(head.keys.size()),
        blocks_((count_ + kBlock - 1) / kBlock * kBlock * width_) {
    for (size_t i = 0; i < count_; ++i) {
      const auto key = head.keys.subspan(i * width_, width_);
      const auto scale = static_cast<float>(1.0 / (euclidean_norm(key) + kShortest));
      for (size_t c = 0; c < width_; ++c) {
        const float x = scale * key[c];
        rows_[i * width_ + c] = x;
        blocks_[(i / kBlock * width_ + c) * kBlock + i % kBlock] = x;
      }
    }
  }

  /// For each key, of its cosines with the others.
  std::vector<double> cosine_sums() const {
    std::vector<double> total(width_, 0.0);
    for (size_t i = 0; i < rows_.size(); ++i) total[i % width_] += static_cast<double>(rows_[i]);
    std::vector<double> sums;
    for (size_t i = 0; i < count_; ++i) {
      const std::span<const float> own = row(i);
      double sum = 0;
      for (size_t c = 0; c < width_; ++c) {
        const auto x = static_cast<double>(own[c]);
        sum += x * (total[c] - x);
      }
      sums.push_back(sum);
    }
    return sums;
  }

  struct Alike {
    size_t entry = 0;
    float cosine = 0.0f;
  };
  /// The last of the others that says the same as key `i`; else the first of all.
  Alike last_alike(size_t i) const {
    std::array<float, kBlock> cosines{};
    for (size_t block = (count_ + kBlock - 1) / kBlock; block-- > 0;) {
      cosines = cosines_with(i, block);
      for (size_t j = std::min(kBlock, count_ - block * kBlock); j-- > 0;) {
        const size_t entry = block * kBlock + j;
        if (entry != i && cosines[j] > kSame) return {entry, cosines[j]};
      }
    }
    return {0, i == 0 ? 0.0f : cosines[0]};
  }

 private:
  static constexpr size_t kBlock = 32;

  std::span<const float> row(size_t i) const {
    return std::span(rows_).subspan(i * width_, width_);
  }

  /// Of the keys of a block, each summed in the channels' order.
  std::array<float, kBlock> cosines_with(size_t i, size_t block) const {
    std::array<float, kBlock> cosines{};
    const float* channel = blocks_.data() + block * kBlock * width_;
    for (const float own : row(i)) {
      for (size_t j = 0; j < kBlock; ++j) cosines[j] += own * channel[j];
      channel += kBlock;
    }
    return cosines;
  }

  size_t count_;
  size_t width_;
  std::vector<float> rows_;    // [entries, head_dim]
  std::vector<float> blocks_;  // [blocks, head_dim, kBlock]; beyond the entries zeros
};

class Rkv final : public Score {
 public:
  Rkv(int64_t window_size, int64_t kernel_size, double mix_lambda)
      : window_size_(window_size), kernel_size_(kernel_size), mix_lambda_(mix_lambda) {}

  cache::PolicyNeeds needs() const override {
    return {.last_queries = window_size_, .contents = true};
  }
  int64_t newest() const override { return window_size_; }

  std::vector<float> measure(const cache::HeadContents& head,
                             const cache::PolicyState*) const override {
    const size_t count = head.positions.size();
    const size_t rated = count - std::min(count, static_cast<size_t>(window_size_));
    const std::vector<double> attention = pooled(attended(head, rated));
    const std::vector<double> redundancy = redundant(head);
    std::vector<float> scores(count, kBest);
    for (size_t i = 0; i < rated; ++i) {
      scores[i] =
          static_cast<float>(mix_lambda_ * attention[i] - (1.0 - mix_lambda_) * redundancy[i]);
    }
    return scores;
  }

  Scores rate(const cache::LayerEntries& layer) const override { return measured(layer); }

 private:
  /// Of one of the group's queries with entry `i`, as the model scores it.
  static double score(const cache::HeadContents& head,
                      std::span<const float> query,
                      size_t member,
                      size_t i) {
    double product = 0;
    for (size_t c = 0; c < query.size(); ++c) {
      product += static_cast<double>(query[c]) * head.keys[i * query.size() + c];
    }
    if (!head.biases.empty()) product += head.biases[member * head.positions.size() + i];
    product *= head.attention_scale;
    const double cap = head.attention_soft_cap;
    return cap > 0 ? cap * std::tanh(product / cap) : product;
  }

  /// Of the first `rated` entries: softmax of the group's largest scores, its mean over queries.
  static std::vector<double> attended(const cache::HeadContents& head, size_t rated) {
    const auto width = static_cast<size_t>(head.head_dim);
    std::vector<double> mean(rated, 0.0);
    std::vector<double> weights(rated);
    for (const std::span<const float> queries : head.queries) {
      for (size_t i = 0; i < rated; ++i) {
        weights[i] = -std::numeric_limits<double>::infinity();
        for (size_t member = 0; member * width < queries.size(); ++member) {
          weights[i] =
              std::max(weights[i], score(head, queries.subspan(member * width, width), member, i));
        }
      }
      softmax(weights);
      for (size_t i = 0; i < rated; ++i) {
        mean[i] += weights[i] / static_cast<double>(head.queries.size());
      }
    }
    return mean;
  }

  /// The largest of kernel_size neighbours.
  std::vector<double> pooled(const std::vector<double>& x) const {
    const int64_t reach = kernel_size_ / 2;
    std::vector<double> result;
    for (int64_t i = 0; i < std::ssize(x); ++i) {
      const auto begin = x.begin() + std::max<int64_t>(i - reach, 0);
      const auto end = x.begin() + std::min<int64_t>(i + reach + 1, std::ssize(x));
      result.push_back(*std::max_element(begin, end));
    }
    return result;
  }

  /// Softmax of the mean cosine of each key with all others. The last of those that say the same as
  /// a key is not held against it; where none does, the first is not.
  static std::vector<double> redundant(const cache::HeadContents& head) {
    const Directions directions(head);
    std::vector<double> sums = directions.cosine_sums();
    for (size_t i = 0; i < sums.size(); ++i) {
      const auto [last, cosine] = directions.last_alike(i);
      sums[last] -= static_cast<double>(cosine);
    }
    for (double& sum : sums) sum /= static_cast<double>(sums.size());
    softmax(sums);
    return sums;
  }

  int64_t window_size_;
  int64_t kernel_size_;
  double mix_lambda_;
};

}  // namespace

ScorePtr rkv_score(ArgReader& args, const PolicyRequest&) {
  constexpr int64_t kMaxQueries = 4096;
  constexpr int64_t kMaxKernel = 1025;
  const int64_t window_size = args.integer("window_size", 8, 1, kMaxQueries);
  const int64_t kernel_size = args.odd_integer("kernel_size", 7, kMaxKernel);
  const double mix_lambda = args.number("mix_lambda", 0.1, 0.0, 1.0);
  return std::make_unique<Rkv>(window_size, kernel_size, mix_lambda);
}

PolicyPtr make_rkv(const PolicyRequest& request) {
  constexpr int64_t kDefaultBudget = 1024;
  return make_ranking("rkv", request, rkv_score, {.entries = kDefaultBudget});
}

}  // namespace dms::policy
