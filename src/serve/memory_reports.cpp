#include "serve/memory_reports.h"

#include <algorithm>
#include <string_view>
#include <utility>

#include "base/utf8.h"

namespace dms::serve {
namespace {

int32_t all_heads(const KvStats& kv) {
  size_t heads = 0;
  for (const std::vector<int64_t>& layer : kv.held_per_head) heads += layer.size();
  return static_cast<int32_t>(heads);
}

/// Bytes at the end that may become a character with those to come.
size_t open_bytes(std::string_view text) {
  constexpr size_t kMost = 3;
  for (size_t count = 1; count <= std::min(kMost, text.size()); ++count) {
    const auto byte = static_cast<unsigned char>(text[text.size() - count]);
    if ((byte & 0xC0U) == 0x80U) continue;
    const size_t wanted = byte >= 0xF0 ? 4 : byte >= 0xE0 ? 3 : byte >= 0xC0 ? 2 : 1;
    return wanted > count ? count : 0;
  }
  return 0;
}

}  // namespace

MemoryReports::MemoryReports(Tokenizer tokenizer, int64_t choices, const ReportLimits& limits)
    : texts_(std::move(tokenizer), false), limits_(limits), told_(static_cast<size_t>(choices)) {}

OutJson MemoryReports::counts_json(Told& told, const MemoryReport& report) const {
  const std::vector<int32_t>& now = report.held_heads;
  told.counts.resize(now.size(), all_heads(report.kv));
  const auto first = std::ranges::mismatch(told.counts, now).in1 - told.counts.begin();
  int64_t end = std::ssize(now);
  while (end > first &&
         told.counts[static_cast<size_t>(end - 1)] == now[static_cast<size_t>(end - 1)]) {
    --end;
  }
  end = std::min(end, first + std::min(limits_.tokens, std::ssize(now) - first));
  const std::vector<int32_t> fresh(now.begin() + first, now.begin() + end);
  std::ranges::copy(fresh, told.counts.begin() + first);
  return {{"first", first}, {"counts", fresh}};
}

OutJson MemoryReports::texts_json(Told& told, const MemoryReport& report) const {
  const int64_t first = told.texts;
  OutJson texts = OutJson::array();
  size_t bytes = 0;
  while (told.texts < std::ssize(report.ids) && told.texts - first < limits_.tokens &&
         bytes < limits_.text_bytes) {
    std::string text = std::exchange(told.pending, {}) +
                       texts_.bytes(report.ids[static_cast<size_t>(told.texts++)]);
    const size_t whole = text.size() - open_bytes(text);
    told.pending = text.substr(whole);
    text.resize(whole);
    bytes += whole;
    texts.push_back(to_well_formed(text));
  }
  return {{"first", first}, {"texts", std::move(texts)}};
}

OutJson MemoryReports::next(int64_t choice, const MemoryReport& report) {
  Told& told = told_[static_cast<size_t>(choice)];
  return {{"tokens", std::ssize(report.ids)},
          {"held_tokens", report.kv.held_tokens},
          {"dense_tokens", report.kv.dense_tokens},
          {"bytes", report.held_bytes},
          {"dense_bytes", report.kv.dense_bytes},
          {"held_per_head", report.kv.held_per_head},
          {"held_heads", counts_json(told, report)},
          {"texts", texts_json(told, report)}};
}

}  // namespace dms::serve
