// RULER's aggregation tasks: the most common words of a list, and of a coded text.

#include <algorithm>
#include <memory>
#include <numbers>
#include <set>
#include <utility>

#include <fmt/format.h>

#include "tasks/draws.h"
#include "tasks/recall_phrases.h"
#include "tasks/ruler_draft.h"

namespace dms::tasks {
namespace {

constexpr int64_t kCommonWords = 10;
constexpr int64_t kShortLength = 4096;  // below it words are repeated less

struct Repeats {
  int64_t words;  // of the solved example
  int64_t common;
  int64_t others;
};

/// All words that lists are made of, shuffled, those of one word first: compounds only fill up.
std::vector<std::string> draw_pool(const Haystack& essay, Random& random) {
  std::set<std::string> single(kAdjectives.begin(), kAdjectives.end());
  single.insert(kNouns.begin(), kNouns.end());
  single.insert(essay.vocabulary().begin(), essay.vocabulary().end());
  std::vector<std::string> pool(single.begin(), single.end());
  shuffle(std::span(pool), random);
  const auto singles = pool.size();
  for (const std::string_view adjective : kAdjectives) {
    for (const std::string_view noun : kNouns)
      pool.push_back(fmt::format("{}-{}", adjective, noun));
  }
  shuffle(std::span(pool).subspan(singles), random);
  return pool;
}

std::string numbered(std::span<const std::string> words) {
  std::string text;
  for (size_t i = 0; i < words.size(); ++i) {
    text += fmt::format("{}{}. {}", i == 0 ? "" : " ", i + 1, words[i]);
  }
  return text;
}

/// The words of `list` again and again, the first ones more often, in random order.
std::string repeated(std::span<const std::string> list, const Repeats& repeats, Random random) {
  std::vector<std::string> words;
  for (size_t i = 0; i < list.size(); ++i) {
    const bool is_common = i < static_cast<size_t>(kCommonWords);
    words.insert(
        words.end(), static_cast<size_t>(is_common ? repeats.common : repeats.others), list[i]);
  }
  shuffle(std::span(words), random);
  return numbered(words);
}

RulerPrompt common_words(const std::string& list) {
  return {.context =
              "Below is a numbered list of words. In these words, some appear more often than "
              "others. Memorize the ones that appear most often.\n" +
              list + "\n",
          .question = "Question: What are the 10 most common words in the above list?",
          .answer_prefix = " Answer: The top 10 words that appear most often in the list are:",
          .answers = {}};
}

/// Words of six letters, each another; the first one is RULER's noise.
std::vector<std::string> draw_code(int64_t count, Random& random) {
  constexpr int64_t kLetters = 6;
  std::set<std::string> known;
  std::vector<std::string> words;
  words.emplace_back("...");
  while (std::ssize(words) < count) {
    std::string word;
    for (int64_t i = 0; i < kLetters; ++i) {
      word += static_cast<char>('a' + random.below('z' - 'a' + 1));
    }
    if (known.insert(word).second) words.push_back(std::move(word));
  }
  return words;
}

/// How often the word of rank `rank` stands in a text of about `words`: a zeta law of exponent 2.
int64_t zeta_count(int64_t words, size_t rank) {
  constexpr double kZetaOfTwo = std::numbers::pi * std::numbers::pi / 6.0;
  const auto k = static_cast<double>(rank);
  return static_cast<int64_t>(static_cast<double>(words) / (k * k) / kZetaOfTwo);
}

std::string coded_text(const std::vector<std::string>& code, int64_t words, Random random) {
  std::vector<std::string> text;
  for (size_t i = 0; i < code.size(); ++i) {
    text.insert(text.end(), static_cast<size_t>(zeta_count(words, i + 1)), code[i]);
  }
  shuffle(std::span(text), random);
  return fmt::format("{}", fmt::join(text, " "));
}

}  // namespace

RulerDraft draft_common_words(const RulerSettings& settings, Random random) {
  const bool is_short = settings.length < kShortLength;
  const Repeats example_repeats = is_short ? Repeats{.words = 20, .common = 3, .others = 1}
                                           : Repeats{.words = 40, .common = 10, .others = 3};
  const Repeats repeats = is_short ? Repeats{.words = 0, .common = 6, .others = 1}
                                   : Repeats{.words = 0, .common = 30, .others = 3};
  const std::vector<std::string> solved = draw_pool(*settings.essay, random);
  const auto shown = std::span(solved).first(static_cast<size_t>(example_repeats.words));
  std::string example = common_words(repeated(shown, example_repeats, random)).text();
  example += fmt::format(" {}\n", numbered(shown.first(static_cast<size_t>(kCommonWords))));
  auto pool = std::make_shared<const std::vector<std::string>>(draw_pool(*settings.essay, random));
  // One word more than the common ones, or there is nothing to tell them from.
  return {.least = kCommonWords + 1,
          .most = std::ssize(*pool),
          .write = [pool, repeats, example, random](int64_t words) {
            const auto list = std::span(*pool).first(static_cast<size_t>(words));
            RulerPrompt prompt = common_words(repeated(list, repeats, random));
            prompt.context = example + prompt.context;
            prompt.answers.assign(list.begin(), list.begin() + kCommonWords);
            return prompt;
          }};
}

RulerDraft draft_frequent_words(const RulerSettings& settings,
                                int64_t answer_tokens,
                                Random random) {
  constexpr int64_t kTokensPerWord = 50;  // of the vocabulary
  constexpr int64_t kFewestWords = 5;     // noise, three answers, and one that is none
  // With so many words rank 4 stands there more often than rank 5.
  constexpr int64_t kLeast = 60;
  const int64_t vocabulary = (settings.length - answer_tokens) / kTokensPerWord;
  auto code = std::make_shared<const std::vector<std::string>>(
      draw_code(std::max(vocabulary, kFewestWords), random));
  return {.least = kLeast, .write = [code, random](int64_t words) {
            return RulerPrompt{
                .context = fmt::format(
                    "Read the following coded text and track the frequency of each coded word. "
                    "Find the three most frequently appeared coded words. {}\n",
                    coded_text(*code, words, random)),
                .question =
                    "Question: Do not provide any explanation. Please ignore the dots '....'. What "
                    "are the three most frequently appeared words in the above coded text?",
                .answer_prefix =
                    " Answer: According to the coded text above, the three most "
                    "frequently appeared words are:",
                .answers = {code->begin() + 1, code->begin() + 4}};
          }};
}

}  // namespace dms::tasks
