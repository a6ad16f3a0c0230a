#include "train/data/document_builder.h"

#include <algorithm>
#include <string_view>

#include "base/random.h"
#include "dms/error.h"

namespace dms::train::data {
namespace {

std::string setting_of(const DatasetSection& dataset, const char* setting) {
  return "data.datasets." + dataset.name + "." + setting;
}

void check_split(const DatasetSection& dataset) {
  const std::string& split = dataset.split;
  if (split.empty()) return;
  if (split != "train" && split != "valid") {
    throw InputError({.where = setting_of(dataset, "split"),
                      .what = "bad value",
                      .got = split,
                      .expected = "train or valid"});
  }
  if (dataset.valid_fraction > 0.0 && dataset.valid_fraction < 1.0) return;
  throw InputError({.where = setting_of(dataset, "valid_fraction"),
                    .what = "bad value beside a split",
                    .got = std::to_string(dataset.valid_fraction),
                    .expected = "between 0 and 1"});
}

}  // namespace

std::optional<FieldPath> DocumentBuilder::field_path(const std::string& name,
                                                     const char* setting) const {
  if (name.empty()) return std::nullopt;
  return FieldPath(name, setting_of(dataset_, setting));
}

DocumentBuilder::DocumentBuilder(const DatasetSection& dataset,
                                 const DataSection& data,
                                 const ModelText& model)
    : dataset_(dataset), model_(model) {
  check_split(dataset);
  if (!dataset.filter.empty()) filter_.emplace(dataset.filter, setting_of(dataset, "filter"));
  prompt_ = field_path(dataset.prompt_field, "prompt");
  response_ = field_path(dataset.response_field, "response");
  if (dataset.kind == DatasetKind::conversation) {
    field_ = field_path(dataset.field, "conversation");
    const bool has_pair = prompt_ && response_;
    if (field_.has_value() == has_pair) {
      throw InputError({.where = "data.datasets." + dataset.name,
                        .what = "a conversation comes from one field or from two",
                        .expected = "either conversation, or prompt and response"});
    }
    conversations_.emplace(model, data.tokenizer_kwargs, data.loss_on);
    return;
  }
  field_ = field_path(dataset.field.empty() ? "text" : dataset.field, "text");
  if (data.add_eos && !model.end_token()) {
    throw InputError({.where = "data.add_eos",
                      .what = "the model names no end token",
                      .hint = "set eos_token_id in its config.json or eos_token in its "
                              "tokenizer_config.json, or add_eos: false"});
  }
  if (data.add_eos) eos_ = model.end_token();
}

bool DocumentBuilder::is_in_split(const Record& record) const {
  if (dataset_.split.empty()) return true;
  // By content: two datasets over the same files part them without overlap, in whatever order.
  const double place = static_cast<double>(stable_hash(record.text) >> 11) * 0x1p-53;
  return (place < dataset_.valid_fraction) == (dataset_.split == "valid");
}

Json DocumentBuilder::messages_of(const Json& fields, const std::string& where) const {
  if (prompt_) {
    return Json::array({{{"role", "user"}, {"content", prompt_->find_text(fields, where)}},
                        {{"role", "assistant"}, {"content", response_->find_text(fields, where)}}});
  }
  Json messages = field_->find(fields, where);
  if (!messages.is_array()) {
    throw InputError({.where = where + ": field " + dataset_.field,
                      .what = "wrong type",
                      .got = messages.type_name(),
                      .expected = "a list of {role, content}"});
  }
  return messages;
}

BuiltDocument DocumentBuilder::build(const Record& record) const {
  if (!is_in_split(record)) return {.document = {}, .dropped = "other split"};
  if (!record.is_json && conversations_) {
    throw InputError({.where = record.where,
                      .what = "a text file holds no conversations",
                      .expected = ".jsonl"});
  }
  const Json fields = fields_of(record);
  if (filter_ && !filter_->holds(fields, record.where + ": filter")) {
    return {.document = {}, .dropped = "filter"};
  }
  Document document;
  try {
    document = encode(record, fields);
  } catch (const InputError& error) {
    if (std::string_view(error.what()).starts_with(record.where)) throw;
    throw InputError({.where = record.where, .what = error.what()});
  }
  if (document.ids.empty()) return {.document = {}, .dropped = "empty"};
  const bool has_targets = document.loss.empty() || std::ranges::count(document.loss, 1) > 0;
  if (!has_targets) return {.document = {}, .dropped = "no assistant turn"};
  return {.document = std::move(document), .dropped = {}};
}

Json DocumentBuilder::fields_of(const Record& record) const {
  if (!record.is_json) return filter_ ? Json{{"text", record.text}} : Json();
  Json fields = parse_json(record.text, record.where);
  JsonFields(fields, record.where);
  return fields;
}

Document DocumentBuilder::encode(const Record& record, const Json& fields) const {
  if (conversations_) {
    const Json messages = messages_of(fields, record.where);
    return messages.empty() ? Document() : conversations_->encode(messages, record.where);
  }
  const std::string& text = record.is_json ? field_->find_text(fields, record.where) : record.text;
  if (text.empty()) return {};
  Document document = encode_text(model_.tokenizer, text);
  if (eos_ && !document.ids.empty() && document.ids.back() != *eos_) document.ids.push_back(*eos_);
  return document;
}

}  // namespace dms::train::data
