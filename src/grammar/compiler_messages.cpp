#include "grammar/compiler_messages.h"

namespace dms::grammar {
namespace {

constexpr size_t kMostWarnings = 8;

thread_local WarningCollector* t_collector = nullptr;

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
  throw dms::grammar::Refusal(message);
}

void LogMessageImpl(const std::string&, int, int level, const std::string& message) {
  constexpr int kWarning = 2;
  if (level == kWarning && dms::grammar::t_collector != nullptr) {
    dms::grammar::t_collector->take(message);
  }
}

}  // namespace xgrammar
