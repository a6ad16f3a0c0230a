#pragma once
// Answers as HTTP responses.

#include "serve/api_error.h"
#include "serve/exchange.h"

namespace dms::serve {

HttpResponse json_response(const OutJson& body, int status = 200);
/// With the headers that belong to its status: Retry-After, WWW-Authenticate.
HttpResponse error_response(const ApiError& error, ErrorForm form = ErrorForm::kOpenAi);

}  // namespace dms::serve
