#pragma once
// The post-processor of tokenizer.json for a single text: which special tokens go around it.
// TemplateProcessing, ByteLevel (which only moves offsets: nothing to do) and sequences of them.

#include <cstdint>
#include <string>
#include <vector>

#include "base/json.h"

namespace dms::text {

/// Thread-safe, movable.
class PostProcessor {
 public:
  PostProcessor() = default;
  /// Throws InputError naming a kind it does not know, for a template that names the text more than
  /// once and for absurdly many special tokens.
  PostProcessor(const Json& json, const std::string& where);

  /// `ids` with the special tokens around them.
  std::vector<int32_t> apply(std::vector<int32_t> ids) const;

 private:
  struct Item {
    bool is_text;              // the encoded text goes here
    std::vector<int32_t> ids;  // otherwise these
  };
  using Template = std::vector<Item>;

  void read(const Json& json, const std::string& where);
  Template read_template(const Json& json, const std::string& where);
  void add_special(Template& items, std::vector<int32_t> ids, const std::string& where);

  size_t special_ids_ = 0;  // of all templates together
  std::vector<Template> templates_;
};

}  // namespace dms::text
