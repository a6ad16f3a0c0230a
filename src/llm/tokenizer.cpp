#include "dms/tokenizer.h"

#include "base/file_status.h"
#include "gguf/file.h"
#include "text/tokenizer.h"

namespace dms {

namespace {

text::Tokenizer open_tokenizer(const std::filesystem::path& path) {
  if (is_folder(path)) return text::Tokenizer::load_folder(path);
  if (!gguf::is_gguf(path)) return text::Tokenizer::load(path);
  const gguf::File file(path);
  return text::Tokenizer::from_gguf(file.metadata(), file.where());
}

}  // namespace

Tokenizer::Tokenizer(const std::filesystem::path& path)
    : impl_(std::make_shared<const text::Tokenizer>(open_tokenizer(path))) {}

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
