#include "eval/window_run.h"

#include <algorithm>
#include <utility>

#include "dms/policy_traits.h"
#include "eval/held_mean.h"

namespace dms::eval {
namespace {

class Runner {
 public:
  Runner(Session& session,
         std::span<const int32_t> ids,
         const ScoreWindow& window,
         bool holds_all,
         const OnRow& on_row,
         const std::function<void(int64_t)>& on_done)
      : session_(session),
        ids_(ids),
        window_(window),
        on_row_(on_row),
        on_done_(on_done),
        holds_all_(holds_all),
        held_(holds_all) {}

  WindowRun run(int64_t decode_tokens, int64_t cache_window);

 private:
  std::span<const int32_t> part(int64_t begin, int64_t end) const {
    return ids_.subspan(static_cast<size_t>(begin), static_cast<size_t>(end - begin));
  }
  /// The cache now, which counts for so many scored tokens, half of it as it was before.
  void see_memory(int64_t rows) {
    KvStats now = session_.kv();
    peak_bytes_ = std::max(peak_bytes_, now.allocated_bytes);
    if (rows > 0) held_.add(seen_, now, rows);
    seen_ = std::move(now);
  }
  /// All time that the session has computed; what is done with its logits is not in it.
  double computed_s() const { return session_.timings().prefill_s + session_.timings().decode_s; }
  void prefill(int64_t begin, int64_t end);
  /// `cache_window`: tokens before the last one that are held whatever their fate.
  std::vector<double> kept(int64_t cache_window) const;
  void decode(int64_t begin, int64_t end);
  void append_rest(int64_t begin, int64_t end, const std::function<void(bool is_last)>& on_pass);

  Session& session_;
  std::span<const int32_t> ids_;
  const ScoreWindow& window_;
  const OnRow& on_row_;
  const std::function<void(int64_t)>& on_done_;
  bool holds_all_;
  HeldMean held_;
  KvStats seen_{};
  int64_t peak_bytes_ = 0;
};

void Runner::prefill(int64_t begin, int64_t end) {
  const auto row = session_.append(part(begin, end), [&](int64_t done, int64_t) {
    see_memory(0);
    on_done_(begin - window_.begin + done);
  });
  see_memory(0);
  held_.add(seen_, seen_, 1);
  on_row_(end, row);
}

void Runner::decode(int64_t begin, int64_t end) {
  for (int64_t token = begin; token < end; ++token) {
    const auto row = session_.append(part(token, token + 1));
    see_memory(1);
    on_row_(token + 1, row);
    on_done_(token + 1 - window_.begin);
  }
}

void Runner::append_rest(int64_t begin,
                         int64_t end,
                         const std::function<void(bool is_last)>& on_pass) {
  if (begin >= end) return;
  int64_t next = begin;
  int64_t seen = begin;
  session_.append_scored(
      part(begin, end),
      [&](int64_t, std::span<const float> row) { on_row_(++next, row); },
      [&](int64_t done, int64_t) {
        see_memory(begin + done - seen);
        seen = begin + done;
        on_pass(seen == end);
        on_done_(seen - window_.begin);
      });
}

std::vector<double> Runner::kept(int64_t cache_window) const {
  const std::vector<uint8_t> evicted = session_.decisions();  // [layers, kv_heads, tokens]
  const int64_t tokens = session_.tokens();
  const int64_t heads = std::ssize(evicted) / std::max<int64_t>(tokens, 1);
  std::vector<double> shares(static_cast<size_t>(tokens), 0.0);
  for (int64_t head = 0; head < heads; ++head) {
    for (int64_t i = 0; i < tokens; ++i) {
      const bool is_held =
          evicted[static_cast<size_t>(head * tokens + i)] == 0 || tokens - 1 - i <= cache_window;
      shares[static_cast<size_t>(i)] += is_held ? 1.0 / static_cast<double>(heads) : 0.0;
    }
  }
  return shares;
}

WindowRun Runner::run(int64_t decode_tokens, int64_t cache_window) {
  const int64_t prompt_end = window_.first_scored;
  const int64_t last = window_.end - 1;  // what follows it is another window's
  const int64_t decode_end = std::min(prompt_end + decode_tokens, last);
  const bool has_prompt = prompt_end - window_.begin > 1;
  const bool is_first = window_.begin == 0;
  WindowRun result{.decode_tokens = decode_end - prompt_end};
  prefill(window_.begin, prompt_end);
  if (is_first && has_prompt) result.kept = kept(cache_window);
  const double prefilled = computed_s();
  decode(prompt_end, decode_end);
  const double decoded = computed_s();
  result.decode_s = decoded - prefilled;
  if (is_first && !has_prompt) result.kept = kept(cache_window);
  append_rest(decode_end, last, [&](bool is_last) {
    // The rest is a request, and a policy that ranks prompts evicts where it ends.
    const bool is_seen = !is_last || !holds_all_;
    if (is_first && !has_prompt && is_seen) result.kept = kept(cache_window);
  });
  result.prefill_s = has_prompt ? prefilled : computed_s() - decoded;
  result.prefill_tokens = has_prompt ? prompt_end - window_.begin : last - decode_end;
  result.memory = {.kv = held_.mean(), .peak_bytes = std::max(peak_bytes_, held_.peak_bytes())};
  return result;
}

}  // namespace

WindowRun run_window(LLM& llm,
                     const CacheOptions& cache,
                     std::span<const int32_t> ids,
                     const ScoreWindow& window,
                     int64_t decode_tokens,
                     const OnRow& on_row,
                     const std::function<void(int64_t done)>& on_done) {
  Session session = llm.new_session(cache);
  const bool holds_all = holds_all_between_rankings(cache);
  return Runner(session, ids, window, holds_all, on_row, on_done)
      .run(decode_tokens, llm.check(cache).window_tokens);
}

}  // namespace dms::eval
