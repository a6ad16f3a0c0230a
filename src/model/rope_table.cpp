#include "model/rope_table.h"

#include <algorithm>
#include <cmath>

#include "base/check.h"
#include "model/spec/rope_frequencies.h"

namespace dms::model {
namespace {

constexpr int64_t kKeptTables = 4;  // so that sequences taking turns do not make theirs anew

}  // namespace

int64_t RopeTable::key(int64_t prompt_tokens) const {
  if (rope_.scaling == RopeScaling::longrope) return prompt_tokens > rope_.original_context ? 1 : 0;
  return rope_.scaling == RopeScaling::dynamic ? std::max(rope_.original_context, prompt_tokens)
                                               : 0;
}

void RopeTable::extend(const Need& need) {
  Table& table = tables_[key(need.prompt_tokens)];
  table.last_pass = pass_;
  if (table.frequencies.empty()) {
    table.frequencies = inverse_frequencies(rope_, need.prompt_tokens);
  }
  const auto half = std::ssize(table.frequencies);
  const float factor = attention_factor(rope_);
  for (int64_t position = std::ssize(table.cos) / half; position < need.positions; ++position) {
    for (const float frequency : table.frequencies) {
      const float angle = static_cast<float>(position) * frequency;
      table.cos.push_back(std::cos(angle) * factor);
      table.sin.push_back(std::sin(angle) * factor);
    }
  }
}

void RopeTable::drop_unused() {
  while (tables() > kKeptTables) {
    const auto oldest = std::ranges::min_element(
        tables_, {}, [](const auto& item) { return item.second.last_pass; });
    if (oldest->second.last_pass == pass_) return;
    tables_.erase(oldest);
  }
}

void RopeTable::prepare(std::span<const Need> needs) {
  ++pass_;
  for (const Need& need : needs) extend(need);
  drop_unused();
}

RopeTable::Angles RopeTable::at(int64_t prompt_tokens, int64_t position) const {
  const Table& table = tables_.at(key(prompt_tokens));
  const size_t half = table.frequencies.size();
  const size_t begin = static_cast<size_t>(position) * half;
  ensure(begin + half <= table.cos.size(), "rope table not prepared");
  return {.cos = std::span(table.cos).subspan(begin, half),
          .sin = std::span(table.sin).subspan(begin, half)};
}

}  // namespace dms::model
