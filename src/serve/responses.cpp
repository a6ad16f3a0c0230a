#include "serve/responses.h"

#include <utility>

#include "serve/routes.h"

namespace dms::serve {

HttpResponse json_response(const OutJson& body, int status) {
  HttpResponse response;
  response.status = status;
  response.body = json_text(body);
  return response;
}

HttpResponse error_response(const ApiError& error, ErrorForm form) {
  HttpResponse response = json_response(error.body(form), error.status());
  if (error.status() == 401) response.headers.emplace_back("WWW-Authenticate", "Bearer");
  if (error.status() == 429) response.headers.emplace_back("Retry-After", "1");
  if (error.status() == 503) response.headers.emplace_back("Retry-After", "5");
  return response;
}

void respond(Exchange& exchange, HttpResponse response) {
  if (!exchange.is_closed()) exchange.respond(std::move(response));
}

void respond(Exchange& exchange, const ApiError& error) {
  respond(exchange, error_response(error, error_form_of(exchange.head().path)));
}

}  // namespace dms::serve
