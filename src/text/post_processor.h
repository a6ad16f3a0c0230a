#pragma once
// The post-processor of tokenizer.json for a single text: which special tokens go around it.
// TemplateProcessing, BertProcessing, RobertaProcessing, ByteLevel (which only moves offsets:
// nothing to do) and sequences of them.

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

  /// The special tokens before and after a text's own.
  const std::vector<int32_t>& before() const { return before_; }
  const std::vector<int32_t>& after() const { return after_; }
  /// False where a template leaves the text out.
  bool keeps_text() const { return keeps_text_; }

 private:
  void read(const Json& json, const std::string& where);
  void read_template(const Json& json, const std::string& where);
  void read_pair(const Json& json, const std::string& where);
  void wrap(std::vector<int32_t> before, const std::vector<int32_t>& after);

  std::vector<int32_t> before_;
  std::vector<int32_t> after_;
  bool keeps_text_ = true;
};

}  // namespace dms::text
