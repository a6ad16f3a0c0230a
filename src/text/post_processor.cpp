#include "text/post_processor.h"

#include <algorithm>
#include <utility>

#include "dms/error.h"
#include "text/pipeline_json.h"
#include "text/vocabulary.h"

namespace dms::text {
namespace {

// A few in every published tokenizer.
constexpr size_t kMaxSpecialIds = 1024;

std::vector<int32_t> special_ids(const Json& tokens,
                                 const std::string& name,
                                 const std::string& where) {
  const JsonFields all(tokens, where + ": special_tokens");
  const Json* entry = all.find(name);
  if (entry == nullptr) {
    throw InputError({.where = all.where(), .what = "token missing", .got = "'" + name + "'"});
  }
  const JsonFields token(*entry, all.where() + ": " + name);
  return integer_array(read_steps(token, "ids"), Vocabulary::kMaxId, token.where() + ": ids");
}

}  // namespace

PostProcessor::PostProcessor(const Json& json, const std::string& where) { read(json, where); }

void PostProcessor::read(const Json& json, const std::string& where) {
  const JsonFields fields(json, where);
  const std::string type = fields.string("type");
  if (type == "Sequence") {
    for (const Json& step : read_steps(fields, "processors")) read(step, where);
  } else if (type == "TemplateProcessing") {
    templates_.push_back(read_template(json, where + ": TemplateProcessing"));
  } else if (type != "ByteLevel") {
    throw_unknown(where, type);
  }
}

PostProcessor::Template PostProcessor::read_template(const Json& json, const std::string& where) {
  const JsonFields fields(json, where);
  const Json* tokens = fields.find("special_tokens");
  const Json none = Json::object();
  Template items;
  for (const Json& item : read_steps(fields, "single")) {
    const JsonFields piece(item, where + ": single");
    if (const Json* text = piece.find("Sequence")) {
      const JsonFields sequence(*text, piece.where());
      const std::string id = sequence.string("id");
      if (id != "A") throw_unknown(piece.where(), "Sequence " + id);
      if (std::ranges::any_of(items, &Item::is_text)) {
        throw_unknown(piece.where(), "Sequence A more than once");
      }
      items.push_back({true, {}});
    } else if (const Json* token = piece.find("SpecialToken")) {
      const std::string name = JsonFields(*token, piece.where()).string("id");
      add_special(items, special_ids(tokens == nullptr ? none : *tokens, name, where), where);
    } else {
      throw_unknown(piece.where(), item.dump(-1, ' ', true).substr(0, 60));
    }
  }
  return items;
}

void PostProcessor::add_special(Template& items,
                                std::vector<int32_t> ids,
                                const std::string& where) {
  special_ids_ += ids.size();
  if (special_ids_ > kMaxSpecialIds) {
    throw InputError({.where = where,
                      .what = "too many special tokens",
                      .got = std::to_string(special_ids_),
                      .expected = "at most " + std::to_string(kMaxSpecialIds)});
  }
  items.push_back({false, std::move(ids)});
}

std::vector<int32_t> PostProcessor::apply(std::vector<int32_t> ids) const {
  for (const Template& items : templates_) {
    std::vector<int32_t> out;
    for (const Item& item : items) {
      const std::vector<int32_t>& part = item.is_text ? ids : item.ids;
      out.insert(out.end(), part.begin(), part.end());
    }
    ids = std::move(out);
  }
  return ids;
}

}  // namespace dms::text
