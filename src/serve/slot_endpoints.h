#pragma once
// The endpoints of /slots, as llama.cpp's server has them. The I/O thread's.

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <memory>
#include <set>
#include <string>

#include "serve/attempt.h"
#include "serve/exchange.h"
#include "serve/slots.h"
#include "serve/workplace.h"

namespace dms::serve {

class SlotEndpoints {
 public:
  /// `place` and `settings` outlive this.
  SlotEndpoints(const Workplace& place, const SlotSettings& settings)
      : place_(place), settings_(settings), slots_(settings) {}

  Slots& slots() { return slots_; }
  const Slots& slots() const { return slots_; }

  HttpResponse list() const;
  /// POST /slots/ID?action=save|restore|erase
  void act(const std::shared_ptr<Exchange>& exchange, const std::string& id);

  size_t active() const { return working_ + loading_.size(); }
  void fail_all(const std::string& why);

 private:
  struct Saved {
    std::string name{};
    int64_t tokens = 0;
    int64_t bytes = 0;
    double ms = 0;
  };

  int64_t slot_of(const std::string& id) const;
  std::filesystem::path file_of(const std::string& body, std::string& name) const;
  void save(const std::shared_ptr<Exchange>& exchange, int64_t slot);
  void restore(const std::shared_ptr<Exchange>& exchange, int64_t slot);
  void erase(const std::shared_ptr<Exchange>& exchange, int64_t slot);
  Attempt<DocumentFile> open(const std::string& body, std::string& name) const;
  void load(const std::shared_ptr<Exchange>& exchange,
            int64_t slot,
            const DocumentFile& file,
            Saved restored);

  const Workplace& place_;
  const SlotSettings& settings_;
  Slots slots_;
  size_t working_ = 0;                           // calls that are under way elsewhere
  std::set<std::shared_ptr<Exchange>> loading_;  // those that the engine's thread is at
};

}  // namespace dms::serve
