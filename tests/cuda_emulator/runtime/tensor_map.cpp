// TMA: boxes of tensors between global and shared memory.

#include "cuda_emulator/runtime/tensor_map.h"

#include "cuda_emulator/runtime/state.h"

namespace cuda_emulator {
namespace {

struct TensorMap {
  u64 magic;
  u64 unused;  // CUTLASS sets bit 21 of it for old drivers
  u64 address;
  u64 dims[5];
  u64 strides[4];
  u16 box[5];
  u8 rank, element_bytes, swizzle;
};
constexpr size_t kTensorMapBytes = 128;
static_assert(sizeof(TensorMap) <= kTensorMapBytes);
constexpr u64 kMagic = 0x43554d4150454d55ull;

TensorMap read_tensor_map(Thread* self, u64 address, int rank, u32 shared) {
  if (address % 64 != 0) fail(self, "tensor map not 64-byte aligned");
  TensorMap map;
  std::memcpy(&map, reinterpret_cast<const void*>(address), sizeof map);
  if (map.magic != kMagic) fail(self, "not a tensor map");
  if (map.rank != rank) fail(self, "tensor map has rank %d, instruction %d", map.rank, rank);
  // A swizzle repeats after 256, 512 or 1024 bytes.
  const u32 alignment = map.swizzle ? 128u << map.swizzle : 128;
  if (shared % alignment != 0) {
    fail(self, "tma: shared address %#x not aligned for swizzle mode %d", shared, map.swizzle);
  }
  return map;
}

/// Calls function(shared address, global address, is in the tensor) for all elements of a box;
/// returns the box's bytes.
template <class F>
u32 for_each_element(const TensorMap& map, const i32* coordinates, u32 shared, F function) {
  const u32 row_bytes = map.box[0] * map.element_bytes;
  u32 rows = 1, index[5] = {}, offset = 0;
  for (int axis = 1; axis < map.rank; axis++) rows *= map.box[axis];
  for (u32 row = 0; row < rows; row++, offset += row_bytes) {
    u64 global = map.address;
    bool row_is_inside = true;
    for (int axis = 1; axis < map.rank; axis++) {
      const i64 x = i64{coordinates[axis]} + index[axis];
      row_is_inside &= x >= 0 && x < static_cast<i64>(map.dims[axis]);
      global += static_cast<u64>(x) * map.strides[axis - 1];
    }
    for (u32 byte = 0; byte < row_bytes; byte += map.element_bytes) {
      const i64 x = i64{coordinates[0]} + byte / map.element_bytes;
      const bool is_inside = row_is_inside && x >= 0 && x < static_cast<i64>(map.dims[0]);
      // The swizzle moves chunks of 16 bytes.
      const u32 place = swizzled(shared + offset + byte / 16 * 16, map.swizzle) + byte % 16;
      function(place, global + static_cast<u64>(x) * map.element_bytes, is_inside);
    }
    for (int axis = 1; axis < map.rank && ++index[axis] == map.box[axis]; axis++) index[axis] = 0;
  }
  return offset;
}

/// Adds one block's copies to the event.
void add_box(Thread* self, Event& event, const TensorMap& map, const i32* coordinates, u32 target) {
  const u32 size = map.element_bytes;
  const auto add = [&](u32 shared, u64 global, bool is_inside) {
    u32 offset;
    Block& block = shared_block(self, shared, size, offset);
    if (is_inside) {
      check_global_slow(self, global, size, false);
      this_worker->counters.bulk_bytes += size;
      if (profile_is_on) this_worker->counters.read_sectors.insert(global >> 5);
    }
    event.copies.push_back({block.shared + offset,
                            reinterpret_cast<const u8*>(global),
                            size,
                            is_inside ? size : 0,
                            event.site,
                            &block,
                            offset});
  };
  const u32 bytes = for_each_element(map, coordinates, target, add);
  event.signals.back().bytes = bytes;
}

}  // namespace

bool encode_tensor_map(void* out, const TensorMapShape& shape) {
  const bool rank_is_good = shape.rank >= 1 && shape.rank <= 5;
  const u64 address = reinterpret_cast<u64>(shape.address);
  if (!rank_is_good || address % 16 != 0 || shape.interleave || shape.swizzle > 3) return false;
  TensorMap map{};
  map.magic = kMagic;
  map.address = address;
  map.rank = static_cast<u8>(shape.rank);
  map.element_bytes = static_cast<u8>(shape.element_bytes);
  map.swizzle = static_cast<u8>(shape.swizzle);
  for (u32 axis = 0; axis < shape.rank; axis++) {
    const u32 box = shape.box[axis];
    if (box == 0 || box > 256 || shape.dims[axis] == 0 || shape.element_strides[axis] != 1)
      return false;
    map.dims[axis] = shape.dims[axis];
    map.box[axis] = static_cast<u16>(box);
    if (axis == 0) continue;
    if (shape.strides[axis - 1] % 16 != 0) return false;
    map.strides[axis - 1] = shape.strides[axis - 1];
  }
  const u32 row_bytes = shape.box[0] * static_cast<u32>(shape.element_bytes);
  if (row_bytes % 16 != 0) return false;
  if (shape.swizzle && row_bytes > 16u << shape.swizzle) return false;
  std::memset(out, 0, kTensorMapBytes);
  std::memcpy(out, &map, sizeof map);
  return true;
}

void tma_g2s(Thread* self,
             u32 site,
             int rank,
             u32 target,
             u64 tensor_map,
             const i32* coordinates,
             u32 barrier,
             int multicast) {
  count(self, site);
  auto event = std::make_unique<Event>();
  event->by = self;
  event->site = site;
  event->is_async_proxy = true;
  const auto add = [&](u32 block_target, u32 block_barrier) {
    const TensorMap map = read_tensor_map(self, tensor_map, rank, block_target);
    const MbarrierPlace place = find_mbarrier(self, block_barrier);
    event->signals.push_back({&place.block, place.offset, 0});
    add_box(self, *event, map, coordinates, block_target);
  };
  if (multicast < 0) {
    add(target, barrier);
  } else {
    for (u32 r = 0; r < 16; r++) {
      if (multicast >> r & 1) add((target & 0xffffff) | r << 24, (barrier & 0xffffff) | r << 24);
    }
  }
  if (race_check_is_on) start_agent(self, *event);
  for (const Copy& copy : event->copies) std::memset(copy.target, 0xff, copy.size);
  post(self, std::move(event));
}

void tma_s2g(Thread* self, u32 site, int rank, u64 tensor_map, const i32* coordinates, u32 source) {
  count(self, site);
  const TensorMap map = read_tensor_map(self, tensor_map, rank, source);
  const u32 size = map.element_bytes;
  for_each_element(map, coordinates, source, [&](u32 shared, u64 global, bool is_inside) {
    u32 offset;
    Block& block = shared_block(self, shared, size, offset);
    if (race_check_is_on && &block == self->block) check_race(self, offset, size, false);
    check_proxy(self, block, offset, size, "cp.async.bulk.tensor");
    if (!is_inside) return;
    check_global_slow(self, global, size, true);
    self->async->bulk_open.push_back(
        {reinterpret_cast<u8*>(global), block.shared + offset, size, size, site, nullptr, 0});
  });
}

}  // namespace cuda_emulator
