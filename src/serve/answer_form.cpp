#include "serve/answer_form.h"

#include <random>
#include <string_view>

namespace dms::serve {

std::string api_finish_reason(const std::string& reason) {
  return reason == "cancelled" || reason == "deadline" ? "abort" : reason;
}

std::string new_answer_id(const std::string& prefix) {
  constexpr std::string_view kDigits = "0123456789abcdef";
  constexpr int kLetters = 24;
  std::random_device source;
  std::string id = prefix + "-";
  for (int i = 0; i < kLetters; ++i) id += kDigits[source() % kDigits.size()];
  return id;
}

OutJson head_json(const AnswerHead& head, const char* object) {
  return {{"id", head.id}, {"object", object}, {"created", head.created}, {"model", head.model}};
}

}  // namespace dms::serve
