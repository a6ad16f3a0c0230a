#include "policy/frequency_means.h"

#include "policy/rotation.h"

namespace dms::policy {
namespace {

constexpr int64_t kMaxTokens = int64_t{1} << 40;

/// Of the `width` sums of one head.
std::vector<double> mean_of(std::span<const double> sums,
                            int64_t head,
                            int64_t width,
                            int64_t count) {
  if (count == 0) return std::vector<double>(static_cast<size_t>(width));
  const auto of_head = sums.subspan(static_cast<size_t>(head * width), static_cast<size_t>(width));
  std::vector<double> mean(of_head.begin(), of_head.end());
  for (double& value : mean) value /= static_cast<double>(count);
  return mean;
}

}  // namespace

void FrequencyMeans::restart() { *this = FrequencyMeans(q_heads_, head_dim_, pairs_); }

void FrequencyMeans::write(ByteWriter& out) const {
  out.value(count_);
  out.list(std::span(sums_));
  out.list(std::span(sizes_));
}

void FrequencyMeans::read(ByteReader& in) {
  count_ = in.number(0, kMaxTokens, "the number of queries");
  sums_ = in.list<double>();
  sizes_ = in.list<double>();
  const bool is_empty = count_ == 0 && sums_.empty() && sizes_.empty();
  const bool is_whole =
      std::ssize(sums_) == q_heads_ * head_dim_ && std::ssize(sizes_) == q_heads_ * pairs_;
  in.require(is_empty || is_whole, "sums of queries of another shape");
}

int64_t FrequencyMeans::bytes() const {
  return static_cast<int64_t>((sums_.capacity() + sizes_.capacity()) * sizeof(double));
}

int64_t FrequencyMeans::most_bytes(int64_t) const {
  return q_heads_ * (head_dim_ + pairs_) * static_cast<int64_t>(sizeof(double));
}

void FrequencyMeans::add(const cache::SeenTokens& seen, const Rotation& rotation) {
  sums_.resize(static_cast<size_t>(q_heads_ * head_dim_));
  sizes_.resize(static_cast<size_t>(q_heads_ * pairs_));
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
  return mean_of(sums_, q_head, head_dim_, count_);
}

std::vector<double> FrequencyMeans::mean_sizes(int64_t q_head) const {
  return mean_of(sizes_, q_head, pairs_, count_);
}

}  // namespace dms::policy
