#pragma once
// The two kinds of failure a caller can meet. Both carry one line:
//   WHERE: what is wrong (got X, expected Y); hint
// InputError: the caller's file, option or request is bad (exit status 2, HTTP 400).
// RunError:   the work failed although the input was good (exit status 1, HTTP 500).

#include <stdexcept>
#include <string>
#include <string_view>

namespace dms {

/// What an error message is built from, so that it cannot forget a part. Empty parts are left out.
struct ErrorParts {
  std::string where = {};     // file, option or field
  std::string what = {};      // what is wrong with it
  std::string got = {};       // the offending value
  std::string expected = {};  // what would have been right
  std::string hint = {};      // what to do next
};

class Error : public std::runtime_error {
 public:
  explicit Error(const ErrorParts& parts);
};

class InputError : public Error {
 public:
  using Error::Error;
};

class RunError : public Error {
 public:
  using Error::Error;
};

}  // namespace dms
