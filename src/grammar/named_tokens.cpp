#include "grammar/named_tokens.h"

#include <iterator>
#include <set>

#include "dms/error.h"
#include "grammar/form_json.h"
#include "text/tokenizer.h"

namespace dms::grammar {
namespace {

void add_tokens(const OrderedJson& value, std::set<int64_t>& ids) {
  if (value.is_object() && value.contains("type") && value["type"] == "token") {
    const auto token = value.find("token");
    if (token != value.end() && token->is_number_unsigned()) ids.insert(token->get<int64_t>());
  }
  if (!value.is_structured()) return;
  for (const OrderedJson& part : value) add_tokens(part, ids);
}

/// Nothing where it is none, which its compilation says.
OrderedJson parse_tag(const Structure& structure) {
  try {
    return parse_form(structure, FormLimits());
  } catch (const InputError&) {
    return nullptr;
  }
}

}  // namespace

std::vector<int32_t> named_tokens(const Structure& structure,
                                  const text::Tokenizer& tokenizer,
                                  int64_t vocab) {
  const bool is_tag = structure.kind == Structure::Kind::structural_tag;
  const bool may_name = is_tag && structure.text.size() <= FormLimits().tag_bytes &&
                        structure.text.find("\"token\"") != std::string::npos;
  if (!may_name) return {};
  std::set<int64_t> ids;
  add_tokens(parse_tag(structure), ids);
  std::vector<int32_t> named;
  for (const int64_t id : ids) {
    const auto token = static_cast<int32_t>(id);
    if (id >= 0 && id < vocab && tokenizer.special_text(token)) named.push_back(token);
  }
  return named;
}

}  // namespace dms::grammar
