// wgmma: computed at its issue; what it read from shared memory must be unchanged at its wait.

#include "cuda_emulator/runtime/matrix.h"
#include "cuda_emulator/runtime/state.h"
#include "cuda_emulator/runtime/tensor_map.h"

namespace cuda_emulator {
namespace {

constexpr int kMaxColumns = 256, kMaxDepth = 32;

WgmmaArgs& args_of(const Collective& collective, int lane) {
  return *static_cast<WgmmaArgs*>(collective.slots[lane]);
}

/// Offset in shared memory of an element; `row` along M or N, `k` along the depth.
u32 element_offset(u64 descriptor, bool is_mn_major, u32 row, u32 k, u32 bytes) {
  const u32 start = (descriptor & 0x3fff) << 4;
  const u32 leading = static_cast<u32>(descriptor >> 16 & 0x3fff) << 4;
  const u32 stride = static_cast<u32>(descriptor >> 32 & 0x3fff) << 4;
  const u32 layout = static_cast<u32>(descriptor >> 62);  // 0 none, 1 128 B, 2 64 B, 3 32 B
  const int swizzle = layout ? 4 - static_cast<int>(layout) : 0;
  const u32 chunk = 16 / bytes;  // elements
  u32 offset = start;
  if (!layout) {
    // Core matrices of 8 rows of 16 bytes.
    if (is_mn_major) {
      offset += row / chunk * stride + k / 8 * leading + k % 8 * 16 + row % chunk * bytes;
    } else {
      offset += row / 8 * stride + k / chunk * leading + row % 8 * 16 + k % chunk * bytes;
    }
  } else {
    const u32 span = 16u << swizzle, elements = span / bytes;
    if (is_mn_major) {
      offset += row / elements * leading + k / 8 * stride + k % 8 * span + row % elements * bytes;
    } else {
      offset += row / 8 * stride + row % 8 * span + k * bytes;
    }
  }
  return swizzled(offset, swizzle);
}

u64 hash_of(const std::vector<WgmmaReads::Range>& ranges) {
  u64 hash = 1469598103934665603ull;  // FNV-1a
  for (const auto& [begin, size] : ranges) {
    for (u32 i = 0; i < size; i++) hash = (hash ^ begin[i]) * 1099511628211ull;
  }
  return hash;
}

/// Reads an operand's elements through a descriptor, with the checks of shared memory.
struct DescriptorReader {
  Thread* self;
  u64 descriptor;
  bool is_mn_major;
  char type;
  WgmmaReads& reads;

  float operator()(int row, int k) {
    const auto bytes = static_cast<u32>(element_bytes(type));
    const u32 offset =
        element_offset(descriptor, is_mn_major, static_cast<u32>(row), static_cast<u32>(k), bytes);
    Block& block = *self->block;
    if (offset + bytes > block.shared_size) {
      fail(self, "wgmma: descriptor reaches shared offset %u of %u", offset, block.shared_size);
    }
    check_proxy(self, block, offset, bytes, "wgmma");
    if (race_check_is_on) check_race(self->warp->lanes[0], offset, bytes, false);
    reads.ranges.push_back({block.shared + offset, bytes});
    u32 bits = 0;
    std::memcpy(&bits, block.shared + offset, bytes);
    return element_value(type, bits);
  }
};

struct Tiles {
  float a[16][kMaxDepth];
  float b[kMaxDepth][kMaxColumns];
  float d[16][kMaxColumns];
};

void read_operands(Thread* by, const Collective& collective, Tiles& tiles, WgmmaReads& reads) {
  const WgmmaArgs& args = args_of(collective, 0);
  DescriptorReader read_b{by, args.b_desc, args.b_trans != 0, args.b_type, reads};
  for (int k = 0; k < args.depth; k++) {
    for (int n = 0; n < args.n; n++)
      tiles.b[k][n] = static_cast<float>(args.b_scale) * read_b(n, k);
  }
  const auto a_scale = static_cast<float>(args.a_scale);
  if (args.a) {
    for (int lane = 0; lane < 32; lane++) {
      const u32* const a = args_of(collective, lane).a;
      for_each_a_element(args.a_type, lane, args.depth, [&](int row, int column, int j, int e) {
        tiles.a[row][column] = a_scale * element_of_register(args.a_type, a[j], e);
      });
    }
    return;
  }
  // A warp computes 16 of its group's 64 rows.
  const int first_row = 16 * static_cast<int>(by->warp_index % 4);
  DescriptorReader read_a{by, args.a_desc, args.a_trans != 0, args.a_type, reads};
  for (int row = 0; row < 16; row++) {
    for (int k = 0; k < args.depth; k++) tiles.a[row][k] = a_scale * read_a(first_row + row, k);
  }
}

template <class F>
void for_each_accumulator(const Collective& collective, Tiles& tiles, F function) {
  const int n = args_of(collective, 0).n;
  for (int lane = 0; lane < 32; lane++) {
    for (int i = 0; i < n / 2; i++) {
      const auto [row, column] = accumulator_place(lane, i);
      function(args_of(collective, lane).d[i], tiles.d[row][column]);
    }
  }
}

void complete(Thread* by, Collective& collective) {
  static thread_local Tiles tiles;
  const WgmmaArgs& args = args_of(collective, 0);
  for (int lane = 1; lane < 32; lane++) {
    const WgmmaArgs& other = args_of(collective, lane);
    if (other.a_desc != args.a_desc || other.b_desc != args.b_desc ||
        other.accumulates != args.accumulates) {
      fail(by, "wgmma: descriptors differ across lanes");
    }
  }
  WgmmaReads reads;
  read_operands(by, collective, tiles, reads);
  for_each_accumulator(collective, tiles, [&](u32 bits, float& value) {
    value = args.accumulates ? f32(bits) : 0.0f;
  });
  for (int row = 0; row < 16; row++) {
    for (int k = 0; k < args.depth; k++) {
      const float x = tiles.a[row][k];
      for (int n = 0; n < args.n; n++) tiles.d[row][n] += x * tiles.b[k][n];
    }
  }
  for_each_accumulator(collective, tiles, [](u32& bits, float value) { bits = b32(value); });
  reads.hash = hash_of(reads.ranges);
  by->warp->lanes[0]->async->wgmma_open.push_back(std::move(reads));
}

void check_reads(Thread* self, const WgmmaReads& reads) {
  if (race_check_is_on) {
    for (const auto& [begin, size] : reads.ranges) {
      check_race(self, static_cast<u32>(begin - self->shared), size, false);
    }
  }
  if (hash_of(reads.ranges) != reads.hash) {
    fail(self, "wgmma operand in shared memory changed between issue and wait_group");
  }
}

}  // namespace

void wgmma(Thread* self, u32 site, const WgmmaArgs& args) {
  count(self, site);
  WgmmaArgs copy = args;
  collect(self, site, ~0u, "wgmma", true, &copy, complete);
}

void wgmma_commit(Thread* self) {
  self->async->wgmma_groups.push_back(std::exchange(self->async->wgmma_open, {}));
}

void wgmma_wait(Thread* self, u32 site, int pending) {
  self->site = site;
  auto& groups = self->async->wgmma_groups;
  while (groups.size() > static_cast<size_t>(pending)) {
    for (const WgmmaReads& reads : groups.front()) check_reads(self, reads);
    groups.pop_front();
  }
}

void wgmma_fence(Thread* self, u32 site) { self->site = site; }

}  // namespace cuda_emulator
