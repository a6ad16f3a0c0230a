#pragma once
// From a record of a file to the tokens of a document, or the reason why there is none.

#include <optional>
#include <string>

#include "text/jinja/jinja.h"
#include "train/config/train_config.h"
#include "train/data/conversation.h"
#include "train/data/fields.h"
#include "train/data/model_text.h"
#include "train/data/sources.h"
#include "train/data/token_store.h"

namespace dms::train::data {

struct BuiltDocument {
  Document document;
  std::string dropped;  // the reason; empty: kept
};

/// Thread-safe.
class DocumentBuilder {
 public:
  /// `dataset` and `model` must outlive this. Throws InputError when the dataset's settings make no
  /// sense.
  DocumentBuilder(const DatasetSection& dataset, const DataSection& data, const ModelText& model);

  /// Throws InputError naming file, line and field.
  BuiltDocument build(const Record& record) const;

 private:
  bool is_in_split(const Record& record) const;
  Json fields_of(const Record& record) const;
  Document encode(const Record& record, const Json& fields) const;  // empty: no text
  Json messages_of(const Json& fields, const std::string& where) const;
  std::optional<FieldPath> field_path(const std::string& name, const char* setting) const;

  const DatasetSection& dataset_;
  const ModelText& model_;
  std::optional<int32_t> eos_;  // appended to texts
  std::optional<text::jinja::Expression> filter_;
  std::optional<FieldPath> field_;
  std::optional<FieldPath> prompt_;
  std::optional<FieldPath> response_;
  std::optional<ConversationEncoder> conversations_;
};

}  // namespace dms::train::data
