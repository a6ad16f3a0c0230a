// Input: a chat template, and a condition on a record. Parsing, rendering and judging must end
// soon, in an answer or an InputError, the same way twice, and in a few times the memory that the
// limits allow. The values are long enough for whatever is not counted to be felt.

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <string>
#include <string_view>

#include "dms/error.h"
#include "text/chat_template.h"
#include "text/jinja/jinja.h"

#ifdef __clang__
#if __has_feature(address_sanitizer)
#define DMS_FUZZ_COUNTS_MEMORY
#include <sanitizer/allocator_interface.h>
#endif
#endif

namespace {

constexpr dms::text::ChatLimits kLimits{.steps = 20000, .bytes = 1 << 20};

#ifdef DMS_FUZZ_COUNTS_MEMORY
std::atomic<int64_t> g_live = 0;
std::atomic<int64_t> g_peak = 0;

void count_allocation(const volatile void*, size_t bytes) {
  const int64_t live = g_live += static_cast<int64_t>(bytes);
  if (live > g_peak) g_peak = live;
}

void count_release(const volatile void* block) {
  g_live -= static_cast<int64_t>(__sanitizer_get_allocated_size(block));
}

/// Aborts where more memory was taken while it lived than the limits account for.
class MemoryWatch {
 public:
  explicit MemoryWatch(size_t source_bytes, size_t message_bytes)
      : before_(g_live),
        // Growing texts move: three times what they hold. A token of a template becomes a node.
        most_(4 * (kLimits.bytes + 16 * static_cast<int64_t>(message_bytes)) +
              1024 * static_cast<int64_t>(source_bytes) + (1 << 20)) {
    g_peak = before_;
  }
  ~MemoryWatch() {
    if (g_peak - before_ > most_) std::abort();
  }
  MemoryWatch(const MemoryWatch&) = delete;
  MemoryWatch& operator=(const MemoryWatch&) = delete;

 private:
  int64_t before_;
  int64_t most_;
};
#else
struct MemoryWatch {
  MemoryWatch(size_t, size_t) {}
};
#endif

const dms::text::ChatJson& messages() {
  static const auto parsed = [] {
    auto json = dms::text::ChatJson::parse(
        R"([{"role": "user", "content": "Hällo"},
            {"role": "assistant", "content": ["x", 1, null]}, {"role": "user"}])");
    std::string text;
    for (int i = 0; i < 2000; ++i) text += "ab";
    json[2]["content"] = text;
    return json;
  }();
  return parsed;
}

std::string outcome(std::string_view source) {
  const MemoryWatch watch(source.size(), messages().dump().size());
  try {
    const dms::text::ChatTemplate chat(source, "fuzz");
    return chat.render({.messages = messages(), .special_tokens = {{"bos_token", "<s>"}}}, kLimits);
  } catch (const dms::InputError& error) {
    return std::string("error ") + error.what();
  }
}

std::string verdict(std::string_view source) {
  static const dms::Json record = {{"a", 1}, {"messages", messages()}, {"b", nullptr}};
  const MemoryWatch watch(source.size(), record.dump().size());
  try {
    const dms::text::jinja::Expression expression(source, "fuzz");
    const bool holds =
        expression.holds(record, "record", {.steps = kLimits.steps, .bytes = kLimits.bytes});
    return holds ? "true" : "false";
  } catch (const dms::InputError& error) {
    return std::string("error ") + error.what();
  }
}

}  // namespace

#ifdef DMS_FUZZ_COUNTS_MEMORY
extern "C" int LLVMFuzzerInitialize(int*, char***) {
  __sanitizer_install_malloc_and_free_hooks(count_allocation, count_release);
  return 0;
}
#endif

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const std::string_view source(reinterpret_cast<const char*>(data), size);
  if (source.find("strftime_now") != std::string_view::npos) return 0;  // differs from call to call
  if (outcome(source) != outcome(source)) std::abort();
  if (verdict(source) != verdict(source)) std::abort();
  return 0;
}
