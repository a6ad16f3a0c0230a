#include "eval/kv_record.h"

#include <algorithm>
#include <charconv>
#include <string_view>
#include <vector>

#include <fmt/format.h>

namespace dms::eval {
namespace {

constexpr const char* kHeads = "held_per_head";  // "1,2;3,4": layers of heads

/// Adds what put_memory() wrote to what is there already.
void add_heads(std::string_view text, std::vector<std::vector<int64_t>>& heads) {
  size_t layer = 0;
  size_t head = 0;
  for (const char* at = text.data(); at != text.data() + text.size();) {
    int64_t held = 0;
    at = std::from_chars(at, text.data() + text.size(), held).ptr;
    heads.resize(std::max(heads.size(), layer + 1));
    heads[layer].resize(std::max(heads[layer].size(), head + 1));
    heads[layer][head++] += held;
    if (at == text.data() + text.size()) return;
    if (*at++ != ';') continue;
    ++layer;
    head = 0;
  }
}

}  // namespace

void put_memory(const CacheMemory& memory, Record& record) {
  record.numbers["dense_tokens"] = static_cast<double>(memory.kv.dense_tokens);
  record.numbers["held_tokens"] = static_cast<double>(memory.kv.held_tokens);
  record.numbers["dense_bytes"] = static_cast<double>(memory.kv.dense_bytes);
  record.numbers["allocated_bytes"] = static_cast<double>(memory.kv.allocated_bytes);
  record.numbers["peak_bytes"] = static_cast<double>(memory.peak_bytes);
  for (size_t layer = 0; layer < memory.kv.held_per_head.size(); ++layer) {
    const std::vector<int64_t>& heads = memory.kv.held_per_head[layer];
    record.texts[kHeads] += fmt::format("{}{}", layer == 0 ? "" : ";", fmt::join(heads, ","));
  }
}

void MemoryTotal::add(const Record& record) {
  const auto count = [&record](const char* name) {
    return static_cast<int64_t>(record.number(name));
  };
  kv.dense_tokens += count("dense_tokens");
  kv.held_tokens += count("held_tokens");
  kv.dense_bytes += count("dense_bytes");
  kv.allocated_bytes += count("allocated_bytes");
  kv_bytes = std::max(kv_bytes, count("allocated_bytes"));
  peak_bytes = std::max(peak_bytes, count("peak_bytes"));
  kv.peak_bytes = peak_bytes;
  const auto heads = record.texts.find(kHeads);
  if (heads != record.texts.end()) add_heads(heads->second, kv.held_per_head);
  const auto ratio = [](int64_t whole, int64_t part) {
    return part > 0 ? static_cast<double>(whole) / static_cast<double>(part) : 1.0;
  };
  kv.cr = ratio(kv.dense_tokens, kv.held_tokens);
  kv.cr_bytes = ratio(kv.dense_bytes, kv.allocated_bytes);
}

}  // namespace dms::eval
