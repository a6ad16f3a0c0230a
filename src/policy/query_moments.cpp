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

QueryMoments::QueryMoments(int64_t q_heads, int64_t head_dim)
    : q_heads_(q_heads),
      head_dim_(head_dim),
      sums_(static_cast<size_t>(q_heads * head_dim)),
      products_(static_cast<size_t>(q_heads * products())) {}

void QueryMoments::restart() {
  count_ = 0;
  std::ranges::fill(sums_, 0.0);
  std::ranges::fill(products_, 0.0);
}

void QueryMoments::write(ByteWriter& out) const {
  out.value(count_);
  out.list(std::span(sums_));
  out.list(std::span(products_));
}

void QueryMoments::read(ByteReader& in) {
  const size_t sums = sums_.size();
  const size_t products = products_.size();
  count_ = in.number(0, kMaxTokens, "the number of queries");
  sums_ = in.list<double>();
  products_ = in.list<double>();
  in.require(sums_.size() == sums && products_.size() == products,
             "sums of queries of another shape");
}

int64_t QueryMoments::bytes() const {
  return static_cast<int64_t>((sums_.size() + products_.size()) * sizeof(double));
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
  const auto* sums = sums_.data() + q_head * head_dim_;
  std::vector<double> mean(sums, sums + head_dim_);
  for (double& value : mean) value /= static_cast<double>(std::max<int64_t>(count_, 1));
  return mean;
}

std::vector<double> QueryMoments::covariance(int64_t q_head) const {
  const auto width = static_cast<size_t>(head_dim_);
  const std::vector<double> mean = this->mean(q_head);
  const double* row = products_.data() + q_head * products();
  std::vector<double> covariance(width * width);
  for (size_t a = 0; a < width; row += ++a) {
    for (size_t b = 0; b <= a; ++b) {
      const double product = row[b] / static_cast<double>(std::max<int64_t>(count_, 1));
      covariance[a * width + b] = product - mean[a] * mean[b];
      covariance[b * width + a] = covariance[a * width + b];
    }
  }
  return covariance;
}

}  // namespace dms::policy
