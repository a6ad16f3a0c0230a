// Vector quantisation: k-means over keys and values, each in units of its own mean square, so that
// both count alike. Points that stand for several tokens weigh as much. It begins at points that
// lie evenly in time, so that from one plan to the next most centroids stay what they are and the
// nearest join.

#include <algorithm>
#include <numeric>
#include <utility>
#include <vector>

#include <Eigen/Core>

#include "policy/adms/compressor.h"

namespace dms::policy {
namespace {

using Rows = Eigen::Matrix<float, Eigen::Dynamic, Eigen::Dynamic, Eigen::RowMajor>;

constexpr int kRounds = 4;

/// [points, 2 * head_dim]
Rows features_of(const Points& points) {
  const auto count = static_cast<Eigen::Index>(points.count());
  const auto width = static_cast<Eigen::Index>(points.head_dim);
  Rows features(count, 2 * width);
  features.leftCols(width) = Eigen::Map<const Rows>(points.keys.data(), count, width);
  features.rightCols(width) = Eigen::Map<const Rows>(points.values.data(), count, width);
  for (auto side : {features.leftCols(width), features.rightCols(width)}) {
    const float square = side.squaredNorm();
    if (square > 0) side *= std::sqrt(static_cast<float>(side.size()) / square);
  }
  return features;
}

/// |x - c|^2 of points and centroids, without |x|^2, which is the same for all centroids: for those
/// centroids `at` that are new to `distances`, [points, clusters].
void measure(const Rows& features,
             const Rows& centroids,
             const std::vector<Eigen::Index>& at,
             Rows& distances) {
  const Rows fresh = centroids(at, Eigen::all);
  Rows columns = -2.0f * features * fresh.transpose();
  columns.rowwise() += fresh.rowwise().squaredNorm().transpose();
  distances(Eigen::all, at) = columns;
}

/// The nearest centroid of each point; of equally near ones the first.
std::vector<int32_t> nearest(const Rows& distances) {
  std::vector<int32_t> group_of;
  for (Eigen::Index i = 0; i < distances.rows(); ++i) {
    Eigen::Index best = 0;
    distances.row(i).minCoeff(&best);
    group_of.push_back(static_cast<int32_t>(best));
  }
  return group_of;
}

/// To weighted means; one without points stays where it is. Returns those that moved: most stand at
/// their only point.
std::vector<Eigen::Index> move_centroids(const Rows& features,
                                         const Points& points,
                                         std::span<const int32_t> group_of,
                                         Rows& centroids) {
  Rows sums = Rows::Zero(centroids.rows(), centroids.cols());
  std::vector<float> weights(static_cast<size_t>(centroids.rows()));
  std::vector<int64_t> members(weights.size());
  for (size_t i = 0; i < group_of.size(); ++i) {
    const auto group = static_cast<size_t>(group_of[i]);
    const auto row = features.row(static_cast<Eigen::Index>(i));
    const auto weight = static_cast<float>(points.counts[i]);
    sums.row(group_of[i]) += weight * row;
    weights[group] += weight;
    ++members[group];
  }
  for (size_t i = 0; i < group_of.size(); ++i) {  // the mean of one is that one, without rounding
    const auto group = static_cast<size_t>(group_of[i]);
    if (members[group] != 1) continue;
    sums.row(group_of[i]) = features.row(static_cast<Eigen::Index>(i));
    weights[group] = 1.0f;
  }
  std::vector<Eigen::Index> moved;
  for (Eigen::Index group = 0; group < centroids.rows(); ++group) {
    const float weight = weights[static_cast<size_t>(group)];
    if (weight == 0) continue;
    sums.row(group) /= weight;
    if (sums.row(group) == centroids.row(group)) continue;
    centroids.row(group) = sums.row(group);
    moved.push_back(group);
  }
  return moved;
}

std::vector<int32_t> k_means(const Points& points, int64_t clusters) {
  const Rows features = features_of(points);
  Rows centroids(clusters, features.cols());
  for (int64_t i = 0; i < clusters; ++i) {
    centroids.row(i) = features.row(i * points.count() / clusters);
  }
  std::vector<Eigen::Index> moved(static_cast<size_t>(clusters));
  std::iota(moved.begin(), moved.end(), Eigen::Index{0});
  Rows distances(features.rows(), clusters);
  std::vector<int32_t> group_of;
  for (int round = 0; round < kRounds && !moved.empty(); ++round) {
    measure(features, centroids, moved, distances);
    group_of = nearest(distances);
    if (round + 1 < kRounds) moved = move_centroids(features, points, group_of, centroids);
  }
  return group_of;
}

class Vq final : public Compressor {
 public:
  Vq(Merging merging, int64_t clusters) : merging_(std::move(merging)), clusters_(clusters) {}

  cache::Digest compress(CompressRequest request) const override {
    cache::Digest digest;
    digest.dropped = request.before.dropped;
    const Points points = merging_.points(request.leaving, request.before.merged);
    const int64_t clusters = std::min(most_merged(request.budget), points.count());
    if (clusters <= 0) {
      digest.dropped += points.tokens();
      return digest;
    }
    digest.merged = merging_.merge(points, k_means(points, clusters), clusters, request.middle);
    return digest;
  }

  int64_t most_merged(int64_t budget) const override { return std::min(clusters_, budget); }

 private:
  Merging merging_;
  int64_t clusters_;
};

}  // namespace

CompressorPtr vq_compressor(Merging merging, int64_t clusters) {
  return std::make_unique<Vq>(std::move(merging), clusters);
}

}  // namespace dms::policy
