#include "base/aligned_buffer.h"

#include <sys/mman.h>

#include "base/check.h"
#include "dms/error.h"

namespace dms {
namespace {

constexpr int64_t kHugePageBytes = int64_t{2} << 20;

}  // namespace

AlignedBuffer::AlignedBuffer(int64_t bytes) : bytes_(bytes) {
  ensure(bytes >= 0, "negative buffer size");
  if (bytes == 0) return;
  void* memory = ::mmap(nullptr,
                        static_cast<size_t>(bytes),
                        PROT_READ | PROT_WRITE,
                        MAP_PRIVATE | MAP_ANONYMOUS,
                        -1,
                        0);
  if (memory == MAP_FAILED) {
    throw RunError({.where = "memory",
                    .what = "the system refused " + std::to_string(bytes) + " bytes",
                    .hint = "use a smaller model, context or kv_memory_bytes"});
  }
  data_ = static_cast<std::byte*>(memory);
  if (bytes >= kHugePageBytes) ::madvise(memory, static_cast<size_t>(bytes), MADV_HUGEPAGE);
}

AlignedBuffer& AlignedBuffer::operator=(AlignedBuffer&& other) noexcept {
  std::swap(data_, other.data_);
  std::swap(bytes_, other.bytes_);
  return *this;
}

AlignedBuffer::~AlignedBuffer() {
  if (data_ != nullptr) ::munmap(data_, static_cast<size_t>(bytes_));
}

}  // namespace dms
