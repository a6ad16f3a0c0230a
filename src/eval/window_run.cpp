#include "eval/window_run.h"

#include <algorithm>
#include <chrono>

namespace dms::eval {
namespace {

double now_s() {
  return std::chrono::duration<double>(std::chrono::steady_clock::now().time_since_epoch()).count();
}

class Runner {
 public:
  Runner(Session& session,
         std::span<const int32_t> ids,
         const ScoreWindow& window,
         const OnRow& on_row,
         const std::function<void(int64_t)>& on_done)
      : session_(session), ids_(ids), window_(window), on_row_(on_row), on_done_(on_done) {}

  WindowRun run(int64_t decode_tokens, int64_t cache_window);

 private:
  std::span<const int32_t> part(int64_t begin, int64_t end) const {
    return ids_.subspan(static_cast<size_t>(begin), static_cast<size_t>(end - begin));
  }
  Progress watch(int64_t begin) {
    return [this, begin](int64_t done, int64_t) {
      see_memory();
      on_done_(begin - window_.begin + done);
    };
  }
  void see_memory() { peak_bytes_ = std::max(peak_bytes_, session_.kv().allocated_bytes); }
  CacheMemory memory() {
    see_memory();
    return {.kv = session_.kv(), .peak_bytes = peak_bytes_};
  }
  /// `cache_window`: tokens before the last one that are held whatever their fate.
  std::vector<double> kept(int64_t cache_window) const;
  void decode(int64_t begin, int64_t end);
  void append_rest(int64_t begin, int64_t end);

  Session& session_;
  std::span<const int32_t> ids_;
  const ScoreWindow& window_;
  const OnRow& on_row_;
  const std::function<void(int64_t)>& on_done_;
  int64_t peak_bytes_ = 0;
};

void Runner::decode(int64_t begin, int64_t end) {
  for (int64_t token = begin; token < end; ++token) {
    on_row_(token + 1, session_.append(part(token, token + 1)));
    on_done_(token + 1 - window_.begin);
  }
}

void Runner::append_rest(int64_t begin, int64_t end) {
  if (begin >= end) return;
  int64_t next = begin;
  session_.append_scored(
      part(begin, end),
      [&](int64_t, std::span<const float> row) { on_row_(++next, row); },
      watch(begin));
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
  WindowRun result{.decode_tokens = decode_end - prompt_end};
  const double start = now_s();
  const auto row = session_.append(part(window_.begin, prompt_end), watch(window_.begin));
  const double prefilled = now_s();
  on_row_(prompt_end, row);
  const double decode_start = now_s();
  decode(prompt_end, decode_end);
  result.decode_s = now_s() - decode_start;
  result.memory = memory();
  result.kept = kept(cache_window);
  const double rest_start = now_s();
  append_rest(decode_end, last);
  const bool has_prompt = prompt_end - window_.begin > 1;
  result.prefill_s = has_prompt ? prefilled - start : now_s() - rest_start;
  result.prefill_tokens = has_prompt ? prompt_end - window_.begin : last - decode_end;
  const int64_t peak_bytes = memory().peak_bytes;
  if (!has_prompt) {
    result.memory = memory();
    result.kept = kept(cache_window);
  }
  result.memory.peak_bytes = peak_bytes;
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
  return Runner(session, ids, window, on_row, on_done)
      .run(decode_tokens, llm.check(cache).window_tokens);
}

}  // namespace dms::eval
