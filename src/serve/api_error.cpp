#include "serve/api_error.h"

#include <algorithm>
#include <array>
#include <utility>

namespace dms::serve {
namespace {

struct Status {
  int number;
  std::string_view reason;
  std::string_view type;       // OpenAI's word for the kind of error
  std::string_view anthropic;  // Anthropic's
};

constexpr std::array kStatuses{
    Status{200, "OK", "", ""},
    Status{201, "Created", "", ""},
    Status{204, "No Content", "", ""},
    Status{400, "Bad Request", "invalid_request_error", "invalid_request_error"},
    Status{401, "Unauthorized", "authentication_error", "authentication_error"},
    Status{403, "Forbidden", "permission_error", "permission_error"},
    Status{404, "Not Found", "not_found_error", "not_found_error"},
    Status{405, "Method Not Allowed", "invalid_request_error", "invalid_request_error"},
    Status{409, "Conflict", "invalid_request_error", "invalid_request_error"},
    Status{408, "Request Timeout", "invalid_request_error", "timeout_error"},
    Status{413, "Payload Too Large", "invalid_request_error", "request_too_large"},
    Status{422, "Unprocessable Entity", "invalid_request_error", "invalid_request_error"},
    Status{429, "Too Many Requests", "rate_limit_error", "rate_limit_error"},
    Status{431, "Request Header Fields Too Large", "invalid_request_error", "request_too_large"},
    Status{500, "Internal Server Error", "server_error", "api_error"},
    Status{501, "Not Implemented", "not_supported_error", "api_error"},
    Status{503, "Service Unavailable", "service_unavailable_error", "overloaded_error"},
    Status{507, "Insufficient Storage", "insufficient_storage_error", "api_error"},
};

const Status& status_of(int number) {
  static constexpr Status kOther{500, "Error", "server_error", "api_error"};
  const auto* found = std::ranges::find(kStatuses, number, &Status::number);
  return found == kStatuses.end() ? kOther : *found;
}

/// The library's fields and the API's where they differ.
constexpr std::array<std::pair<std::string_view, std::string_view>, 8> kParams{{
    {"policy", "dms.policy"},
    {"policy_args", "dms.policy_args"},
    {"window_tokens", "dms.window"},
    {"document", "dms.document"},
    {"decisions_file", "dms.policy"},
    {"max_new_tokens", "max_tokens"},
    {"stop_ids", "stop_token_ids"},
    {"arguments", "chat_template_kwargs"},
}};

std::string param_of(const std::string& field) {
  const size_t end = std::min(field.find_first_of(".["), field.size());
  const std::string_view head = std::string_view(field).substr(0, end);
  for (const auto& [ours, param] : kParams) {
    if (ours == head) return std::string(param) + field.substr(end);
  }
  return field;
}

OutJson text_or_null(const std::string& text) { return text.empty() ? OutJson() : OutJson(text); }

}  // namespace

ApiError::ApiError(int status, std::string message, std::string param, std::string code)
    : status_(status),
      message_(std::move(message)),
      param_(std::move(param)),
      code_(std::move(code)) {}

ApiError ApiError::from(const InputError& error) {
  ErrorParts parts = error.parts();
  parts.field = param_of(parts.field);
  return {400, InputError(parts).what(), parts.field};
}

ApiError ApiError::with_details(OutJson details) const {
  ApiError out = *this;
  out.details_ = std::move(details);
  return out;
}

OutJson ApiError::body(ErrorForm form) const {
  if (form == ErrorForm::kAnthropic) {
    OutJson error{{"type", status_of(status_).anthropic}, {"message", message_}};
    if (!details_.is_null()) error["details"] = details_;
    return {{"type", "error"}, {"error", std::move(error)}};
  }
  return {{"error",
           {{"message", message_},
            {"type", status_of(status_).type},
            {"param", text_or_null(param_)},
            {"code", text_or_null(code_)}}}};
}

std::string_view reason_of(int status) { return status_of(status).reason; }

std::string json_text(const OutJson& value) {
  return value.dump(-1, ' ', false, OutJson::error_handler_t::replace);
}

}  // namespace dms::serve
