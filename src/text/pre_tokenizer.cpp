#include "text/pre_tokenizer.h"

#include <algorithm>
#include <array>
#include <utility>

#include "dms/error.h"
#include "text/byte_alphabet.h"
#include "text/pipeline_json.h"
#include "text/unicode_tables.h"

namespace dms::text {
namespace {

SplitBehavior read_behavior(const JsonFields& fields, std::string fallback) {
  constexpr std::array<std::pair<std::string_view, SplitBehavior>, 5> kNames = {{
      {"Removed", SplitBehavior::removed},
      {"Isolated", SplitBehavior::isolated},
      {"MergedWithPrevious", SplitBehavior::merged_with_previous},
      {"MergedWithNext", SplitBehavior::merged_with_next},
      {"Contiguous", SplitBehavior::contiguous},
  }};
  const std::string given = fields.string_or("behavior", std::move(fallback));
  for (const auto& [name, behavior] : kNames) {
    if (given == name) return behavior;
  }
  throw_unknown(fields.where() + ": behavior",
                given,
                "Removed, Isolated, MergedWithPrevious, MergedWithNext, Contiguous");
}

}  // namespace

PreTokenizer::PreTokenizer(const Json& json, const std::string& where) : where_(where) {
  read(json, where);
  check_steps(steps_.size(), where);
  if (steps_.empty()) return;
  if (auto* last = std::get_if<ByteLevel>(&steps_.back())) {
    last->spell_bytes = false;
    alphabet_ = Bpe::Alphabet::bytes;
  }
}

void PreTokenizer::read(const Json& json, const std::string& where) {
  const JsonFields fields(json, where);
  const std::string type = fields.string("type");
  const std::string here = where + ": " + type;
  if (type == "Sequence") {
    for (const Json& step : read_steps(fields, "pretokenizers")) read(step, where);
  } else if (type == "Split") {
    read_split(fields, here);
  } else if (type == "ByteLevel") {
    steps_.emplace_back(ByteLevel{
        fields.boolean_or("add_prefix_space", true), fields.boolean_or("use_regex", true), true});
  } else if (type == "Digits") {
    const bool individual = fields.boolean_or("individual_digits", false);
    add_split(kNumeric, individual ? SplitBehavior::isolated : SplitBehavior::contiguous);
  } else if (type == "Punctuation") {
    add_split(kPunctuation, read_behavior(JsonFields(json, here), "Isolated"));
  } else if (type == "WhitespaceSplit") {
    add_split(kSpace, SplitBehavior::removed);
  } else if (type == "Whitespace") {  // \w+|[^\w\s]+
    add_split(kSpace, SplitBehavior::removed);
    add_split(kAddedWord, SplitBehavior::contiguous);
  } else if (type == "BertPreTokenizer") {
    add_split(kSpace, SplitBehavior::removed);
    add_split(kPunctuation, SplitBehavior::isolated);
  } else if (type == "CharDelimiterSplit") {
    LiteralPattern delimiter{read_character(JsonFields(json, here), "delimiter")};
    steps_.emplace_back(Split{std::move(delimiter), SplitBehavior::removed, false});
  } else if (type == "Metaspace") {
    read_metaspace(fields, here);
  } else {
    throw_unknown(where,
                  type,
                  "Split, ByteLevel, Metaspace, Digits, Punctuation, Whitespace, WhitespaceSplit, "
                  "CharDelimiterSplit, BertPreTokenizer, Sequence");
  }
}

void PreTokenizer::add_split(uint16_t flag, SplitBehavior behavior) {
  steps_.emplace_back(Split{FlagPattern{flag}, behavior, false});
}

void PreTokenizer::read_split(const JsonFields& fields, const std::string& where) {
  const Json* pattern = fields.find("pattern");
  steps_.emplace_back(Split{read_pattern(pattern == nullptr ? Json() : *pattern, where),
                            read_behavior(fields, ""),
                            fields.boolean_or("invert", false)});
}

void PreTokenizer::read_metaspace(const JsonFields& fields, const std::string& where) {
  const std::string older = fields.boolean_or("add_prefix_space", true) ? "always" : "never";
  const std::string scheme = fields.string_or("prepend_scheme", older);
  Metaspace step{.replacement = {read_character(fields, "replacement")},
                 .prepend = Metaspace::Prepend::always,
                 .split = fields.boolean_or("split", true)};
  if (scheme == "first") {
    step.prepend = Metaspace::Prepend::first;
  } else if (scheme == "never") {
    step.prepend = Metaspace::Prepend::never;
  } else if (scheme != "always") {
    throw_unknown(where + ": prepend_scheme", scheme, "always, first, never");
  }
  steps_.emplace_back(std::move(step));
}

// One text on its way through the steps: each gives its pieces to the next at once, so that no list
// of them is ever made.
class PreTokenizer::Run {
 public:
  Run(const PreTokenizer& owner, size_t input_bytes, RegexWork& work, PieceSink sink)
      : steps_(owner.steps_), limit_(owner.where_, input_bytes), work_(work), sink_(sink) {}

  bool from_step(size_t step, Piece piece) {
    if (step == steps_.size()) return sink_(piece.text);
    const auto next = [&](std::string_view part) {
      const bool begins_it = part.data() == piece.text.data();
      return from_step(step + 1, {.text = part, .at_start = piece.at_start && begins_it});
    };
    return std::visit([&](const auto& kind) { return run(kind, piece, next); }, steps_[step]);
  }

 private:
  template <class Next>
  bool run(const Split& step, const Piece& piece, const Next& next) {
    return split(step.pattern, step.behavior, step.invert, piece.text, work_, next);
  }

  template <class Next>
  bool run(const ByteLevel& step, Piece& piece, const Next& next) {
    std::string made;
    if (step.add_prefix_space && !piece.text.starts_with(' ')) {
      made = std::string(1, ' ').append(piece.text);
      piece.text = count(made);
    }
    const auto spelled = [&](std::string_view part) {
      if (!step.spell_bytes) return next(part);
      const bool begins_it = part.data() == piece.text.data();
      const std::string bytes = to_byte_alphabet(part);
      return from_made(count(bytes), begins_it, piece, next);
    };
    if (!step.use_regex) return spelled(piece.text);
    return split_known(KnownPattern::gpt2, piece.text, spelled);
  }

  // `next` tells the first part of a piece by its address: a part made anew takes the piece's
  // place.
  template <class Next>
  static bool from_made(std::string_view made, bool begins_it, Piece& piece, const Next& next) {
    const std::string_view whole = piece.text;
    piece.text = begins_it ? made : std::string_view();
    const bool goes_on = next(made);
    piece.text = whole;
    return goes_on;
  }

  template <class Next>
  bool run(const Metaspace& step, Piece& piece, const Next& next) {
    const std::string& replacement = step.replacement.text;
    std::string made = replace_matches(LiteralPattern{" "}, piece.text, replacement, limit_, work_);
    const bool wanted = step.prepend == Metaspace::Prepend::always ||
                        (step.prepend == Metaspace::Prepend::first && piece.at_start);
    if (wanted && !made.starts_with(replacement)) made.insert(0, replacement);
    piece.text = count(made);
    if (!step.split) return next(piece.text);
    return split(step.replacement, SplitBehavior::merged_with_next, false, piece.text, work_, next);
  }

  std::string_view count(const std::string& made) {
    made_bytes_ += made.size();
    limit_.check(made_bytes_);
    return made;
  }

  const std::vector<Step>& steps_;
  GrowthLimit limit_;
  size_t made_bytes_ = 0;
  RegexWork& work_;
  PieceSink sink_;
};

bool PreTokenizer::keeps_text() const {
  return std::ranges::none_of(steps_, [](const Step& step) {
    const auto* split = std::get_if<Split>(&step);
    return split != nullptr && split->behavior == SplitBehavior::removed;
  });
}

bool PreTokenizer::apply(std::string_view text,
                         size_t input_bytes,
                         bool at_start,
                         RegexWork& work,
                         PieceSink sink) const {
  return Run(*this, input_bytes, work, sink).from_step(0, {.text = text, .at_start = at_start});
}

}  // namespace dms::text
