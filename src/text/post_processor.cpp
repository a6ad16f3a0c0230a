#include "text/post_processor.h"

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
  const std::string here = where + ": " + type;
  if (type == "Sequence") {
    for (const Json& step : read_steps(fields, "processors")) read(step, where);
  } else if (type == "TemplateProcessing") {
    read_template(json, here);
  } else if (type == "BertProcessing" || type == "RobertaProcessing") {
    read_pair(json, here);
  } else if (type != "ByteLevel") {
    throw_unknown(
        where, type, "TemplateProcessing, BertProcessing, RobertaProcessing, ByteLevel, Sequence");
  }
  const size_t ids = before_.size() + after_.size();
  if (ids > kMaxSpecialIds) {
    throw InputError({.where = here,
                      .what = "too many special tokens",
                      .got = std::to_string(ids),
                      .expected = "at most " + std::to_string(kMaxSpecialIds)});
  }
}

void PostProcessor::read_template(const Json& json, const std::string& where) {
  const JsonFields fields(json, where);
  const Json* tokens = fields.find("special_tokens");
  const Json none = Json::object();
  std::vector<int32_t> before;
  std::vector<int32_t> after;
  bool has_text = false;
  for (const Json& item : read_steps(fields, "single")) {
    const JsonFields piece(item, where + ": single");
    if (const Json* text = piece.find("Sequence")) {
      const std::string id = JsonFields(*text, piece.where()).string("id");
      if (id != "A") throw_unknown(piece.where(), "Sequence " + id, "Sequence A");
      if (has_text) throw_unknown(piece.where(), "Sequence A more than once", "Sequence A once");
      has_text = true;
    } else if (const Json* token = piece.find("SpecialToken")) {
      const std::string name = JsonFields(*token, piece.where()).string("id");
      const std::vector<int32_t> ids = special_ids(tokens == nullptr ? none : *tokens, name, where);
      std::vector<int32_t>& side = has_text ? after : before;
      side.insert(side.end(), ids.begin(), ids.end());
    } else {
      throw_unknown(
          piece.where(), item.dump(-1, ' ', true).substr(0, 60), "Sequence or SpecialToken");
    }
  }
  if (!has_text) {
    keeps_text_ = false;
    before_.clear();
    after_.clear();
  }
  wrap(std::move(before), after);
}

// ["token", id] under "cls" goes before the text, that under "sep" after it.
void PostProcessor::read_pair(const Json& json, const std::string& where) {
  const JsonFields fields(json, where);
  const auto id_of = [&](std::string_view key) {
    const Json& pair = read_steps(fields, key);
    const std::string here = where + ": " + std::string(key);
    if (pair.size() != 2) {
      throw InputError({.where = here, .what = "bad value", .expected = "[\"token\", id]"});
    }
    return integer_array(Json::array({pair[1]}), Vocabulary::kMaxId, here);
  };
  wrap(id_of("cls"), id_of("sep"));
}

void PostProcessor::wrap(std::vector<int32_t> before, const std::vector<int32_t>& after) {
  before.insert(before.end(), before_.begin(), before_.end());
  before_ = std::move(before);
  after_.insert(after_.end(), after.begin(), after.end());
}

}  // namespace dms::text
