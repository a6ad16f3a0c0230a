#include "policy/query_moments.h"

#include <algorithm>

#include "base/parallel.h"
#include "policy/rotation.h"

namespace dms::policy {
namespace {

/// Products that are worth another thread's attention.
constexpr int64_t kGrainProducts = 1 << 16;
constexpr int64_t kMaxTokens = int64_t{1} << 40;

}  // namespace

void QueryMoments::restart() { *this = QueryMoments(q_heads_, head_dim_); }

void QueryMoments::write(ByteWriter& out) const {
  out.value(count_);
  out.list(std::span(sums_));
  out.list(std::span(products_));
}

void QueryMoments::read(ByteReader& in) {
  count_ = in.number(0, kMaxTokens, "the number of queries");
  sums_ = in.list<double>();
  products_ = in.list<double>();
  const bool is_empty = count_ == 0 && sums_.empty() && products_.empty();
  const bool is_whole =
      std::ssize(sums_) == q_heads_ * head_dim_ && std::ssize(products_) == q_heads_ * products();
  in.require(is_empty || is_whole, "sums of queries of another shape");
}

int64_t QueryMoments::bytes() const {
  return static_cast<int64_t>((sums_.capacity() + products_.capacity()) * sizeof(double));
}

int64_t QueryMoments::most_bytes(int64_t) const {
  return q_heads_ * (head_dim_ + products()) * static_cast<int64_t>(sizeof(double));
}

void QueryMoments::add_to_head(int64_t head, std::span<const float> query) {
  const size_t width = query.size();
  double* sums = sums_.data() + head * head_dim_;
  double* row = products_.data() + head * products();
  for (size_t a = 0; a < width; row += ++a) {
    const double scale = query[a];
    sums[a] += scale;
    for (size_t b = 0; b <= a; ++b) row[b] += scale * static_cast<double>(query[b]);
  }
}

void QueryMoments::add(const cache::SeenTokens& seen, const Rotation& rotation, int64_t skipped) {
  const auto first = static_cast<size_t>(std::max<int64_t>(skipped - seen.first, 0));
  if (first >= seen.queries.size()) return;
  sums_.resize(static_cast<size_t>(q_heads_ * head_dim_));
  products_.resize(static_cast<size_t>(q_heads_ * products()));
  const TurnsBack turns(rotation, seen.first, std::ssize(seen.queries));
  const auto width = static_cast<size_t>(head_dim_);
  const int64_t work = static_cast<int64_t>(seen.queries.size() - first) * products();
  parallel_for(q_heads_, std::max<int64_t>(kGrainProducts / work, 1), [&](int64_t head) {
    std::vector<float> query(width);
    for (size_t i = first; i < seen.queries.size(); ++i) {
      turns.undo(i, seen.queries[i].subspan(static_cast<size_t>(head) * width, width), query);
      add_to_head(head, query);
    }
  });
  count_ += static_cast<int64_t>(seen.queries.size() - first);
}

std::vector<double> QueryMoments::mean(int64_t q_head) const {
  if (count_ == 0) return std::vector<double>(static_cast<size_t>(head_dim_));
  const auto* sums = sums_.data() + q_head * head_dim_;
  std::vector<double> mean(sums, sums + head_dim_);
  for (double& value : mean) value /= static_cast<double>(count_);
  return mean;
}

std::vector<double> QueryMoments::covariance(int64_t q_head) const {
  const auto width = static_cast<size_t>(head_dim_);
  std::vector<double> covariance(width * width);
  if (count_ == 0) return covariance;
  const std::vector<double> mean = this->mean(q_head);
  const double* row = products_.data() + q_head * products();
  for (size_t a = 0; a < width; row += ++a) {
    for (size_t b = 0; b <= a; ++b) {
      const double product = row[b] / static_cast<double>(count_);
      covariance[a * width + b] = product - mean[a] * mean[b];
      covariance[b * width + a] = covariance[a * width + b];
    }
  }
  return covariance;
}

}  // namespace dms::policy
