#pragma once
// What xgrammar says while it reads a form: warnings, which it would print, and what it gives up
// for.

#include <stdexcept>
#include <string>
#include <vector>

namespace dms::grammar {

/// xgrammar gave up.
class Refusal : public std::runtime_error {
 public:
  using std::runtime_error::runtime_error;
};

/// Collects this thread's warnings while it lives; where there is none they go unheard. One a
/// thread.
class WarningCollector {
 public:
  WarningCollector();
  ~WarningCollector();
  WarningCollector(const WarningCollector&) = delete;
  WarningCollector& operator=(const WarningCollector&) = delete;

  const std::vector<std::string>& warnings() const { return warnings_; }
  void take(const std::string& message);

 private:
  std::vector<std::string> warnings_;
};

}  // namespace dms::grammar
