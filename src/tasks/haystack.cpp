#include "tasks/haystack.h"

#include <algorithm>
#include <cctype>
#include <set>

namespace dms::tasks {
namespace {

constexpr std::string_view kSpace = " \t\n\r\f\v";

constexpr size_t kMostWords = 1'000'000;

bool is_lower(char c) { return c >= 'a' && c <= 'z'; }

std::vector<std::string> vocabulary_of(const std::string& text) {
  constexpr size_t kShortest = 3;
  std::set<std::string> found;
  std::string word;
  bool is_clean = true;  // nothing but lower case since the last space or punctuation
  for (size_t i = 0; i <= text.size(); ++i) {
    const char c = i < text.size() ? text[i] : ' ';
    if (is_lower(c)) {
      word += c;
    } else if (c == ' ' || std::ispunct(static_cast<unsigned char>(c)) != 0) {
      if (is_clean && word.size() >= kShortest) found.insert(word);
      is_clean = true;
      word.clear();
    } else {
      is_clean = false;
    }
  }
  return {found.begin(), found.end()};
}

}  // namespace

bool Haystack::has_words(std::string_view text) {
  return text.find_first_not_of(kSpace) != std::string_view::npos;
}

Haystack::Haystack(std::string_view text) {
  if (!has_words(text)) text = kNoiseLine;
  for (size_t at = text.find_first_not_of(kSpace);
       at != std::string_view::npos && ends_.size() < kMostWords;) {
    const size_t end = std::min(text.find_first_of(kSpace, at), text.size());
    if (!text_.empty()) text_ += ' ';
    text_ += text.substr(at, end - at);
    ends_.push_back(text_.size());
    at = text.find_first_not_of(kSpace, end);
  }
  vocabulary_ = vocabulary_of(text_);
}

std::string Haystack::first(int64_t words) const {
  std::string text;
  for (int64_t left = words; left > 0;) {
    const int64_t taken = std::min(left, this->words());
    if (!text.empty()) text += ' ';
    text += text_.substr(0, ends_[static_cast<size_t>(taken - 1)]);
    left -= taken;
  }
  return text;
}

}  // namespace dms::tasks
