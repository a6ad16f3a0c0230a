#pragma once
// What an answer's cache holds, as JSON for those who watch it: the sums, how much each head holds,
// and of each token in how many heads it is held. A stream tells what it has not told before.

#include <algorithm>
#include <cstdint>
#include <limits>
#include <vector>

#include "base/whole_characters.h"
#include "dms/cache.h"
#include "serve/token_texts.h"

namespace dms::serve {

/// Of one report.
struct ReportLimits {
  int64_t tokens = std::numeric_limits<int64_t>::max();
  size_t text_bytes = std::numeric_limits<size_t>::max();

  /// So that a reader of a stream of `choices` keeps up with it; what a report leaves out the next
  /// ones tell.
  static constexpr ReportLimits of_stream(int64_t choices = 1) {
    return {.tokens = std::max(int64_t{4096} / choices, int64_t{1}),
            .text_bytes = std::max((size_t{1} << 17) / static_cast<size_t>(choices), size_t{1})};
  }
};

class MemoryReports {
 public:
  MemoryReports(Tokenizer tokenizer, int64_t choices, const ReportLimits& limits);

  /// {tokens, held_tokens, dense_tokens, bytes, dense_bytes, held_per_head: [layers][kv_heads],
  /// held_heads: {first, counts}, texts: {first, texts}}. Counts are those between the first and
  /// the last token whose count is another than told; a new token's is that of all heads until it
  /// is.
  OutJson next(int64_t choice, const MemoryReport& report);
  /// After the last report of a choice: what it left out.
  std::vector<OutJson> rest(int64_t choice, const MemoryReport& report);

 private:
  /// What was told of one choice.
  struct Told {
    std::vector<int32_t> counts{};
    int64_t counts_end = 0;  // of those of the last report
    int64_t texts = 0;
    WholeCharacters characters{};
  };

  OutJson report_json(Told& told, const MemoryReport& report, const ReportLimits& limits) const;
  OutJson texts_json(Told& told, const MemoryReport& report, const ReportLimits& limits) const;

  TokenTexts texts_;
  ReportLimits limits_;
  std::vector<Told> told_;
};

}  // namespace dms::serve
