// KeyDiff (Park et al. 2025): keys that differ from the others stay. A key's score is its distance,
// by the angle, from the mean of all keys' directions. As NVIDIA/kvpress's KeyDiffPress.

#include <algorithm>
#include <cmath>

#include "base/euclidean_norm.h"
#include "policy/score.h"

namespace dms::policy {
namespace {

/// A vector shorter than this has no direction.
constexpr double kShortest = 1e-12;
constexpr double kSmallestProduct = 1e-8;  // of the lengths that a cosine is divided by

class Keydiff final : public Score {
 public:
  cache::PolicyNeeds needs() const override { return {.contents = true}; }

  std::vector<float> measure(const cache::HeadContents& head,
                             const cache::PolicyState*) const override {
    const auto width = static_cast<size_t>(head.head_dim);
    const auto count = head.positions.size();
    std::vector<double> lengths;
    std::vector<double> anchor(width, 0.0);
    for (size_t i = 0; i < count; ++i) {
      const auto key = head.keys.subspan(i * width, width);
      lengths.push_back(euclidean_norm(key));
      const double share = 1.0 / (std::max(lengths.back(), kShortest) * static_cast<double>(count));
      for (size_t c = 0; c < width; ++c) anchor[c] += share * static_cast<double>(key[c]);
    }
    double anchor_length = 0;
    for (const double value : anchor) anchor_length += value * value;
    anchor_length = std::sqrt(anchor_length);
    std::vector<float> scores;
    for (size_t i = 0; i < count; ++i) {
      const auto key = head.keys.subspan(i * width, width);
      double product = 0;
      for (size_t c = 0; c < width; ++c) product += anchor[c] * static_cast<double>(key[c]);
      const double lengths_product = std::max(lengths[i] * anchor_length, kSmallestProduct);
      scores.push_back(static_cast<float>(-product / lengths_product));
    }
    return scores;
  }

  Scores rate(const cache::LayerEntries& layer) const override { return measured(layer); }
};

}  // namespace

ScorePtr keydiff_score(ArgReader&, const PolicyRequest&) { return std::make_unique<Keydiff>(); }

PolicyPtr make_keydiff(const PolicyRequest& request) {
  return make_ranking("keydiff", request, keydiff_score);
}

}  // namespace dms::policy
