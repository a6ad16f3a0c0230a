#pragma once
// Answers as HTTP responses.

#include "serve/api_error.h"
#include "serve/exchange.h"

namespace dms::serve {

HttpResponse json_response(const OutJson& body, int status = 200);
/// With the headers that belong to its status: Retry-After, WWW-Authenticate.
HttpResponse error_response(const ApiError& error, ErrorForm form = ErrorForm::kOpenAi);

/// To a client that is still there; an error in the form that clients of its path know.
void respond(Exchange& exchange, HttpResponse response);
void respond(Exchange& exchange, const ApiError& error);

}  // namespace dms::serve
