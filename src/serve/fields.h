#pragma once
// Typed access to the fields of a request's JSON. What is wrong is an ApiError (400) that names the
// field. A JSON null counts as absent.

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "base/json.h"
#include "serve/api_error.h"
#include "serve/limits.h"

namespace dms::serve {

/// A body as one JSON object. Throws ApiError where it is malformed or too large a tree.
OrderedJson parse_body(std::string_view body, const RequestLimits& limits);

class Fields {
 public:
  /// `object` outlives this. `place` names it in errors ("messages[0]"); empty for the body.
  /// Throws ApiError unless it is a JSON object.
  Fields(const OrderedJson& object, std::string place);

  /// Nothing where it is absent.
  const OrderedJson* find(std::string_view key) const;
  std::optional<int64_t> integer(std::string_view key, int64_t min, int64_t max) const;
  std::optional<double> number(std::string_view key, double min, double max) const;
  std::optional<bool> boolean(std::string_view key) const;
  std::optional<std::string> text(std::string_view key) const;
  const OrderedJson* array(std::string_view key) const;
  const OrderedJson* object(std::string_view key) const;

  /// "stop" or "messages[0].content".
  std::string name_of(std::string_view key) const;
  [[noreturn]] void refuse(std::string_view key,
                           const OrderedJson& got,
                           const std::string& expected) const;

 private:
  std::string place_;
  const OrderedJson* object_;
};

/// `value` as an integer of [min, max], or nothing.
std::optional<int64_t> integer_of(const OrderedJson& value, int64_t min, int64_t max);

[[noreturn]] void refuse_value(const std::string& name,
                               const OrderedJson& got,
                               const std::string& expected);

}  // namespace dms::serve
