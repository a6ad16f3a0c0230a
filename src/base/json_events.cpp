#include "base/json_events.h"

#include <algorithm>
#include <array>
#include <iterator>
#include <limits>
#include <vector>

#include <nlohmann/json.hpp>

#include "dms/error.h"

namespace dms {
namespace {

using Library = nlohmann::json;

/// One of Python's spellings of what JSON has no number for.
struct Literal {
  std::string_view text;
  std::string_view stand_in;  // a number of the same length
  double value;
};

constexpr std::array kLiterals{
    Literal{"NaN", "0.0", std::numeric_limits<double>::quiet_NaN()},
    Literal{"-Infinity", "-0.000000", -std::numeric_limits<double>::infinity()},
    Literal{"Infinity", "0.000000", std::numeric_limits<double>::infinity()},
};

struct Place {
  size_t at;
  const Literal* literal;
};

bool ends_value(std::string_view text, size_t at) {
  return at >= text.size() || std::string_view(" \t\r\n,]}").find(text[at]) != text.npos;
}

bool begins_value(std::string_view text, size_t at) {
  return at == 0 || std::string_view(" \t\r\n,[:").find(text[at - 1]) != text.npos;
}

/// Where such literals stand as values, outside of strings.
std::vector<Place> find_literals(std::string_view text) {
  std::vector<Place> places;
  if (text.find("NaN") == text.npos && text.find("Infinity") == text.npos) return places;
  bool in_string = false;
  for (size_t at = 0; at < text.size(); ++at) {
    if (text[at] == '"') in_string = !in_string;
    if (in_string && text[at] == '\\') ++at;
    if (in_string || !begins_value(text, at)) continue;
    const auto* const found = std::ranges::find_if(kLiterals, [&](const Literal& literal) {
      return text.substr(at).starts_with(literal.text);
    });
    if (found == kLiterals.end() || !ends_value(text, at + found->text.size())) continue;
    places.push_back({at, found});
    at += found->text.size() - 1;
  }
  return places;
}

/// Walks through the text and tells how far the library has read.
class Cursor {
 public:
  using iterator_category = std::input_iterator_tag;
  using value_type = char;
  using difference_type = std::ptrdiff_t;
  using pointer = const char*;
  using reference = const char&;

  Cursor(const char* at, const char** furthest) : at_(at), furthest_(furthest) {}
  reference operator*() const { return *at_; }
  Cursor& operator++() {
    *furthest_ = ++at_;
    return *this;
  }
  Cursor operator++(int) {
    const Cursor before = *this;
    ++*this;
    return before;
  }
  friend bool operator==(const Cursor& a, const Cursor& b) { return a.at_ == b.at_; }

 private:
  const char* at_;
  const char** furthest_;
};

/// What the library says, without its codes, its place and its quotation of all it has read.
std::string_view explain(std::string_view message) {
  constexpr size_t kMaxLength = 120;
  message = message.substr(0, message.find("; last read: "));
  for (const std::string_view lead : {"] ", ": ", " - "}) {
    const size_t end = message.find(lead);
    if (end != message.npos) message.remove_prefix(end + lead.size());
  }
  return message.substr(0, kMaxLength);
}

/// Between the library's events and ours: limits, literals and errors.
class Adapter {
 public:
  using number_integer_t = Library::number_integer_t;
  using number_unsigned_t = Library::number_unsigned_t;
  using number_float_t = Library::number_float_t;
  using string_t = Library::string_t;
  using binary_t = Library::binary_t;

  Adapter(std::string_view text,
          const std::string& where,
          const JsonLimits& limits,
          JsonEvents& events)
      : text_(text),
        where_(where),
        limits_(limits),
        events_(events),
        literals_(find_literals(text)) {}

  void run() {
    std::string changed;
    if (!literals_.empty()) {
      changed = text_;
      for (const Place& place : literals_) {
        std::ranges::copy(place.literal->stand_in,
                          changed.begin() + static_cast<std::ptrdiff_t>(place.at));
      }
    }
    const std::string_view source = literals_.empty() ? text_ : changed;
    begin_ = source.data();
    furthest_ = begin_;
    Library::sax_parse(
        Cursor(begin_, &furthest_), Cursor(begin_ + source.size(), &furthest_), this);
  }

  bool null() {
    return count([&] { events_.null(); });
  }
  bool boolean(bool value) {
    return count([&] { events_.boolean(value); });
  }
  bool number_integer(int64_t value) {
    return count([&] { events_.integer(value); });
  }
  bool number_unsigned(uint64_t value) {
    return count([&] { events_.natural(value); });
  }
  bool number_float(double value, const std::string& spelled) {
    return count([&] {
      const bool is_literal = next_literal_ < literals_.size() &&
                              literals_[next_literal_].at < static_cast<size_t>(furthest_ - begin_);
      if (!is_literal) return events_.number(value, spelled);
      const Literal& literal = *literals_[next_literal_++].literal;
      events_.number(literal.value, std::string(literal.text));
    });
  }
  bool string(std::string& value) {
    return count([&] { events_.string(value); });
  }
  bool binary(binary_t&) { return false; }
  bool start_object(size_t) {
    return open([&] { events_.begin_object(); });
  }
  bool key(std::string& name) {
    events_.key(name);
    return true;
  }
  bool end_object() {
    --depth_;
    events_.end_object();
    return true;
  }
  bool start_array(size_t) {
    return open([&] { events_.begin_array(); });
  }
  bool end_array() {
    --depth_;
    events_.end_array();
    return true;
  }

  bool parse_error(size_t position, const std::string&, const Library::exception& error) const {
    const std::string_view reason = explain(error.what());
    throw InputError({.where = place(position),
                      .what = "malformed JSON: " + std::string(reason),
                      .got = "'" + end_of_line(position) + "'"});
  }

 private:
  template <class Event>
  bool count(Event event) {
    if (++values_ > limits_.values) {
      throw InputError({.where = place(position()),
                        .what = "JSON with too many values",
                        .expected = "at most " + std::to_string(limits_.values)});
    }
    event();
    return true;
  }

  template <class Event>
  bool open(Event event) {
    if (++depth_ > limits_.depth) {
      throw InputError({.where = place(position()),
                        .what = "JSON nested too deeply",
                        .expected = "at most " + std::to_string(limits_.depth) + " levels"});
    }
    return count(event);
  }

  size_t position() const { return static_cast<size_t>(furthest_ - begin_); }

  /// `position`: bytes read, so that the last of them is where it went wrong.
  std::string place(size_t position) const {
    const std::string_view before = text_.substr(0, position == 0 ? 0 : position - 1);
    const auto line = std::ranges::count(before, '\n') + 1;
    const size_t column = before.size() - (before.rfind('\n') + 1) + 1;
    return where_ + ": line " + std::to_string(line) + ", column " + std::to_string(column);
  }

  /// What stands before the fault in its line.
  std::string end_of_line(size_t position) const {
    constexpr size_t kMaxLength = 20;
    const std::string_view before = text_.substr(0, position);
    const size_t line = before.empty() ? 0 : before.rfind('\n', before.size() - 1) + 1;
    return std::string(
        before.substr(std::max(line, before.size() - std::min(kMaxLength, before.size()))));
  }

  std::string_view text_;
  const std::string& where_;
  const JsonLimits& limits_;
  JsonEvents& events_;
  std::vector<Place> literals_;
  size_t next_literal_ = 0;
  const char* begin_ = nullptr;
  const char* furthest_ = nullptr;
  int64_t values_ = 0;
  int depth_ = 0;
};

}  // namespace

void read_json_events(std::string_view text,
                      const std::string& where,
                      const JsonLimits& limits,
                      JsonEvents& events) {
  Adapter(text, where, limits, events).run();
}

}  // namespace dms
