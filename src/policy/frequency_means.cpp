#include "policy/frequency_means.h"

#include <algorithm>

#include "policy/rotation.h"

namespace dms::policy {
namespace {

constexpr int64_t kMaxTokens = int64_t{1} << 40;

std::vector<double> mean_of(std::span<const double> sums, int64_t count) {
  std::vector<double> mean(sums.begin(), sums.end());
  for (double& value : mean) value /= static_cast<double>(std::max<int64_t>(count, 1));
  return mean;
}

}  // namespace

FrequencyMeans::FrequencyMeans(int64_t q_heads, int64_t head_dim, int64_t pairs)
    : q_heads_(q_heads),
      head_dim_(head_dim),
      pairs_(pairs),
      sums_(static_cast<size_t>(q_heads * head_dim)),
      sizes_(static_cast<size_t>(q_heads * pairs)) {}

void FrequencyMeans::restart() {
  count_ = 0;
  std::ranges::fill(sums_, 0.0);
  std::ranges::fill(sizes_, 0.0);
}

void FrequencyMeans::write(ByteWriter& out) const {
  out.value(count_);
  out.list(std::span(sums_));
  out.list(std::span(sizes_));
}

void FrequencyMeans::read(ByteReader& in) {
  const size_t sums = sums_.size();
  const size_t sizes = sizes_.size();
  count_ = in.number(0, kMaxTokens, "the number of queries");
  sums_ = in.list<double>();
  sizes_ = in.list<double>();
  in.require(sums_.size() == sums && sizes_.size() == sizes, "sums of queries of another shape");
}

int64_t FrequencyMeans::bytes() const {
  return static_cast<int64_t>((sums_.size() + sizes_.size()) * sizeof(double));
}

void FrequencyMeans::add(const cache::SeenTokens& seen, const Rotation& rotation) {
  const TurnsBack turns(rotation, seen.first, std::ssize(seen.queries));
  const auto width = static_cast<size_t>(head_dim_);
  const size_t turning = rotation.frequencies.size();
  const auto pairs = static_cast<size_t>(pairs_);
  std::vector<float> query(width);
  for (size_t i = 0; i < seen.queries.size(); ++i) {
    for (size_t head = 0; head < static_cast<size_t>(q_heads_); ++head) {
      turns.undo(i, seen.queries[i].subspan(head * width, width), query);
      for (size_t c = 0; c < width; ++c) sums_[head * width + c] += static_cast<double>(query[c]);
      for (size_t f = 0; f < turning; ++f) {
        sizes_[head * pairs + f] += pair_size(query, f, turning);
      }
    }
  }
  count_ += std::ssize(seen.queries);
}

std::vector<double> FrequencyMeans::mean(int64_t q_head) const {
  return mean_of(std::span(sums_).subspan(static_cast<size_t>(q_head * head_dim_),
                                          static_cast<size_t>(head_dim_)),
                 count_);
}

std::vector<double> FrequencyMeans::mean_sizes(int64_t q_head) const {
  return mean_of(
      std::span(sizes_).subspan(static_cast<size_t>(q_head * pairs_), static_cast<size_t>(pairs_)),
      count_);
}

}  // namespace dms::policy
