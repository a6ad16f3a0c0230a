#pragma once
// Conversations to tokens: the model's chat template over all messages, tokenized as one text, with
// every token or only the assistant's as targets.

#include <string>

#include "train/config/train_config.h"
#include "train/data/model_text.h"

namespace dms::train::data {

/// Thread-safe.
class ConversationEncoder {
 public:
  /// `model` must outlive this. `kwargs` are handed to the template. Throws InputError when the
  /// model has no chat template.
  ConversationEncoder(const ModelText& model, const Json& kwargs, LossOn loss_on);

  /// `messages`: an array of {role, content}; `where` names the record in errors. Throws InputError
  /// when the template refuses them or when, with loss on the assistant, their turns cannot be told
  /// apart: the text of the first messages must be the beginning of the text of all.
  Document encode(const Json& messages, const std::string& where) const;

 private:
  std::string render(const Json& messages, bool for_generation, const std::string& where) const;
  std::vector<ByteSpan> assistant_turns(const Json& messages,
                                        const std::string& text,
                                        const std::string& where) const;

  const ModelText& model_;
  Json kwargs_;
  LossOn loss_on_;
};

}  // namespace dms::train::data
