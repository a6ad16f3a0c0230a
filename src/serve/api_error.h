#pragma once
// A failure as a client of an API sees it.

#include <exception>
#include <string>
#include <string_view>

#include <nlohmann/json.hpp>

#include "dms/error.h"

namespace dms::serve {

using OutJson = nlohmann::ordered_json;

/// Whose client it is.
enum class ErrorForm { kOpenAi, kAnthropic };

class ApiError : public std::exception {
 public:
  ApiError(int status, std::string message, std::string param = {}, std::string code = {});
  /// The caller's fault (400), with its field in the names of the API.
  static ApiError from(const InputError& error);

  int status() const { return status_; }
  const std::string& param() const { return param_; }
  const std::string& code() const { return code_; }
  const char* what() const noexcept override { return message_.c_str(); }

  /// What a program is to read of it; Anthropic's form alone has a place for that.
  ApiError with_details(OutJson details) const;

  /// {"error": {message, type, param, code}}, or {"type": "error", "error": {type, message,
  /// details}}, without `details` where there are none.
  OutJson body(ErrorForm form = ErrorForm::kOpenAi) const;

 private:
  int status_;
  std::string message_;
  std::string param_;  // empty: null
  std::string code_;   // empty: null
  OutJson details_;
};

/// "Bad Request"; statuses that no part of the server uses are "Error".
std::string_view reason_of(int status);

/// JSON on one line; text that is not UTF-8 is repaired.
std::string json_text(const OutJson& value);

}  // namespace dms::serve
