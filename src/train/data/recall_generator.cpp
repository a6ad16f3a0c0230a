#include "train/data/recall_generator.h"

#include <algorithm>
#include <array>
#include <numeric>
#include <string>
#include <utility>
#include <vector>

#include "dms/error.h"
#include "train/data/generator_settings.h"
#include "train/data/recall_phrases.h"

namespace dms::train::data {
namespace {

constexpr int64_t kMaxNeedles = 1000;  // far fewer than there are keys
constexpr int64_t kMaxDigits = 18;

struct Fact {
  std::string key;
  std::string value;
  double depth = 0.0;  // where in the text, 0 to 1
};

/// What a document says; how much text is around it is decided when it is written.
struct Plan {
  RecallPhrases phrases;
  std::string thing;
  std::vector<Fact> facts;  // by depth
  std::vector<size_t> asked;
};

struct Written {
  std::string text;
  std::vector<ByteSpan> answers;
};

std::string fill_in(std::string_view phrase, const std::string& thing, const Fact& fact) {
  const std::array<std::pair<std::string_view, const std::string&>, 3> values{
      {{"{thing}", thing}, {"{key}", fact.key}, {"{value}", fact.value}}};
  std::string text(phrase);
  for (const auto& [name, value] : values) {
    for (size_t at = text.find(name); at != std::string::npos; at = text.find(name, at)) {
      text.replace(at, name.size(), value);
      at += value.size();
    }
  }
  return text;
}

/// Places between which a text may be parted: its two ends, and where sentences or paragraphs
/// begin; in text without sentences, words.
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

std::string draw_number(int64_t digits, Random& random) {
  std::string number(1, static_cast<char>('1' + random.below(9)));
  while (std::ssize(number) < digits) number += static_cast<char>('0' + random.below(10));
  return number;
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

class RecallGenerator final : public Generator {
 public:
  explicit RecallGenerator(const GeneratorContext& context) : context_(context) {
    const GeneratorSettings settings(
        context,
        {"min_tokens", "max_tokens", "needles", "queries", "digits", "uuid_share", "noise_share"});
    const JsonFields& fields = settings.fields();
    const int64_t max = context.max_length;
    documents_ = settings.documents();
    seed_ = settings.seed();
    only_answers_ = settings.loss_is("answer");
    tokens_.last = fields.integer_or("max_tokens", max, 1, max);
    tokens_.first =
        fields.integer_or("min_tokens", std::min<int64_t>(256, tokens_.last), 1, tokens_.last);
    needles_ = settings.range("needles", {1, 4}, 1, kMaxNeedles);
    queries_ = settings.range("queries", {1, 1}, 1, kMaxNeedles);
    digits_ = settings.range("digits", {7, 7}, 1, kMaxDigits);
    uuid_share_ = fields.number_or("uuid_share", 0.0, 0.0, 1.0);
    noise_share_ = fields.number_or("noise_share", 0.1, 0.0, 1.0);
    if (noise_share_ < 1.0) require_source(context);
  }

  int64_t documents() const override { return documents_; }

  Document make(int64_t index) const override {
    Random random(seed_, "recall", index);
    const int64_t wanted = random.log_between(tokens_.first, tokens_.last);
    const Plan plan = draw_plan(random);
    const int64_t bare = std::ssize(encode(write(plan, {}).text));
    if (bare > tokens_.last) throw_too_small(bare);
    const int64_t limit = std::max(wanted, bare);
    const std::string filler = draw_filler(limit, random);
    // Tokens change a little where facts are put in, so the filler's length is found by trying.
    size_t length = at_character(
        filler, filler.size() * static_cast<size_t>(limit - bare) / static_cast<size_t>(limit));
    while (true) {
      const Written written = write(plan, filler.substr(0, length));
      const int64_t tokens = std::ssize(encode(written.text));
      if (tokens <= limit) return finish(written);
      const size_t fewer =
          static_cast<size_t>(tokens - limit) * length / static_cast<size_t>(tokens) + 1;
      length = at_character(filler, length - std::min(length, fewer));
    }
  }

 private:
  [[noreturn]] void throw_too_small(int64_t bare) const {
    throw InputError({.where = context_.where + ".max_tokens",
                      .what = "too small for this many needles and queries",
                      .got = std::to_string(tokens_.last),
                      .expected = "at least " + std::to_string(bare)});
  }

  /// The last place at or before `at` where no UTF-8 character is cut.
  static size_t at_character(const std::string& text, size_t at) {
    while (at > 0 && at < text.size() && (static_cast<unsigned char>(text[at]) & 0xc0u) == 0x80u) {
      --at;
    }
    return at;
  }

  Plan draw_plan(Random& random) const {
    Plan plan;
    const auto others = static_cast<int64_t>(kRecallPhrases.size()) - 1;
    const bool is_rulers = random.chance(0.5);
    plan.phrases = kRecallPhrases[is_rulers ? 0 : static_cast<size_t>(1 + random.below(others))];
    const bool has_uuids = random.chance(uuid_share_);
    plan.thing = has_uuids ? "uuid" : "number";
    const int64_t facts = needles_.draw(random);
    const int64_t digits = digits_.draw(random);
    for (int64_t i = 0; i < facts; ++i) {
      plan.facts.push_back({.key = draw_key(plan.facts, random),
                            .value = has_uuids ? draw_uuid(random) : draw_number(digits, random),
                            .depth = static_cast<double>(random.below(1 << 20)) * 0x1p-20});
    }
    std::ranges::stable_sort(plan.facts, {}, &Fact::depth);
    plan.asked.resize(static_cast<size_t>(facts));
    std::iota(plan.asked.begin(), plan.asked.end(), size_t{0});
    shuffle(std::span(plan.asked), random);
    plan.asked.resize(static_cast<size_t>(std::min(facts, queries_.draw(random))));
    return plan;
  }

  static std::string draw_key(const std::vector<Fact>& taken, Random& random) {
    while (true) {
      std::string key(kAdjectives[static_cast<size_t>(random.below(std::ssize(kAdjectives)))]);
      key += '-';
      key += kNouns[static_cast<size_t>(random.below(std::ssize(kNouns)))];
      if (std::ranges::find(taken, key, &Fact::key) == taken.end()) return key;
    }
  }

  std::string draw_filler(int64_t tokens, Random& random) const {
    const text::Tokenizer& tokenizer = context_.model.tokenizer;
    if (!random.chance(noise_share_)) {
      return tokenizer.decode(draw_source_tokens(context_, tokens, random), true);
    }
    const int64_t tokens_each = std::ssize(tokenizer.encode(kRecallNoise, false));
    std::string text;
    for (int64_t i = 0; i < tokens; i += tokens_each) text += kRecallNoise;
    return text;
  }

  /// The document with this text around its facts.
  static Written write(const Plan& plan, const std::string& filler) {
    const bool is_one = plan.facts.size() == 1;
    Written written;
    std::string& text = written.text;
    text = fill_in(is_one ? plan.phrases.intro_one : plan.phrases.intro_many, plan.thing, {});
    append_haystack(plan, filler, text);
    for (const size_t asked : plan.asked) {
      const Fact& fact = plan.facts[asked];
      text += "\n";
      text += fill_in(plan.phrases.question, plan.thing, fact);
      text += fill_in(plan.phrases.answer, plan.thing, fact);
      const size_t begin = text.size();
      text += " " + fact.value + ".";
      written.answers.push_back({.begin = begin, .end = text.size()});
    }
    return written;
  }

  std::vector<int32_t> encode(const std::string& text) const {
    std::vector<int32_t> ids = encode_text(context_.model.tokenizer, text).ids;
    if (context_.end_token) ids.push_back(*context_.end_token);
    return ids;
  }

  Document finish(const Written& written) const {
    Document document{.ids = encode(written.text), .loss = {}};
    if (only_answers_) {
      document.loss = encode_text(context_.model.tokenizer, written.text, written.answers).loss;
      document.loss.resize(document.ids.size());  // the end token does not count
    }
    return document;
  }

  static void append_haystack(const Plan& plan, const std::string& filler, std::string& text) {
    const std::vector<size_t> starts = sentence_starts(filler);
    size_t done = 0;
    for (const Fact& fact : plan.facts) {
      const auto chosen = static_cast<size_t>(fact.depth * static_cast<double>(starts.size()));
      const size_t place = starts[chosen];
      text += filler.substr(done, place - done);
      done = place;
      if (place == filler.size() && !text.ends_with('\n') && !text.ends_with(' ')) text += ' ';
      text += fill_in(plan.phrases.fact, plan.thing, fact);
      text += place > 0 && filler[place - 1] == '\n' ? '\n' : ' ';
    }
    text += filler.substr(done);
  }

  GeneratorContext context_;
  int64_t documents_ = 0;
  uint64_t seed_ = 0;
  bool only_answers_ = false;
  Range tokens_;
  Range needles_;
  Range queries_;
  Range digits_;
  double uuid_share_ = 0.0;
  double noise_share_ = 0.0;
};

}  // namespace

std::unique_ptr<Generator> make_recall_generator(const GeneratorContext& context) {
  return std::make_unique<RecallGenerator>(context);
}

}  // namespace dms::train::data
