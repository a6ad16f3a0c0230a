#include "serve/token_texts.h"

#include <cmath>

#include "base/utf8.h"

namespace dms::serve {
namespace {

/// Characters that begin within `bytes`, which may begin or end with parts of one.
int64_t characters_begun(const std::string& bytes) {
  int64_t count = 0;
  for (const char byte : bytes) count += (static_cast<unsigned char>(byte) & 0xC0U) != 0x80U;
  return count;
}

}  // namespace

std::optional<int32_t> special_id(const Tokenizer& tokenizer, std::string_view spelling) {
  const auto id = tokenizer.id_of(spelling);
  if (!id) return std::nullopt;
  const auto info = tokenizer.token(*id);
  return info && info->is_special ? id : std::nullopt;
}

double finite_logprob(float value) {
  constexpr double kLeast = -9999.0;
  return value >= kLeast ? static_cast<double>(value) : kLeast;
}

std::string TokenTexts::bytes(int32_t id) const {
  const auto info = tokenizer_.token(id);
  if (!info) return {};
  return info->bytes.empty() ? info->text : info->bytes;
}

std::string TokenTexts::text(int32_t id) const {
  return as_ids_ ? "token_id:" + std::to_string(id) : to_well_formed(bytes(id));
}

OutJson TokenTexts::chat_entry(const TokenProbability& token) const {
  OutJson spelled = OutJson::array();
  for (const char byte : bytes(token.id)) spelled.push_back(static_cast<unsigned char>(byte));
  return {{"token", text(token.id)},
          {"logprob", finite_logprob(token.log_probability)},
          {"bytes", std::move(spelled)}};
}

OutJson TokenTexts::chat_logprobs(std::span<const TokenChoice> choices) const {
  OutJson content = OutJson::array();
  for (const TokenChoice& choice : choices) {
    OutJson entry = chat_entry(choice.chosen);
    entry["top_logprobs"] = OutJson::array();
    for (const TokenProbability& token : choice.likeliest) {
      entry["top_logprobs"].push_back(chat_entry(token));
    }
    content.push_back(std::move(entry));
  }
  return {{"content", std::move(content)}};
}

/// The likeliest by their texts, and the one that was chosen.
OutJson TokenTexts::likeliest_by_text(const TokenChoice& choice) const {
  OutJson::object_t entries;
  for (const TokenProbability& token : choice.likeliest) {
    entries.emplace(text(token.id), finite_logprob(token.log_probability));
  }
  entries.emplace(text(choice.chosen.id), finite_logprob(choice.chosen.log_probability));
  return entries;
}

OutJson TokenTexts::completion_logprobs(const int32_t* first,
                                        std::span<const TokenChoice> prompt,
                                        std::span<const TokenChoice> answer) const {
  OutJson offsets = OutJson::array();
  OutJson values = OutJson::array();
  OutJson tokens = OutJson::array();
  OutJson likeliest = OutJson::array();
  int64_t offset = 0;
  const auto add = [&](int32_t id) {
    offsets.push_back(offset);
    tokens.push_back(text(id));
    offset += characters_begun(bytes(id));
  };
  if (first != nullptr) {
    add(*first);
    values.push_back(nullptr);
    likeliest.push_back(nullptr);
  }
  for (const std::span<const TokenChoice> part : {prompt, answer}) {
    for (const TokenChoice& choice : part) {
      add(choice.chosen.id);
      values.push_back(finite_logprob(choice.chosen.log_probability));
      likeliest.push_back(likeliest_by_text(choice));
    }
  }
  return {{"text_offset", std::move(offsets)},
          {"token_logprobs", std::move(values)},
          {"tokens", std::move(tokens)},
          {"top_logprobs", std::move(likeliest)}};
}

OutJson TokenTexts::prompt_logprobs(std::span<const TokenChoice> choices) const {
  OutJson out = OutJson::array({nullptr});
  for (const TokenChoice& choice : choices) {
    OutJson entry = OutJson::object();
    int64_t rank = 0;
    const auto add = [&](const TokenProbability& token, OutJson place) {
      entry[std::to_string(token.id)] = {{"logprob", finite_logprob(token.log_probability)},
                                         {"rank", std::move(place)},
                                         {"decoded_token", text(token.id)}};
    };
    for (const TokenProbability& token : choice.likeliest) add(token, ++rank);
    if (!entry.contains(std::to_string(choice.chosen.id))) add(choice.chosen, nullptr);
    out.push_back(std::move(entry));
  }
  return out;
}

}  // namespace dms::serve
