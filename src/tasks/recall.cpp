#include "tasks/recall.h"

#include <algorithm>
#include <array>
#include <numeric>
#include <utility>

#include "tasks/draws.h"

namespace dms::tasks {
namespace {

/// The last place at or before `at` where no UTF-8 character is cut.
size_t at_character(const std::string& text, size_t at) {
  while (at > 0 && at < text.size() && (static_cast<unsigned char>(text[at]) & 0xc0u) == 0x80u) {
    --at;
  }
  return at;
}

std::string draw_uuid(Random& random) {
  std::string uuid;
  for (const int64_t group : {8, 4, 4, 4, 12}) {
    if (!uuid.empty()) uuid += '-';
    for (int64_t i = 0; i < group; ++i) {
      uuid += "0123456789abcdef"[static_cast<size_t>(random.below(16))];
    }
  }
  return uuid;
}

}  // namespace

RecallTask::RecallTask(const RecallSettings& settings, Random& random) {
  const auto others = static_cast<int64_t>(kRecallPhrases.size()) - 1;
  const bool is_rulers = random.chance(0.5);
  phrases_ = kRecallPhrases[is_rulers ? 0 : static_cast<size_t>(1 + random.below(others))];
  const bool has_uuids = random.chance(settings.uuid_share);
  thing_ = has_uuids ? "uuid" : "number";
  const int64_t facts = settings.needles.draw(random);
  const int64_t digits = settings.digits.draw(random);
  for (int64_t i = 0; i < facts; ++i) {
    facts_.push_back({.key = draw_key(random),
                      .value = has_uuids ? draw_uuid(random) : draw_number(digits, random),
                      .depth = static_cast<double>(random.below(1 << 20)) * 0x1p-20});
  }
  std::ranges::stable_sort(facts_, {}, &Fact::depth);
  asked_.resize(static_cast<size_t>(facts));
  std::iota(asked_.begin(), asked_.end(), size_t{0});
  shuffle(std::span(asked_), random);
  asked_.resize(static_cast<size_t>(std::min(facts, settings.queries.draw(random))));
}

std::string RecallTask::draw_key(Random& random) const {
  while (true) {
    std::string key = draw_word_pair(random);
    if (std::ranges::find(facts_, key, &Fact::key) == facts_.end()) return key;
  }
}

std::string RecallTask::fill_in(std::string_view phrase, const Fact& fact) const {
  const std::array<std::pair<std::string_view, const std::string&>, 3> values{
      {{"{thing}", thing_}, {"{key}", fact.key}, {"{value}", fact.value}}};
  std::string text(phrase);
  for (const auto& [name, value] : values) {
    for (size_t at = text.find(name); at != std::string::npos; at = text.find(name, at)) {
      text.replace(at, name.size(), value);
      at += value.size();
    }
  }
  return text;
}

void RecallTask::append_haystack(const std::string& filler, std::string& text) const {
  const std::vector<size_t> starts = sentence_starts(filler);
  size_t done = 0;
  for (const Fact& fact : facts_) {
    const auto chosen = static_cast<size_t>(fact.depth * static_cast<double>(starts.size()));
    const size_t place = starts[chosen];
    text += filler.substr(done, place - done);
    done = place;
    if (place == filler.size() && !text.ends_with('\n') && !text.ends_with(' ')) text += ' ';
    text += fill_in(phrases_.fact, fact);
    text += place > 0 && filler[place - 1] == '\n' ? '\n' : ' ';
  }
  text += filler.substr(done);
}

WrittenRecall RecallTask::write(const std::string& filler) const {
  const bool is_one = facts_.size() == 1;
  WrittenRecall written;
  std::string& text = written.text;
  text = fill_in(is_one ? phrases_.intro_one : phrases_.intro_many, {});
  append_haystack(filler, text);
  for (const size_t asked : asked_) {
    const Fact& fact = facts_[asked];
    text += "\n";
    text += fill_in(phrases_.question, fact);
    text += fill_in(phrases_.answer, fact);
    const size_t begin = text.size();
    text += " " + fact.value + ".";
    written.answers.push_back({.begin = begin, .end = text.size()});
  }
  return written;
}

WrittenRecall RecallTask::write_within(int64_t limit,
                                       const std::string& filler,
                                       const Count& count) const {
  WrittenRecall bare = write({});
  const int64_t bare_tokens = count(bare.text);
  if (bare_tokens >= limit) return bare;
  // Tokens change a little where facts are put in, so the filler's length is found by trying.
  size_t length = at_character(
      filler,
      filler.size() * static_cast<size_t>(limit - bare_tokens) / static_cast<size_t>(limit));
  while (true) {
    WrittenRecall written = write(filler.substr(0, length));
    const int64_t tokens = count(written.text);
    if (tokens <= limit || length == 0) return written;
    const size_t fewer =
        static_cast<size_t>(tokens - limit) * length / static_cast<size_t>(tokens) + 1;
    length = at_character(filler, length - std::min(length, fewer));
  }
}

}  // namespace dms::tasks
