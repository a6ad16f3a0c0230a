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
  /// Throws InputError naming a kind it does not know.
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
  static Template read_template(const Json& json, const std::string& where);

  std::vector<Template> templates_;
};

}  // namespace dms::text
