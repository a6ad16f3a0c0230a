#include "cli/bench_sessions.h"

#include <fmt/format.h>

#include "cli/progress.h"
#include "dms/error.h"

namespace dms::cli {
namespace {

// Each takes tables that no limit counts.
constexpr int64_t kMostSessions = 65'536;

/// Opens one more and fills it; false where it does not fit.
bool add_session(LLM& llm,
                 const CacheOptions& cache,
                 const std::vector<int32_t>& prompt,
                 std::vector<Session>& sessions) {
  const int64_t limit = llm.stats().kv_limit_bytes;
  ProgressLine progress(fmt::format("session {}", sessions.size() + 1));
  try {
    Session session = llm.new_session(cache);
    session.append(prompt, progress.callback());
    sessions.push_back(std::move(session));
    return true;
  } catch (const RunError&) {
    if (limit == 0) throw;
    return false;
  }
}

}  // namespace

FittingSessions count_fitting_sessions(
    LLM& llm,
    const BenchPolicy& policy,
    int64_t prompt_tokens,
    const std::function<std::vector<int32_t>(int64_t tokens)>& next_prompt) {
  std::vector<Session> sessions;
  while (add_session(llm, policy.cache, next_prompt(prompt_tokens), sessions)) {
    if (std::ssize(sessions) < kMostSessions) continue;
    throw RunError({.where = "--sessions",
                    .what = fmt::format("more than {} fit", kMostSessions),
                    .hint = "give longer --prompt-lens or less --kv-memory"});
  }
  return {.policy = policy.label,
          .prompt_tokens = prompt_tokens,
          .count = std::ssize(sessions),
          .kv = llm.kv(sessions)};
}

}  // namespace dms::cli
