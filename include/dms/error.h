#pragma once
// The two kinds of failure a caller can meet. Both carry one line and its parts:
//   WHERE: what is wrong (got X, expected Y); hint
// Where an option or a parameter is wrong it is named as in these headers. A program that calls
// them otherwise (--window) finds the name in `field`.
// InputError: the caller's file, option or request is bad (exit status 2, HTTP 400).
// RunError:   the work failed although the input was good (exit status 1, HTTP 500).

#include <memory>
#include <stdexcept>
#include <string>
#include <string_view>

namespace dms {

/// What an error message is built from, so that it cannot forget a part. Empty parts are left out.
struct ErrorParts {
  std::string where = {};     // the file, or the place in it
  std::string field = {};     // or what of this API: "window_tokens", "policy_args.cr"
  std::string what = {};      // what is wrong with it
  std::string got = {};       // the offending value
  std::string expected = {};  // what would have been right
  std::string hint = {};      // what to do next
};

class Error : public std::runtime_error {
 public:
  explicit Error(const ErrorParts& parts);
  const ErrorParts& parts() const { return *parts_; }

 private:
  std::shared_ptr<const ErrorParts> parts_;  // an exception is copied without failing
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
