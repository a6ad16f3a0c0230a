#include "grammar/compiler_messages.h"

#include <string_view>

namespace dms::grammar {
namespace {

constexpr size_t kMostWarnings = 8;

thread_local WarningCollector* t_collector = nullptr;

/// Without the line of its source that failed, which is no word to who sent the form.
std::string reason_of(const std::string& message) {
  constexpr std::string_view kEnd = ") is false: ";
  if (!message.starts_with("Check failed: (")) return message;
  const size_t at = message.find(kEnd);
  if (at == std::string::npos || at + kEnd.size() == message.size()) return "cannot be compiled";
  return message.substr(at + kEnd.size());
}

}  // namespace

WarningCollector::WarningCollector() { t_collector = this; }
WarningCollector::~WarningCollector() { t_collector = nullptr; }

void WarningCollector::take(const std::string& message) {
  if (warnings_.size() < kMostWarnings) warnings_.push_back(message);
}

}  // namespace dms::grammar

// What xgrammar calls where it is built with XGRAMMAR_LOG_CUSTOMIZE.
namespace xgrammar {

[[noreturn]] void LogFatalImpl(const std::string& file, int line, const std::string& message);
void LogMessageImpl(const std::string& file, int line, int level, const std::string& message);

[[noreturn]] void LogFatalImpl(const std::string&, int, const std::string& message) {
  throw dms::grammar::Refusal(dms::grammar::reason_of(message));
}

void LogMessageImpl(const std::string&, int, int level, const std::string& message) {
  constexpr int kWarning = 2;
  if (level == kWarning && dms::grammar::t_collector != nullptr) {
    dms::grammar::t_collector->take(message);
  }
}

}  // namespace xgrammar
