#include "dms/tokenizer.h"

#include "base/file_status.h"
#include "text/tokenizer.h"

namespace dms {

Tokenizer::Tokenizer(const std::filesystem::path& path)
    : impl_(std::make_shared<const text::Tokenizer>(
          is_folder(path) ? text::Tokenizer::load_folder(path) : text::Tokenizer::load(path))) {}

std::vector<int32_t> Tokenizer::encode(std::string_view text,
                                       bool add_special_tokens,
                                       int64_t max_tokens) const {
  return impl_->encode(text, add_special_tokens, max_tokens);
}

std::string Tokenizer::decode(std::span<const int32_t> ids, bool skip_special_tokens) const {
  return impl_->decode(ids, skip_special_tokens);
}

std::optional<TokenInfo> Tokenizer::token(int32_t id) const {
  const std::string* text = impl_->token_text(id);
  if (text == nullptr) return std::nullopt;
  return TokenInfo{
      .text = *text, .bytes = impl_->token_bytes(id), .is_special = impl_->is_special(id)};
}

std::optional<int32_t> Tokenizer::id_of(std::string_view token) const {
  return impl_->token_id(token);
}

int64_t Tokenizer::id_limit() const { return impl_->id_limit(); }
std::optional<int32_t> Tokenizer::bos_id() const { return impl_->bos_id(); }
std::optional<int32_t> Tokenizer::eos_id() const { return impl_->eos_id(); }

}  // namespace dms
