#include "text/pre_tokenizer.h"

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
  throw_unknown(fields.where() + ": behavior", given);
}

}  // namespace

std::string_view Pieces::keep(std::string text) {
  made_bytes += text.size();
  return made.emplace_back(std::move(text));
}

PreTokenizer::PreTokenizer(const Json& json, const std::string& where) : where_(where) {
  read(json, where);
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
    steps_.emplace_back(Split{FlagPattern{kNumeric},
                              individual ? SplitBehavior::isolated : SplitBehavior::contiguous,
                              false});
  } else if (type == "Punctuation") {
    steps_.emplace_back(
        Split{FlagPattern{kPunctuation}, read_behavior(JsonFields(json, here), "Isolated"), false});
  } else if (type == "WhitespaceSplit") {
    steps_.emplace_back(Split{FlagPattern{kSpace}, SplitBehavior::removed, false});
  } else if (type == "Metaspace") {
    read_metaspace(fields, here);
  } else {
    throw_unknown(where, type);
  }
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
  Metaspace step{.replacement = read_character(fields, "replacement"),
                 .prepend = Metaspace::Prepend::always,
                 .split = fields.boolean_or("split", true)};
  if (scheme == "first") {
    step.prepend = Metaspace::Prepend::first;
  } else if (scheme == "never") {
    step.prepend = Metaspace::Prepend::never;
  } else if (scheme != "always") {
    throw_unknown(where + ": prepend_scheme", scheme);
  }
  steps_.emplace_back(std::move(step));
}

void PreTokenizer::apply(std::string_view text,
                         size_t input_bytes,
                         bool at_start,
                         Pieces& out) const {
  const GrowthLimit limit(where_, input_bytes);
  std::vector<std::string_view> todo;
  out.pieces.assign(1, text);
  for (const Step& step : steps_) {
    todo.swap(out.pieces);
    out.pieces.clear();
    for (size_t i = 0; i < todo.size(); ++i) {
      const Piece piece{.text = todo[i], .at_start = at_start && i == 0};
      std::visit([&](const auto& kind) { run(kind, piece, limit, out); }, step);
      limit.check(out.made_bytes);
    }
  }
}

void PreTokenizer::run(const Split& step, Piece piece, const GrowthLimit&, Pieces& out) {
  split(step.pattern, step.behavior, step.invert, piece.text, out.pieces);
}

void PreTokenizer::run(const ByteLevel& step, Piece piece, const GrowthLimit&, Pieces& out) {
  std::string_view text = piece.text;
  if (step.add_prefix_space && !text.starts_with(' ')) {
    text = out.keep(std::string(1, ' ').append(text));
  }
  const size_t before = out.pieces.size();
  if (step.use_regex) {
    split_known(KnownPattern::gpt2, text, out.pieces);
  } else {
    out.pieces.push_back(text);
  }
  if (!step.spell_bytes) return;
  for (size_t i = before; i < out.pieces.size(); ++i) {
    out.pieces[i] = out.keep(to_byte_alphabet(out.pieces[i]));
  }
}

void PreTokenizer::run(const Metaspace& step, Piece piece, const GrowthLimit& limit, Pieces& out) {
  std::string made = replace_matches(LiteralPattern{" "}, piece.text, step.replacement, limit);
  const bool wanted = step.prepend == Metaspace::Prepend::always ||
                      (step.prepend == Metaspace::Prepend::first && piece.at_start);
  if (wanted && !made.starts_with(step.replacement)) made.insert(0, step.replacement);
  const std::string_view whole = out.keep(std::move(made));
  if (step.split) {
    const LiteralPattern replacement{step.replacement};
    split(replacement, SplitBehavior::merged_with_next, false, whole, out.pieces);
  } else {
    out.pieces.push_back(whole);
  }
}

}  // namespace dms::text
