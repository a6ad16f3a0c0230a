#include "serve/memory_reports.h"

#include <algorithm>
#include <utility>

namespace dms::serve {
namespace {

int32_t all_heads(const KvStats& kv) {
  size_t heads = 0;
  for (const std::vector<int64_t>& layer : kv.held_per_head) heads += layer.size();
  return static_cast<int32_t>(heads);
}

struct Span {
  int64_t first = 0;
  int64_t end = 0;
};

/// From the first of `within` that differs to the last one; empty, at its end, where none does.
Span difference(const std::vector<int32_t>& told, const std::vector<int32_t>& now, Span within) {
  auto [first, end] = within;
  const auto is_told = [&](int64_t i) {
    return told[static_cast<size_t>(i)] == now[static_cast<size_t>(i)];
  };
  while (first < end && is_told(first)) ++first;
  while (end > first && is_told(end - 1)) --end;
  return {first, end};
}

/// All that differ; where they are too many, those after the last report's end, and round.
Span next_counts(const std::vector<int32_t>& told,
                 const std::vector<int32_t>& now,
                 int64_t last_end,
                 int64_t most) {
  const Span all = difference(told, now, {0, std::ssize(now)});
  if (all.end - all.first <= most) return all;
  const int64_t begin = last_end < all.end ? std::max(last_end, all.first) : all.first;
  const int64_t first = difference(told, now, {begin, all.end}).first;
  return difference(told, now, {first, std::min(first + most, all.end)});
}

}  // namespace

MemoryReports::MemoryReports(Tokenizer tokenizer, int64_t choices, const ReportLimits& limits)
    : texts_(std::move(tokenizer), false), limits_(limits), told_(static_cast<size_t>(choices)) {}

OutJson MemoryReports::texts_json(Told& told,
                                  const MemoryReport& report,
                                  const ReportLimits& limits) const {
  const int64_t first = told.texts;
  OutJson texts = OutJson::array();
  size_t bytes = 0;
  while (told.texts < std::ssize(report.ids) && told.texts - first < limits.tokens &&
         bytes < limits.text_bytes) {
    const int32_t id = report.ids[static_cast<size_t>(told.texts++)];
    std::string text = told.characters.take(texts_.bytes(id));
    bytes += text.size();
    texts.push_back(std::move(text));
  }
  return {{"first", first}, {"texts", std::move(texts)}};
}

OutJson MemoryReports::report_json(Told& told,
                                   const MemoryReport& report,
                                   const ReportLimits& limits) const {
  const std::vector<int32_t>& now = report.held_heads;
  told.counts.resize(now.size(), all_heads(report.kv));
  const auto [first, end] = next_counts(told.counts, now, told.counts_end, limits.tokens);
  told.counts_end = end;
  const std::vector<int32_t> fresh(now.begin() + first, now.begin() + end);
  std::ranges::copy(fresh, told.counts.begin() + first);
  return {{"tokens", std::ssize(report.ids)},
          {"held_tokens", report.kv.held_tokens},
          {"dense_tokens", report.kv.dense_tokens},
          {"bytes", report.held_bytes},
          {"dense_bytes", report.kv.dense_bytes},
          {"held_per_head", report.kv.held_per_head},
          {"held_heads", {{"first", first}, {"counts", fresh}}},
          {"texts", texts_json(told, report, limits)}};
}

OutJson MemoryReports::next(int64_t choice, const MemoryReport& report) {
  return report_json(told_[static_cast<size_t>(choice)], report, limits_);
}

std::vector<OutJson> MemoryReports::rest(int64_t choice, const MemoryReport& report) {
  Told& told = told_[static_cast<size_t>(choice)];
  std::vector<OutJson> out;
  while (told.texts < std::ssize(report.ids) || told.counts != report.held_heads) {
    out.push_back(report_json(told, report, ReportLimits::of_stream()));
  }
  return out;
}

}  // namespace dms::serve
