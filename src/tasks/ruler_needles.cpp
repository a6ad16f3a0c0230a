// RULER's needles in a haystack: eight tasks.

#include <algorithm>
#include <array>
#include <cmath>
#include <memory>
#include <utility>

#include <fmt/format.h>

#include "tasks/draws.h"
#include "tasks/ruler_draft.h"

namespace dms::tasks {
namespace {

constexpr int64_t kDepths = 40;  // places in an essay where needles may lie, ends included

std::string draw_part(NeedlePart part, int64_t digits, Random& random) {
  switch (part) {
    case NeedlePart::word:
      return draw_word_pair(random);
    case NeedlePart::number:
      return draw_number(digits, random);
    case NeedlePart::uuid:
      return draw_uuid4(random);
  }
  return {};
}

std::string_view noun_of(NeedlePart part) {
  constexpr std::array<std::string_view, 3> kNouns{"word", "number", "uuid"};
  return kNouns[static_cast<size_t>(part)];
}

std::string needle(std::string_view noun, const std::string& key, const std::string& value) {
  return fmt::format("One of the special magic {}s for {} is: {}.", noun, key, value);
}

/// What is drawn once for a prompt.
struct Drawn {
  NeedleShape shape;
  std::vector<std::string> keys{};                 // each another
  std::vector<std::vector<std::string>> values{};  // of each key
  std::vector<std::string> needles{};              // in the order they lie in the haystack
  std::vector<double> depths{};                    // rising, of each needle
  std::vector<size_t> asked{};                     // of keys
  uint64_t filler_seed = 0;
};

std::vector<double> draw_depths(int64_t count, bool is_essay, Random& random) {
  std::vector<double> depths;
  if (is_essay) {
    std::vector<int64_t> percents;
    for (int64_t i = 0; i < kDepths; ++i) {
      percents.push_back(
          std::lround(100.0 * static_cast<double>(i) / static_cast<double>(kDepths - 1)));
    }
    shuffle(std::span(percents), random);
    for (int64_t i = 0; i < count; ++i) {
      depths.push_back(static_cast<double>(percents[static_cast<size_t>(i)]) / 100.0);
    }
  } else {
    for (int64_t i = 0; i < count; ++i) depths.push_back(draw_share(random));
  }
  std::ranges::sort(depths);
  return depths;
}

Drawn draw(const NeedleShape& shape, double depth, Random& random) {
  Drawn drawn{.shape = shape};
  while (std::ssize(drawn.keys) < shape.keys) {
    std::string key = draw_part(shape.key, shape.digits, random);
    if (std::ranges::find(drawn.keys, key) != drawn.keys.end()) continue;
    std::vector<std::string>& values = drawn.values.emplace_back();
    for (int64_t i = 0; i < shape.values; ++i) {
      values.push_back(draw_part(shape.value, shape.digits, random));
      drawn.needles.push_back(needle(noun_of(shape.value), key, values.back()));
    }
    drawn.asked.push_back(drawn.keys.size());
    drawn.keys.push_back(std::move(key));
  }
  shuffle(std::span(drawn.needles), random);
  shuffle(std::span(drawn.asked), random);
  drawn.asked.resize(static_cast<size_t>(shape.queries));
  const bool is_essay = shape.haystack == NeedleHaystack::essay;
  drawn.depths = depth >= 0 ? std::vector<double>{depth}
                            : draw_depths(std::ssize(drawn.needles), is_essay, random);
  drawn.filler_seed = random.next();
  return drawn;
}

/// Needles between the sentences of an essay's first words.
std::string in_essay(const Drawn& drawn, const Haystack& essay, int64_t words) {
  const std::string text = essay.first(words);
  const std::vector<size_t> starts = sentence_starts(text);
  const auto sentences = static_cast<double>(starts.size() - 1);
  std::string context;
  size_t done = 0;
  const auto append = [&context](std::string_view part) {
    if (part.ends_with(' ')) part.remove_suffix(1);
    if (!context.empty() && !part.empty()) context += ' ';
    context += part;
  };
  for (size_t i = 0; i < drawn.needles.size(); ++i) {
    const size_t place = starts[static_cast<size_t>(sentences * drawn.depths[i])];
    append(std::string_view(text).substr(done, place - done));
    append(drawn.needles[i]);
    done = place;
  }
  append(std::string_view(text).substr(done));
  return context;
}

/// Needles among lines of noise, or of other needles.
std::string in_lines(const Drawn& drawn, int64_t lines) {
  const NeedleShape& shape = drawn.shape;
  Random filler(drawn.filler_seed, "filler");
  std::string context;
  size_t next = 0;
  for (int64_t line = 0; line <= lines; ++line) {
    while (next < drawn.needles.size() &&
           drawn.depths[next] * static_cast<double>(lines + 1) < static_cast<double>(line + 1)) {
      context += (context.empty() ? "" : "\n") + drawn.needles[next++];
    }
    if (line == lines) break;
    if (!context.empty()) context += '\n';
    if (shape.haystack == NeedleHaystack::noise) {
      context += kNoiseLine;
    } else {
      std::string key;
      do key = draw_part(shape.key, shape.digits, filler);
      while (std::ranges::find(drawn.keys, key) != drawn.keys.end());
      context += needle(noun_of(shape.value), key, draw_part(shape.value, shape.digits, filler));
    }
  }
  for (; next < drawn.needles.size(); ++next) context += "\n" + drawn.needles[next];
  return context;
}

/// "a", "a, and b", "a, b, and c".
std::string joined(const std::vector<std::string>& keys) {
  std::string text;
  for (size_t i = 0; i < keys.size(); ++i) {
    text += (i == 0 ? "" : i + 1 < keys.size() ? ", " : ", and ") + keys[i];
  }
  return text;
}

RulerPrompt worded(const Drawn& drawn, const std::string& haystack) {
  const NeedleShape& shape = drawn.shape;
  const std::string_view noun = noun_of(shape.value);
  RulerPrompt prompt;
  std::vector<std::string> keys;
  for (const size_t asked : drawn.asked) {
    keys.push_back(drawn.keys[asked]);
    const std::vector<std::string>& values = drawn.values[asked];
    prompt.answers.insert(prompt.answers.end(), values.begin(), values.end());
  }
  const bool is_one = shape.queries * shape.values == 1;
  const std::string thing = fmt::format("{}{}", noun, is_one ? "" : "s");
  prompt.context = fmt::format(
      "{} special magic {} {} hidden within the following text. Make sure to memorize it. I will "
      "quiz you about the {} afterwards.\n{}\n",
      is_one ? "A" : "Some",
      thing,
      is_one ? "is" : "are",
      thing,
      haystack);
  prompt.question =
      fmt::format("What {} the special magic {} for {} mentioned in the provided text?",
                  is_one ? "is" : "are all",
                  thing,
                  joined(keys));
  prompt.answer_prefix =
      fmt::format(" The special magic {} for {} mentioned in the provided text {}",
                  thing,
                  joined(keys),
                  is_one ? "is" : "are");
  return prompt;
}

}  // namespace

RulerDraft draft_needles(const NeedleShape& shape,
                         const RulerSettings& settings,
                         double depth,
                         Random random) {
  auto drawn = std::make_shared<const Drawn>(draw(shape, depth, random));
  return {.write = [drawn, essay = settings.essay](int64_t size) {
    const bool is_essay = drawn->shape.haystack == NeedleHaystack::essay;
    return worded(*drawn, is_essay ? in_essay(*drawn, *essay, size) : in_lines(*drawn, size));
  }};
}

}  // namespace dms::tasks
