#include "tasks/draws.h"

#include <string_view>
#include <utility>

#include "tasks/recall_phrases.h"

namespace dms::tasks {
namespace {

constexpr std::string_view kHexDigits = "0123456789abcdef";

char draw_digit(std::string_view digits, Random& random) {
  return digits[static_cast<size_t>(random.below(std::ssize(digits)))];
}

}  // namespace

std::string draw_number(int64_t digits, Random& random) {
  std::string number(1, static_cast<char>('1' + random.below(9)));
  while (std::ssize(number) < digits) number += static_cast<char>('0' + random.below(10));
  return number;
}

std::string draw_uuid4(Random& random) {
  std::string uuid;
  for (const char place : std::string_view("xxxxxxxx-xxxx-4xxx-yxxx-xxxxxxxxxxxx")) {
    uuid += place == 'x'   ? draw_digit(kHexDigits, random)
            : place == 'y' ? draw_digit("89ab", random)
                           : place;
  }
  return uuid;
}

std::string draw_word_pair(Random& random) {
  std::string pair(kAdjectives[static_cast<size_t>(random.below(std::ssize(kAdjectives)))]);
  pair += '-';
  pair += kNouns[static_cast<size_t>(random.below(std::ssize(kNouns)))];
  return pair;
}

double draw_share(Random& random) { return static_cast<double>(random.next() >> 11) * 0x1p-53; }

std::vector<size_t> sentence_starts(const std::string& text) {
  std::vector<size_t> sentences;
  std::vector<size_t> words;
  for (size_t i = 0; i + 2 < text.size(); ++i) {
    const bool at_space = text[i + 1] == ' ' || text[i + 1] == '\n';
    if (!at_space) continue;
    const bool ends_sentence = text[i] == '.' || text[i] == '!' || text[i] == '?';
    const bool ends_paragraph = text[i] == '\n' && text[i + 1] == '\n';
    (ends_sentence || ends_paragraph ? sentences : words).push_back(i + 2);
  }
  std::vector<size_t> starts = std::move(sentences.empty() ? words : sentences);
  starts.insert(starts.begin(), 0);
  starts.push_back(text.size());
  return starts;
}

}  // namespace dms::tasks
