#pragma once
// Where the bytes of preempted sequences wait: in memory, or in files without a name, of which a
// killed process leaves nothing. Engine thread only.

#include <cstdint>
#include <filesystem>
#include <memory>
#include <string>
#include <string_view>

namespace dms::engine {

class SwapSpace {
 public:
  /// The bytes of one sequence; their room is free when it goes. Does not outlive its space.
  class Slot {
   public:
    Slot(SwapSpace& space, int64_t bytes) : space_(space), bytes_(bytes) {
      space_.used_bytes_ += bytes_;
    }
    virtual ~Slot() { space_.used_bytes_ -= bytes_; }
    Slot(const Slot&) = delete;
    Slot& operator=(const Slot&) = delete;

    /// What put() was given. Throws RunError where it can't be read back.
    virtual std::string read() const = 0;

   protected:
    int64_t bytes() const { return bytes_; }

   private:
    SwapSpace& space_;
    int64_t bytes_;
  };

  /// An empty `folder`: in memory. 0 bytes: there is no room for anything.
  SwapSpace(int64_t limit_bytes, std::filesystem::path folder)
      : limit_bytes_(limit_bytes), folder_(std::move(folder)) {}

  int64_t used_bytes() const { return used_bytes_; }
  /// Null where there is no room: at the limit, or on a full disk.
  std::unique_ptr<Slot> put(std::string_view bytes);

 private:
  int64_t limit_bytes_;
  std::filesystem::path folder_;
  int64_t used_bytes_ = 0;
};

}  // namespace dms::engine
