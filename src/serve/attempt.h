#pragma once
// What a part of a request's work comes to: a result, or what the client is told instead.

#include <exception>
#include <new>
#include <variant>

#include "serve/api_error.h"

namespace dms::serve {

template <class Result>
using Attempt = std::variant<Result, ApiError>;

/// What `compute` returns, or what is wrong with the request.
template <class Compute>
auto attempt(const Compute& compute) -> Attempt<decltype(compute())> {
  try {
    return compute();
  } catch (const ApiError& error) {
    return error;
  } catch (const InputError& error) {
    return ApiError::from(error);
  } catch (const std::bad_alloc&) {
    return ApiError(503, "the server is out of memory");
  } catch (const std::exception& error) {
    return ApiError(500, error.what());
  }
}

}  // namespace dms::serve
