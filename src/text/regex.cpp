#include "text/regex.h"

#include <algorithm>
#include <array>
#include <mutex>

#include <pcre2.h>

#include "base/utf8.h"
#include "dms/error.h"
#include "text/regex_translate.h"

// A match is first sought in a short window and with few backtracks, so that what it can cost is
// bounded by the product of the two; where it needs more, both are raised, and what such a try
// could cost at most is taken from RegexWork. In the end the match is sought by code that counts
// its steps. A sane pattern finds nearly all its matches in the first window, at full speed.

namespace dms::text {
namespace {

constexpr size_t kFirstWindow = 64;  // bytes
constexpr uint32_t kFirstBacktracks = 16;
constexpr uint32_t kLevels = 4;  // each has four times the window and the backtracks

// Per text, and per byte of it.
constexpr uint64_t kUncheckedSteps = uint64_t{1} << 31;
constexpr uint64_t kUncheckedStepsPerByte = 2048;
constexpr uint64_t kCheckedSteps = 100'000'000;
constexpr uint64_t kCheckedStepsPerByte = 16;

constexpr uint32_t kHeapLimitKib = 256 * 1024;
constexpr size_t kJitStackStart = 32 * 1024;
constexpr size_t kJitStackMost = 64 * 1024 * 1024;  // reserved, used only as far as needed

struct Free {
  void operator()(pcre2_compile_context* p) const { pcre2_compile_context_free(p); }
  void operator()(pcre2_code* p) const { pcre2_code_free(p); }
  void operator()(pcre2_match_data* p) const { pcre2_match_data_free(p); }
  void operator()(pcre2_match_context* p) const { pcre2_match_context_free(p); }
  void operator()(pcre2_jit_stack* p) const { pcre2_jit_stack_free(p); }
};
template <class T>
using Owned = std::unique_ptr<T, Free>;

std::string message_of(int error) {
  std::array<PCRE2_UCHAR, 256> text{};
  pcre2_get_error_message(error, text.data(), text.size());
  return reinterpret_cast<const char*>(text.data());
}

Owned<pcre2_code> compile(const std::string& translated,
                          std::string_view pattern,
                          uint32_t options,
                          const std::string& where) {
  // ^ and $ belong to lines and lines end with LF, as in Oniguruma's default syntax.
  const Owned<pcre2_compile_context> context(pcre2_compile_context_create(nullptr));
  if (!context) throw std::bad_alloc();
  pcre2_set_newline(context.get(), PCRE2_NEWLINE_LF);
  int error = 0;
  PCRE2_SIZE at = 0;
  Owned<pcre2_code> code(
      pcre2_compile(reinterpret_cast<PCRE2_SPTR>(translated.data()),
                    translated.size(),
                    PCRE2_UTF | PCRE2_MULTILINE | PCRE2_USE_OFFSET_LIMIT | options,
                    &error,
                    &at,
                    context.get()));
  if (!code) {
    throw InputError({.where = where,
                      .what = "bad pattern: " + message_of(error),
                      .got = std::string(pattern.substr(0, 200))});
  }
  pcre2_jit_compile(code.get(), PCRE2_JIT_COMPLETE | PCRE2_JIT_PARTIAL_HARD);
  return code;
}

// Steps counted by the callouts that stand before every part of a pattern: one for each, and the
// characters passed since the last.
struct StepCounter {
  uint64_t left;
  size_t position = 0;

  static int count(pcre2_callout_block* block, void* self) {
    auto& counter = *static_cast<StepCounter*>(self);
    const size_t at = block->current_position;
    const size_t passed = std::max(at, counter.position) - std::min(at, counter.position);
    counter.position = at;
    const uint64_t steps = 1 + passed;
    if (steps > counter.left) return PCRE2_ERROR_CALLOUT;
    counter.left -= steps;
    return 0;
  }
};

}  // namespace

struct RegexWork::Scratch {
  Scratch()
      : data(pcre2_match_data_create(1, nullptr)),
        context(pcre2_match_context_create(nullptr)),
        stack(pcre2_jit_stack_create(kJitStackStart, kJitStackMost, nullptr)) {
    if (!data || !context || !stack) throw std::bad_alloc();
    pcre2_set_heap_limit(context.get(), kHeapLimitKib);
    pcre2_jit_stack_assign(context.get(), nullptr, stack.get());
  }
  Owned<pcre2_match_data> data;
  Owned<pcre2_match_context> context;
  Owned<pcre2_jit_stack> stack;
};

RegexWork::RegexWork(size_t bytes) { begin(bytes); }

void RegexWork::begin(size_t bytes) {
  unchecked_left_ = kUncheckedSteps + kUncheckedStepsPerByte * bytes;
  checked_left_ = kCheckedSteps + kCheckedStepsPerByte * bytes;
}

RegexWork::~RegexWork() = default;

RegexWork::Scratch& RegexWork::scratch() {
  if (!scratch_) scratch_ = std::make_unique<Scratch>();
  return *scratch_;
}

struct Regex::Code {
  std::string where;
  std::string pattern;
  std::string translated;
  Owned<pcre2_code> fast;
  std::once_flag counted_once;
  Owned<pcre2_code> counted;  // with callouts; made when it is first needed

  int run(const pcre2_code* code,
          std::string_view text,
          size_t from,
          uint32_t options,
          const RegexWork::Scratch& scratch) const {
    return pcre2_match(code,
                       reinterpret_cast<PCRE2_SPTR>(text.data()),
                       text.size(),
                       from,
                       PCRE2_NO_UTF_CHECK | options,
                       scratch.data.get(),
                       scratch.context.get());
  }

  [[noreturn]] void too_expensive(const std::string& why) const {
    throw InputError({.where = where, .what = "pattern too expensive for this text: " + why});
  }
};

Regex::Regex(std::string_view pattern, std::string where) : code_(std::make_unique<Code>()) {
  code_->translated = translate_pattern(pattern, where);
  code_->fast = compile(code_->translated, pattern, 0, where);
  code_->pattern = pattern;
  code_->where = std::move(where);
}

Regex::Regex(Regex&&) noexcept = default;
Regex& Regex::operator=(Regex&&) noexcept = default;
Regex::~Regex() = default;

namespace {

size_t next_character(std::string_view text, size_t at) {
  return at < text.size() ? at + static_cast<size_t>(code_point_at(text, at).bytes) : at + 1;
}

size_t character_start(std::string_view text, size_t at) {
  while (at < text.size() && (static_cast<uint8_t>(text[at]) & 0xC0) == 0x80) ++at;
  return at;
}

}  // namespace

std::optional<Match> Regex::find(std::string_view text, size_t from, RegexWork& work) const {
  const RegexWork::Scratch& scratch = work.scratch();
  const PCRE2_SIZE* offsets = pcre2_get_ovector_pointer(scratch.data.get());
  for (uint32_t level = 0; from <= text.size();) {
    const size_t window = kFirstWindow << 2 * level;
    const uint32_t backtracks = kFirstBacktracks << 2 * level;
    // Level 0 tries every start in its window, the others one start that was too much for it.
    const uint64_t most_steps = uint64_t{window} * backtracks;
    if (level == kLevels || !work.afford(most_steps)) {
      if (const auto match = find_counted(text, from, work)) return match;
      from = next_character(text, from);
      level = 0;
      continue;
    }
    const size_t end = character_start(text, std::min(from + window, text.size()));
    const bool is_rest = end == text.size();
    const size_t last_start = level > 0 ? from : is_rest ? text.size() : end - 1;
    pcre2_set_offset_limit(scratch.context.get(), last_start);
    pcre2_set_match_limit(scratch.context.get(), backtracks);
    const int result = code_->run(
        code_->fast.get(), text.substr(0, end), from, is_rest ? 0 : PCRE2_PARTIAL_HARD, scratch);
    if (result >= 0) {
      work.afford(most_steps * (offsets[0] - from));
      return Match{offsets[0], offsets[1]};
    }
    if (result == PCRE2_ERROR_NOMATCH) {
      work.afford(most_steps * (last_start - from));
      from = level > 0 ? next_character(text, from) : is_rest ? text.size() + 1 : end;
      level = 0;
    } else {
      if (result == PCRE2_ERROR_PARTIAL && level == 0) from = offsets[0];
      ++level;
    }
  }
  return std::nullopt;
}

// A match that starts at `at`.
std::optional<Match> Regex::find_counted(std::string_view text, size_t at, RegexWork& work) const {
  std::call_once(code_->counted_once, [&] {
    code_->counted = compile(code_->translated, code_->pattern, PCRE2_AUTO_CALLOUT, code_->where);
  });
  const RegexWork::Scratch& scratch = work.scratch();
  StepCounter counter{.left = work.checked_left_, .position = at};
  pcre2_set_offset_limit(scratch.context.get(), at);
  pcre2_set_match_limit(scratch.context.get(), UINT32_MAX);
  pcre2_set_callout(scratch.context.get(), StepCounter::count, &counter);
  int result = code_->run(code_->counted.get(), text, at, 0, scratch);
  // The interpreter backtracks on the heap and goes deeper than the JIT's stack allows.
  if (result == PCRE2_ERROR_JIT_STACKLIMIT) {
    result = code_->run(code_->counted.get(), text, at, PCRE2_NO_JIT, scratch);
  }
  pcre2_set_callout(scratch.context.get(), nullptr, nullptr);
  work.checked_left_ = counter.left;
  if (result == PCRE2_ERROR_NOMATCH) return std::nullopt;
  if (result == PCRE2_ERROR_CALLOUT) code_->too_expensive("too many steps");
  if (result < 0) code_->too_expensive(message_of(result));
  const PCRE2_SIZE* offsets = pcre2_get_ovector_pointer(scratch.data.get());
  return Match{offsets[0], offsets[1]};
}

bool Regex::find_each(std::string_view text, RegexWork& work, MatchSink sink) const {
  if (text.data() == nullptr) text = "";
  std::optional<size_t> last_end;
  for (size_t from = 0; from <= text.size();) {
    const std::optional<Match> match = find(text, from, work);
    if (!match) break;
    const bool is_empty = match->start == match->end;
    if ((!is_empty || last_end != match->end) && !sink(*match)) return false;
    last_end = match->end;
    from = match->end;
    if (is_empty) from = next_character(text, from);
  }
  return true;
}

}  // namespace dms::text
