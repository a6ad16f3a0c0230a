#pragma once
// The forms in which families of models write calls of functions, one row each.

#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "serve/call_syntax.h"

namespace dms::serve {

struct ToolForm {
  std::string_view name;
  // A chat template that holds one of them is of this form. Of the rows the first counts.
  std::vector<std::string_view> marks;
  std::string_view open;     // the tag before calls, or the word
  std::string_view close{};  // what ends them; empty: they end by themselves
  std::unique_ptr<CallSyntax> (*syntax)(std::string_view close, Tools tools);
  std::string_view bare{};       // an answer that begins with it is calls without the tag
  std::string_view separator{};  // one character that may stand between calls

  // How a model that must call is made to write: LIST_BEGIN CALL (BETWEEN CALL)* LIST_END, a call
  // being CALL_BEGIN name CALL_MIDDLE arguments CALL_END.
  std::string_view list_begin{};
  std::string_view call_begin{};
  std::string_view call_middle{};
  std::string_view call_end{};
  std::string_view between{};
  std::string_view list_end{};
  std::string_view arguments = "json";  // or xgrammar's style of them, or one of ours
  bool has_trigger =
      true;  // no text begins as calls do: they can be held wherever they are written

  std::vector<std::string_view>
      words{};                 // of the form, beside open and close, that may be special tokens
  bool has_short_ids = false;  // the template takes ids of nine letters and digits only

  // Of a family whose template shows functions by another argument than `tools`.
  std::string_view shown_as{};  // the argument that takes them
  std::string_view other{};     // the form that is asked for by giving functions as its `shown_as`
  std::string_view beside{};    // a form whose calls are read as well
};

std::span<const ToolForm> tool_forms();

/// Null where there is none of that name; where a template shows none.
const ToolForm* find_tool_form(std::string_view name);
const ToolForm* tool_form_of(std::string_view chat_template);

/// The form itself, and the one that is read beside it: the words that each may begin with differ.
std::vector<const ToolForm*> read_forms(const ToolForm& form);

/// "hermes, llama3_json, ..."
std::vector<std::string> tool_form_names();

}  // namespace dms::serve
