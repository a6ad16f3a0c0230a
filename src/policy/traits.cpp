#include "policy/traits.h"

#include <algorithm>
#include <charconv>

#include "policy/budget.h"

namespace dms {
namespace policy {

std::optional<int64_t> given_integer(const PolicyArgs& args, std::string_view name) {
  const auto found = args.find(std::string(name));
  if (found == args.end()) return std::nullopt;
  int64_t value = 0;
  const char* const end = found->second.data() + found->second.size();
  const auto [stop, error] = std::from_chars(found->second.data(), end, value);
  if (error != std::errc() || stop != end) return std::nullopt;
  return value;
}

bool counts_prompts(const PolicyArgs& args) {
  const auto found = args.find("count_prompt_tokens");
  return found == args.end() || (found->second != "false" && found->second != "0");
}

namespace {

int64_t chunk_length(const Traits& traits, const PolicyArgs& args) {
  return given_integer(args, "chunk_length").value_or(traits.chunk_length);
}

/// The last multiple of `step` up to `tokens`; 0: there is none.
int64_t last_multiple(int64_t tokens, int64_t step) {
  return step > 0 ? tokens - tokens % step : 0;
}

/// Where an interval of the decoded tokens ends last; 0: nowhere.
int64_t last_of_answer(const PolicyArgs& args, const AppendedText& text) {
  const int64_t interval = given_integer(args, "interval").value_or(kDefaultInterval);
  const int64_t last = last_multiple(std::min(text.prompt + text.decoded, text.tokens), interval);
  return last > text.prompt ? last : 0;
}

/// The most tokens that a cut finds new. Cuts come where the prompt ends, and by chunks at their
/// multiples before it and after.
int64_t longest_piece(const AppendedText& text, int64_t chunk) {
  if (chunk <= 0 || chunk > text.tokens) return text.prompt;
  const int64_t next = (text.prompt / chunk + 1) * chunk;
  if (text.prompt >= chunk || next + chunk <= text.tokens) return chunk;
  return next <= text.tokens ? std::max(text.prompt, next - text.prompt) : text.prompt;
}

/// First tokens are those of the whole text, whatever a cut ranks.
bool keeps_first(const PolicyArgs& args) {
  return args.contains("n_sink") || args.contains("sink_size_start");
}

/// What is ranked at most; 0: no cut comes.
int64_t ranked_tokens(const Traits& traits, const PolicyArgs& args, const AppendedText& text) {
  switch (traits.cuts) {
    case Cuts::intervals:
      return last_multiple(text.tokens, given_integer(args, "interval").value_or(kDefaultInterval));
    case Cuts::answers: {
      const int64_t last = last_of_answer(args, text);
      return counts_prompts(args) ? last : last - std::min(text.prompt, last);
    }
    case Cuts::prompts: {
      const int64_t chunk = chunk_length(traits, args);
      const bool is_size = args.contains("budget");
      if (!is_size && !keeps_first(args)) return longest_piece(text, chunk);
      if (chunk > 0) return std::max(text.prompt, last_multiple(text.tokens, chunk));
      return is_size ? std::max(text.prompt, last_of_answer(args, text)) : text.prompt;
    }
    case Cuts::never:
    case Cuts::leaving:
      break;
  }
  return text.tokens;
}

}  // namespace
}  // namespace policy

int64_t compressed_tokens(const CacheOptions& cache, const AppendedText& text) {
  const policy::Traits traits = policy::traits_of(cache.policy, cache.policy_args);
  const int64_t ranked = policy::ranked_tokens(traits, cache.policy_args, text);
  return ranked > 0 ? ranked : text.tokens;  // no setting is to blame where no cut comes
}

bool holds_all_between_rankings(const CacheOptions& cache) {
  const policy::Traits traits = policy::traits_of(cache.policy, cache.policy_args);
  switch (traits.cuts) {
    case policy::Cuts::intervals:
    case policy::Cuts::answers:
      return true;
    case policy::Cuts::prompts:  // cuts by chunks come within a pass
      return policy::chunk_length(traits, cache.policy_args) == 0;
    case policy::Cuts::never:
    case policy::Cuts::leaving:
      break;
  }
  return false;
}

AdapterPart adapter_part_of(const CacheOptions& cache) {
  return policy::traits_of(cache.policy, cache.policy_args).adapter_part;
}

}  // namespace dms
