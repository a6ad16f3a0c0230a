#pragma once
// A form that an answer is held to: of all tokens only those may come that lead to a text of it.
// End tokens may come where the text may end, and an answer that is complete ends as "stop".

#include <cstddef>
#include <memory>
#include <string>

namespace dms {

/// A Structure that LLM::compile() has made ready for one model.
class CompiledStructure;

/// Of a structural tag: a longer one is refused where it is compiled.
inline constexpr size_t kMostTagBytes = 512 * 1024;

struct Structure {
  enum class Kind {
    none,
    json_object,     // any JSON object
    json_schema,     // JSON that a schema describes
    regex,           // the whole answer matches
    choice,          // one of several texts
    grammar,         // EBNF as xgrammar reads it, or GBNF
    structural_tag,  // xgrammar's: free text with structured parts
  };
  Kind kind = Kind::none;
  // The schema, the expression, a JSON array of texts, the grammar or the tag (JSON).
  std::string text{};
  // Of a schema: refuse keywords that the answer would not be held to. False: leave them aside.
  bool refuses_unenforced = true;
  // Of JSON: spaces and line ends where JSON has them. False: one line, ", " and ": ".
  bool any_whitespace = true;
  // The form holds from after this text on, which comes first ("</think>"). Empty: from the start.
  std::string begins_after{};
  // Errors name it so; empty: by its kind.
  std::string field{};
  // By LLM::compile(); null: submit() sees to it, which may take a while.
  std::shared_ptr<const CompiledStructure> compiled{};
};

/// Whether this build can hold an answer to a form: it was made with xgrammar.
bool has_structures();

}  // namespace dms
