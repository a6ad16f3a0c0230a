#include "tasks/longbench_scores.h"

#include <algorithm>
#include <array>
#include <cctype>
#include <cmath>
#include <map>
#include <set>
#include <vector>

#include "base/utf8.h"
#include "text/unicode.h"

namespace dms::tasks {
namespace {

/// What Python's str.split() divides at.
bool is_space(uint32_t point) {
  const bool is_separator = point >= 0x1C && point <= 0x1F;
  return is_separator || text::is_space(text::code_point_bits()[point]);
}

/// What \w matches in Python; the underscore is punctuation here.
bool is_word_character(uint32_t point) {
  const uint16_t bits = text::code_point_bits()[point];
  return text::is_letter(bits) || text::is_number(bits);
}

/// Calls `take(code point, its bytes)` for each.
template <class Take>
void for_each_code_point(std::string_view text, const Take& take) {
  for (size_t at = 0; at < text.size();) {
    const CodePoint point = code_point_at(text, at);
    const auto bytes = static_cast<size_t>(point.bytes);
    take(point.value, text.substr(at, bytes));
    at += bytes;
  }
}

std::vector<std::string> words_of(std::string_view text) {
  std::vector<std::string> words(1);
  for_each_code_point(text, [&words](uint32_t point, std::string_view bytes) {
    if (!is_space(point)) {
      words.back() += bytes;
    } else if (!words.back().empty()) {
      words.emplace_back();
    }
  });
  if (words.back().empty()) words.pop_back();
  return words;
}

/// Blanks for articles: between any two characters that are no part of a word, be they marks.
std::string without_articles(std::string_view text) {
  std::string plain;
  std::string run;  // of a word's characters
  const auto end_run = [&] {
    plain += run == "a" || run == "an" || run == "the" ? " " : run;
    run.clear();
  };
  for_each_code_point(text, [&](uint32_t point, std::string_view bytes) {
    if (is_word_character(point)) {
      run += bytes;
    } else {
      end_run();
      plain += bytes;
    }
  });
  end_run();
  return plain;
}

std::vector<std::string> plain_words(std::string_view text) {
  std::string plain = text::to_lowercase_in_words(to_well_formed(text));
  std::erase_if(plain, [](char c) { return std::ispunct(static_cast<unsigned char>(c)) != 0; });
  return words_of(without_articles(plain));
}

/// LongBench's list, gaps included: U+300A, the opening 《, is no part of it, 》 is.
bool is_chinese_punctuation(uint32_t point) {
  constexpr std::array kListed{text::CodePointRange{0x2013, 0x2014},
                               text::CodePointRange{0x2018, 0x2019},
                               text::CodePointRange{0x201B, 0x201F},
                               text::CodePointRange{0x2026, 0x2027},
                               text::CodePointRange{0x3001, 0x3003},
                               text::CodePointRange{0x300B, 0x3011},
                               text::CodePointRange{0x3014, 0x301F},
                               text::CodePointRange{0x3030, 0x3030},
                               text::CodePointRange{0x303E, 0x303F},
                               text::CodePointRange{0xFE4F, 0xFE4F},
                               text::CodePointRange{0xFF01, 0xFF0D},
                               text::CodePointRange{0xFF0F, 0xFF0F},
                               text::CodePointRange{0xFF1A, 0xFF20},
                               text::CodePointRange{0xFF3B, 0xFF40},
                               text::CodePointRange{0xFF5B, 0xFF64}};
  return std::ranges::any_of(kListed, [point](const text::CodePointRange& range) {
    return point >= range.first && point <= range.last;
  });
}

bool is_punctuation(uint32_t point) {
  return point < 0x80 ? std::ispunct(static_cast<int>(point)) != 0 : is_chinese_punctuation(point);
}

std::vector<std::string> plain_chinese_words(std::string_view text) {
  std::vector<std::string> words;
  for (const std::string& word : words_of(text)) {
    std::string plain;
    const std::string lower = text::to_lowercase_in_words(to_well_formed(word));
    for_each_code_point(lower, [&plain](uint32_t point, std::string_view bytes) {
      if (!is_punctuation(point)) plain += bytes;
    });
    if (!plain.empty()) words.push_back(std::move(plain));
  }
  return words;
}

double f1(const std::vector<std::string>& given, const std::vector<std::string>& wanted) {
  std::map<std::string, int64_t> left;
  for (const std::string& word : wanted) ++left[word];
  double same = 0;
  for (const std::string& word : given) {
    if (left[word]-- > 0) ++same;
  }
  if (same == 0) return 0;
  const double precision = same / static_cast<double>(given.size());
  const double recall = same / static_cast<double>(wanted.size());
  return 2 * precision * recall / (precision + recall);
}

/// As the package rouge has them, which LongBench uses: one of blanks alone is one empty word.
std::vector<std::vector<std::string>> sentences_of(std::string_view text) {
  std::vector<std::vector<std::string>> sentences;
  for (size_t begin = 0; begin <= text.size();) {
    const size_t end = std::min(text.find('.', begin), text.size());
    if (end > begin) {
      sentences.push_back(words_of(text.substr(begin, end - begin)));
      if (sentences.back().empty()) sentences.back().emplace_back();
    }
    begin = end + 1;
  }
  return sentences;
}

/// Lengths of the longest common subsequences of all beginnings, [a + 1][b + 1].
template <class Sequence>
std::vector<std::vector<size_t>> common_lengths(const Sequence& a, const Sequence& b) {
  std::vector<std::vector<size_t>> table(a.size() + 1, std::vector<size_t>(b.size() + 1, 0));
  for (size_t i = 1; i <= a.size(); ++i) {
    for (size_t j = 1; j <= b.size(); ++j) {
      table[i][j] = a[i - 1] == b[j - 1] ? table[i - 1][j - 1] + 1
                                         : std::max(table[i - 1][j], table[i][j - 1]);
    }
  }
  return table;
}

void add_common_words(const std::vector<std::string>& reference,
                      const std::vector<std::string>& answer,
                      std::set<std::string>& common) {
  const auto table = common_lengths(reference, answer);
  size_t i = reference.size();
  size_t j = answer.size();
  while (i > 0 && j > 0) {
    if (reference[i - 1] == answer[j - 1]) {
      common.insert(reference[i - 1]);
      --i;
      --j;
    } else if (table[i - 1][j] > table[i][j - 1]) {
      --i;
    } else {
      --j;
    }
  }
}

std::set<std::string> distinct(const std::vector<std::vector<std::string>>& sentences) {
  std::set<std::string> words;
  for (const auto& sentence : sentences) words.insert(sentence.begin(), sentence.end());
  return words;
}

std::vector<std::string> numbers_of(std::string_view text) {
  std::vector<std::string> numbers(1);
  for (const char c : text) {
    if (std::isdigit(static_cast<unsigned char>(c)) != 0) {
      numbers.back() += c;
    } else if (!numbers.back().empty()) {
      numbers.emplace_back();
    }
  }
  if (numbers.back().empty()) numbers.pop_back();
  return numbers;
}

/// The first line that holds no comment and no fence; "" where all do, as in LongBench.
std::string_view code_line(std::string_view answer) {
  while (answer.starts_with('\n')) answer.remove_prefix(1);
  for (size_t begin = 0; begin <= answer.size();) {
    const size_t end = std::min(answer.find('\n', begin), answer.size());
    const std::string_view line = answer.substr(begin, end - begin);
    const bool is_aside = line.find('`') != std::string_view::npos ||
                          line.find('#') != std::string_view::npos ||
                          line.find("//") != std::string_view::npos;
    if (!is_aside) return line;
    begin = end + 1;
  }
  return "";
}

std::vector<uint32_t> code_points(std::string_view text) {
  std::vector<uint32_t> points;
  for_each_code_point(text, [&](uint32_t point, std::string_view) { points.push_back(point); });
  return points;
}

}  // namespace

double word_f1(std::string_view answer, std::string_view reference) {
  return f1(plain_words(answer), plain_words(reference));
}

double segmented_f1(std::string_view answer, std::string_view reference) {
  return f1(plain_chinese_words(answer), plain_chinese_words(reference));
}

double rouge_l(std::string_view answer, std::string_view reference) {
  const auto given = sentences_of(answer);
  const auto wanted = sentences_of(reference);
  std::set<std::string> common;
  for (const auto& sentence : wanted) {
    for (const auto& other : given) add_common_words(sentence, other, common);
  }
  if (common.empty()) return 0;
  const auto same = static_cast<double>(common.size());
  const double recall = same / static_cast<double>(distinct(wanted).size());
  const double precision = same / static_cast<double>(distinct(given).size());
  return 2 * precision * recall / (precision + recall);
}

double class_score(const std::string& answer,
                   const std::string& reference,
                   std::span<const std::string> classes) {
  double named = 0;
  bool is_named = false;
  for (const std::string& name : classes) {
    if (answer.find(name) == std::string::npos) continue;
    const bool is_part = name != reference && reference.find(name) != std::string::npos;
    if (is_part) continue;
    ++named;
    is_named = is_named || name == reference;
  }
  return is_named ? 1 / named : 0;
}

double number_score(std::string_view answer, std::string_view reference) {
  const std::vector<std::string> given = numbers_of(answer);
  const std::vector<std::string> wanted = numbers_of(reference);
  if (given.empty() || wanted.empty()) return 0;
  return static_cast<double>(std::ranges::count(given, wanted.front())) /
         static_cast<double>(given.size());
}

double code_similarity(std::string_view answer, std::string_view reference) {
  const std::vector<uint32_t> given = code_points(code_line(answer));
  const std::vector<uint32_t> wanted = code_points(reference);
  if (given.empty() || wanted.empty()) return 0;
  const auto common = static_cast<double>(common_lengths(given, wanted).back().back());
  const auto both = static_cast<double>(given.size() + wanted.size());
  return std::nearbyint(100 * 2 * common / both) / 100;
}

}  // namespace dms::tasks
