// Bounds: which addresses a thread may touch.

#include "cuda_emulator/runtime/memory.h"

#include <map>
#include <mutex>

#include "cuda_emulator/runtime/state.h"

namespace cuda_emulator {
namespace {

struct Allocations {
  std::mutex mutex;
  std::map<u64, u64> ends;  // begin -> end
};

Allocations& allocations() {
  static Allocations instance;
  return instance;
}

Variable* variables;

u64 bits_of(const void* pointer) { return reinterpret_cast<u64>(pointer); }

bool find_allocation(u64 address, u64& begin, u64& end) {
  const std::lock_guard lock(allocations().mutex);
  auto next = allocations().ends.upper_bound(address);
  if (next == allocations().ends.begin()) return false;
  --next;
  begin = next->first;
  end = next->second;
  return address < end;
}

bool is_in_variable(u64 address, u64 size) {
  for (const Variable* v = variables; v; v = v->next) {
    if (address >= bits_of(v->address) && address + size <= bits_of(v->address) + v->size)
      return true;
  }
  return false;
}

bool is_within(u64 address, u64 size, const u8* begin, u64 length) {
  return address >= bits_of(begin) && address + size <= bits_of(begin) + length;
}

}  // namespace

void add_allocation(void* pointer, size_t size) {
  const std::lock_guard lock(allocations().mutex);
  allocations().ends[bits_of(pointer)] = bits_of(pointer) + size;
}

bool remove_allocation(void* pointer) {
  const std::lock_guard lock(allocations().mutex);
  return allocations().ends.erase(bits_of(pointer)) != 0;
}

bool is_device_memory(const void* pointer, size_t size) {
  u64 begin = 0, end = 0;
  if (find_allocation(bits_of(pointer), begin, end)) return bits_of(pointer) + size <= end;
  return is_in_variable(bits_of(pointer), size);
}

bool register_variable(Variable* variable) {
  variable->next = variables;
  variables = variable;
  return true;
}

Variable* find_variable(const char* name) {
  for (Variable* v = variables; v; v = v->next) {
    if (!std::strcmp(v->name, name)) return v;
  }
  return nullptr;
}

void check_global_slow(Thread* self, u64 address, u32 size, bool is_write) {
  u64 begin = 0, end = 0;
  if (find_allocation(address, begin, end) && address + size <= end) {
    self->known_begin = begin;
    self->known_end = end;
    return;
  }
  if (is_in_variable(address, size)) return;
  fail(self,
       "illegal global %s of %u bytes at %#llx",
       is_write ? "store" : "load",
       size,
       static_cast<unsigned long long>(address));
}

Block& shared_block(Thread* self, u32 address, u32 size, u32& offset) {
  const u32 rank = address >> 24;
  offset = address & 0xffffff;
  Cluster& cluster = *self->block->cluster;
  if (rank >= cluster.blocks.size())
    fail(self, "shared address %#x: no such cluster rank", address);
  Block& block = *cluster.blocks[rank];
  if (offset + size > block.shared_size) {
    fail(self,
         "shared access of %u bytes at offset %u, block has %u",
         size,
         offset,
         block.shared_size);
  }
  return block;
}

u8* other_shared(Thread* self, u32 address, u32 size) {
  u32 offset;
  return shared_block(self, address, size, offset).shared + offset;
}

void mark_generic_write(Thread* self, u32 offset, u32 size) {
  const u32 mark = (self->linear + 1) << 16 | (self->proxy_epoch & 0xffff);
  for (u32 i = offset >> 4; i <= (offset + size - 1) >> 4; i++)
    self->block->generic_writes[i] = mark;
}

u8* generic(Thread* self, u32 site, u64 address, u32 size, bool is_write, bool is_atomic) {
  count(self, site);
  u8* const place = reinterpret_cast<u8*>(address);
  if (address & (size - 1)) {
    fail(self,
         "misaligned generic access of %u bytes at %#llx",
         size,
         static_cast<unsigned long long>(address));
  }
  if (is_within(address, size, self->shared, self->shared_size)) {
    const u32 offset = static_cast<u32>(place - self->shared);
    if (race_check_is_on && !is_atomic) check_race(self, offset, size, is_write);
    if (is_write) mark_generic_write(self, offset, size);
    return place;
  }
  if (is_local(self, address)) return place;
  if (is_within(address, size, self->params, self->launch->params_size)) return place;
  for (const auto& block : self->block->cluster->blocks) {
    if (is_within(address, size, block->shared, block->shared_size)) return place;
  }
  if (address < self->known_begin || address + size > self->known_end) {
    check_global_slow(self, address, size, is_write);
  }
  if (profile_is_on) profile_access(self, site, address, size, false);
  return place;
}

bool is_shared(Thread* self, u64 address) {
  for (const auto& block : self->block->cluster->blocks) {
    if (is_within(address, 1, block->shared, block->shared_size)) return true;
  }
  return false;
}

bool is_local(Thread* self, u64 address) {
  return address >= bits_of(self->stack_begin) && address < bits_of(self->stack_end);
}

bool is_global(Thread* self, u64 address) {
  return !is_shared(self, address) && !is_local(self, address);
}

}  // namespace cuda_emulator
