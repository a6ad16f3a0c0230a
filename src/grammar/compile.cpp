#include "grammar/compile.h"

#include <algorithm>
#include <exception>
#include <string>
#include <variant>
#include <vector>

#include <fmt/format.h>

#include "base/json.h"
#include "dms/error.h"
#include "grammar/compiler_messages.h"
#include "grammar/ebnf.h"
#include "grammar/field_name.h"
#include "grammar/form_json.h"
#include "grammar/form_limits.h"
#include "grammar/schema_check.h"

namespace dms::grammar {
namespace {

// Between two values of JSON: a line end and five levels of four. Small models write blanks as long
// as they may.
constexpr int kMostWhitespace = 21;
constexpr size_t kLongestMessage = 300;

[[noreturn]] void refuse(const Structure& structure, const std::string& what) {
  std::string line = what.substr(0, std::min(what.find('\n'), kLongestMessage));
  throw InputError({.field = field_name(structure), .what = std::move(line)});
}

xgrammar::Grammar json_grammar(const Structure& structure, const std::string& schema) {
  constexpr bool kIsStrict =
      true;  // objects have the properties that are named, unless they say more
  return xgrammar::Grammar::FromJSONSchema(
      schema,
      structure.any_whitespace,
      std::nullopt,
      std::nullopt,
      kIsStrict,
      structure.any_whitespace ? std::optional<int>(kMostWhitespace) : std::nullopt);
}

xgrammar::Grammar choice_grammar(const Structure& structure, const FormLimits& limits) {
  const OrderedJson list = parse_form(structure, limits);
  std::vector<std::string> choices;
  if (list.is_array()) {
    for (const OrderedJson& item : list) {
      if (item.is_string()) choices.push_back(item.get<std::string>());
    }
  }
  if (choices.empty() || choices.size() != list.size() || std::ssize(choices) > limits.choices ||
      std::ranges::count(choices, "") > 0) {
    throw InputError({.field = field_name(structure),
                      .what = "not a list of choices",
                      .got = quote_json(Json::parse(list.dump())),
                      .expected = fmt::format("1 to {} texts that are not empty", limits.choices)});
  }
  return xgrammar::Grammar::FromEBNF(ebnf_of_choices(choices));
}

xgrammar::Grammar tag_grammar(const Structure& structure,
                              const FormLimits& limits,
                              const xgrammar::TokenizerInfo& tokens) {
  auto made = xgrammar::Grammar::FromStructuralTag(checked_tag(structure, limits), tokens);
  if (auto* grammar = std::get_if<xgrammar::Grammar>(&made)) return std::move(*grammar);
  std::visit([&](const auto& error) { refuse(structure, error.what()); },
             std::get<xgrammar::StructuralTagError>(made));
  return xgrammar::Grammar(xgrammar::NullObj());
}

xgrammar::Grammar make_grammar(const Structure& structure, const xgrammar::TokenizerInfo& tokens) {
  const FormLimits limits;
  switch (structure.kind) {
    case Structure::Kind::none:
      break;
    case Structure::Kind::json_object:
      return json_grammar(structure, R"({"type": "object", "additionalProperties": true})");
    case Structure::Kind::json_schema:
      return json_grammar(structure, checked_schema(structure, limits));
    case Structure::Kind::regex:
      return xgrammar::Grammar::FromRegex(structure.text);
    case Structure::Kind::choice:
      return choice_grammar(structure, limits);
    case Structure::Kind::grammar:
      return xgrammar::Grammar::FromEBNF(ebnf_of_gbnf(structure.text));
    case Structure::Kind::structural_tag:
      return tag_grammar(structure, limits, tokens);
  }
  refuse(structure, "names no form");
}

}  // namespace

xgrammar::Grammar grammar_of(const Structure& structure, const xgrammar::TokenizerInfo& tokens) {
  const FormLimits limits;
  const bool is_pattern =
      structure.kind == Structure::Kind::regex || structure.kind == Structure::Kind::grammar;
  const bool is_tag = structure.kind == Structure::Kind::structural_tag;
  const size_t most = is_pattern ? limits.pattern_bytes : is_tag ? limits.tag_bytes : limits.bytes;
  check_bytes(structure.text.size(), most, field_name(structure));
  if (structure.text.find('\0') != std::string::npos) refuse(structure, "holds a zero byte");
  const WarningCollector collector;
  try {
    xgrammar::Grammar grammar = make_grammar(structure, tokens);
    // It warns of what it leaves aside.
    if (!collector.warnings().empty() && refuses_all_unenforced(structure, limits)) {
      refuse(structure, "cannot be held to: " + collector.warnings().front());
    }
    return grammar;
  } catch (const InputError&) {
    throw;
  } catch (const std::exception& error) {
    refuse(structure, error.what());
  }
}

}  // namespace dms::grammar
