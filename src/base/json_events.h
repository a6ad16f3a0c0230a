#pragma once
// JSON text as a stream of events: what json.cpp builds trees from, and what is read without one.

#include <cstdint>
#include <string>
#include <string_view>

namespace dms {

/// Bounds on a text's structure, which hold before anything is built of it.
struct JsonLimits {
  int depth = 64;                     // arrays and objects inside one another
  int64_t values = int64_t{1} << 24;  // of any kind
  bool unique_keys = false;           // else the last of equal keys wins, as in Python
};

/// Receives the values of a text in order. What a function throws ends the reading.
class JsonEvents {
 public:
  virtual ~JsonEvents() = default;
  virtual void null() = 0;
  virtual void boolean(bool value) = 0;
  virtual void integer(int64_t value) = 0;   // below zero
  virtual void natural(uint64_t value) = 0;  // zero and above
  /// `text` is how it is spelled.
  virtual void number(double value, const std::string& text) = 0;
  virtual void string(std::string& value) = 0;
  virtual void begin_object() = 0;
  virtual void key(std::string& name) = 0;
  virtual void end_object() = 0;
  virtual void begin_array() = 0;
  virtual void end_array() = 0;
};

/// Reads `text` in one pass. Python's NaN, Infinity and -Infinity are numbers. Throws InputError
/// naming `where`, line and column on malformed JSON and beyond the limits; unique_keys is for
/// those who build objects.
void read_json_events(std::string_view text,
                      const std::string& where,
                      const JsonLimits& limits,
                      JsonEvents& events);

}  // namespace dms
