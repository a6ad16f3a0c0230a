#include "text/regex.h"

#include <array>
#include <optional>

#include <pcre2.h>

#include "dms/error.h"
#include "text/regex_translate.h"
#include "text/utf8.h"

namespace dms::text {
namespace {

// A sane pattern needs a few steps per character; these stop a catastrophic one in about a second.
constexpr uint32_t kMatchLimit = 10'000'000;
constexpr uint32_t kDepthLimit = 1'000'000;
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

// What one run over a text needs; made per call, so that Regex stays thread-safe.
struct Scratch {
  explicit Scratch(const pcre2_code* code)
      : data(pcre2_match_data_create_from_pattern(code, nullptr)),
        context(pcre2_match_context_create(nullptr)),
        stack(pcre2_jit_stack_create(kJitStackStart, kJitStackMost, nullptr)) {
    if (!data || !context || !stack) throw std::bad_alloc();
    pcre2_set_match_limit(context.get(), kMatchLimit);
    pcre2_set_depth_limit(context.get(), kDepthLimit);
    pcre2_set_heap_limit(context.get(), kHeapLimitKib);
    pcre2_jit_stack_assign(context.get(), nullptr, stack.get());
  }
  Owned<pcre2_match_data> data;
  Owned<pcre2_match_context> context;
  Owned<pcre2_jit_stack> stack;
};

}  // namespace

struct Regex::Code {
  std::string where;
  Owned<pcre2_code> compiled;

  std::optional<Match> find(std::string_view text, size_t from, const Scratch& scratch) const {
    const auto run = [&](uint32_t options) {
      return pcre2_match(compiled.get(),
                         reinterpret_cast<PCRE2_SPTR>(text.data()),
                         text.size(),
                         from,
                         options,
                         scratch.data.get(),
                         scratch.context.get());
    };
    int result = run(PCRE2_NO_UTF_CHECK);
    // The interpreter backtracks on the heap and goes deeper than the JIT's stack allows.
    if (result == PCRE2_ERROR_JIT_STACKLIMIT) result = run(PCRE2_NO_UTF_CHECK | PCRE2_NO_JIT);
    if (result == PCRE2_ERROR_NOMATCH) return std::nullopt;
    if (result < 0) {
      throw InputError(
          {.where = where, .what = "pattern too expensive for this text: " + message_of(result)});
    }
    const PCRE2_SIZE* offsets = pcre2_get_ovector_pointer(scratch.data.get());
    return Match{offsets[0], offsets[1]};
  }
};

Regex::Regex(std::string_view pattern, std::string where) : code_(std::make_unique<Code>()) {
  const std::string translated = translate_pattern(pattern, where);
  // ^ and $ belong to lines and lines end with LF, as in Oniguruma's default syntax.
  const Owned<pcre2_compile_context> context(pcre2_compile_context_create(nullptr));
  if (!context) throw std::bad_alloc();
  pcre2_set_newline(context.get(), PCRE2_NEWLINE_LF);
  int error = 0;
  PCRE2_SIZE at = 0;
  code_->compiled.reset(pcre2_compile(reinterpret_cast<PCRE2_SPTR>(translated.data()),
                                      translated.size(),
                                      PCRE2_UTF | PCRE2_MULTILINE,
                                      &error,
                                      &at,
                                      context.get()));
  if (!code_->compiled) {
    throw InputError({.where = std::move(where),
                      .what = "bad pattern: " + message_of(error),
                      .got = std::string(pattern.substr(0, 200))});
  }
  pcre2_jit_compile(code_->compiled.get(), PCRE2_JIT_COMPLETE);
  code_->where = std::move(where);
}

Regex::Regex(Regex&&) noexcept = default;
Regex& Regex::operator=(Regex&&) noexcept = default;
Regex::~Regex() = default;

std::vector<Match> Regex::find_all(std::string_view text) const {
  std::vector<Match> matches;
  if (text.data() == nullptr) text = "";
  const Scratch scratch(code_->compiled.get());
  size_t from = 0;
  while (from <= text.size()) {
    const std::optional<Match> match = code_->find(text, from, scratch);
    if (!match) break;
    const bool is_empty = match->start == match->end;
    const bool follows = !matches.empty() && matches.back().end == match->end;
    if (!is_empty || !follows) matches.push_back(*match);
    from = match->end;
    if (is_empty) {
      if (from >= text.size()) break;
      from += static_cast<size_t>(code_point_at(text, from).bytes);
    }
  }
  return matches;
}

}  // namespace dms::text
