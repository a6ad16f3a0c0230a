// ldmatrix, stmatrix and mma.sync. Products are summed in float32 in the order of the columns of A;
// the order and width of a tensor core's sums are not documented.

#include "cuda_emulator/runtime/matrix.h"

#include "cuda_emulator/runtime/state.h"

namespace cuda_emulator {
namespace {

constexpr u32 kAllLanes = ~0u;
constexpr u32 kRowBytes = 16;

struct MatrixMove {
  u32 address;  // of the row that the lane names
  int count;    // matrices of 8 x 8
  bool transposes;
  u32* out;
  const u32* in;
};

MatrixMove& move_of(const Collective& collective, int lane) {
  return *static_cast<MatrixMove*>(collective.slots[lane]);
}

void check_row(Thread* self, const char* name, int count, u32 address) {
  if (static_cast<int>(self->lane) < 8 * count && address % kRowBytes != 0) {
    fail(self, "%s: row address %#x not 16-byte aligned", name, address);
  }
}

void count_rows(Thread* by, const Collective& collective, int matrix) {
  if (!profile_is_on) return;
  WarpAccess access;
  access.size = kRowBytes;
  access.mask = 0xff;
  for (int r = 0; r < 8; r++) access.addresses[r] = move_of(collective, 8 * matrix + r).address;
  count_warp_access(*this_worker, by->site, access, true);
}

/// Returns the row's place, with its access checked as that of the lane which names it.
u8* row_place(Thread* by, const Collective& collective, int lane, bool is_write) {
  u32 offset;
  Block& block = shared_block(by, move_of(collective, lane).address, kRowBytes, offset);
  if (&block == by->block) {
    Thread* const owner = by->warp->lanes[lane];
    owner->site = by->site;
    if (race_check_is_on) check_race(owner, offset, kRowBytes, is_write);
    if (is_write) mark_generic_write(owner, offset, kRowBytes);
  }
  return block.shared + offset;
}

void complete_load(Thread* by, Collective& collective) {
  const auto [address, count, transposes, out, in] =
      move_of(collective, static_cast<int>(by->lane));
  for (int m = 0; m < count; m++) {
    count_rows(by, collective, m);
    u16 tile[8][8];
    for (int r = 0; r < 8; r++) {
      std::memcpy(tile[r], row_place(by, collective, 8 * m + r, false), kRowBytes);
    }
    for (int lane = 0; lane < 32; lane++) {
      const int r = lane / 4, c = 2 * (lane % 4);
      const u32 low = transposes ? tile[c][r] : tile[r][c];
      const u32 high = transposes ? tile[c + 1][r] : tile[r][c + 1];
      move_of(collective, lane).out[m] = low | high << 16;
    }
  }
}

void complete_store(Thread* by, Collective& collective) {
  const auto [address, count, transposes, out, in] =
      move_of(collective, static_cast<int>(by->lane));
  for (int m = 0; m < count; m++) {
    count_rows(by, collective, m);
    u16 tile[8][8];
    for (int lane = 0; lane < 32; lane++) {
      const int r = lane / 4, c = 2 * (lane % 4);
      const u32 value = move_of(collective, lane).in[m];
      (transposes ? tile[c][r] : tile[r][c]) = static_cast<u16>(value);
      (transposes ? tile[c + 1][r] : tile[r][c + 1]) = static_cast<u16>(value >> 16);
    }
    for (int r = 0; r < 8; r++) {
      std::memcpy(row_place(by, collective, 8 * m + r, true), tile[r], kRowBytes);
    }
  }
}

struct Product {
  int depth;
  char a_type, b_type;
  u32* d;
  const u32 *a, *b, *c;

  bool is_integer() const { return a_type == 's' || a_type == 'u'; }
};

Product& product_of(const Collective& collective, int lane) {
  return *static_cast<Product*>(collective.slots[lane]);
}

struct Operands {
  float a[16][64];
  float b[64][8];
};

void gather(const Collective& collective, Operands& operands) {
  for (int lane = 0; lane < 32; lane++) {
    const Product& p = product_of(collective, lane);
    for_each_a_element(p.a_type, lane, p.depth, [&](int row, int column, int j, int e) {
      operands.a[row][column] = element_of_register(p.a_type, p.a[j], e);
    });
    const int per_register = 4 / element_bytes(p.b_type), quad = lane % 4;
    for (int j = 0; j < p.depth / (4 * per_register); j++) {
      for (int e = 0; e < per_register; e++) {
        const int row = per_register * quad + 4 * per_register * j + e;
        operands.b[row][lane / 4] = element_of_register(p.b_type, p.b[j], e);
      }
    }
  }
}

/// T: float, or double for integers, which it holds exactly.
template <class T, class Read, class Write>
void multiply(const Collective& collective, const Operands& operands, Read read, Write write) {
  T d[16][8];
  for (int lane = 0; lane < 32; lane++) {
    for (int i = 0; i < 4; i++) {
      const auto [row, column] = accumulator_place(lane, i);
      d[row][column] = read(product_of(collective, lane).c[i]);
    }
  }
  const int depth = product_of(collective, 0).depth;
  for (int row = 0; row < 16; row++) {
    for (int k = 0; k < depth; k++) {
      const T x = operands.a[row][k];
      for (int column = 0; column < 8; column++) d[row][column] += x * operands.b[k][column];
    }
  }
  for (int lane = 0; lane < 32; lane++) {
    for (int i = 0; i < 4; i++) {
      const auto [row, column] = accumulator_place(lane, i);
      product_of(collective, lane).d[i] = write(d[row][column]);
    }
  }
}

void complete_product(Thread* by, Collective& collective) {
  if (collective.arrived != kAllLanes) fail(by, "mma: only lanes %08x present", collective.arrived);
  Operands operands;
  gather(collective, operands);
  if (product_of(collective, 0).is_integer()) {
    multiply<double>(
        collective,
        operands,
        [](u32 bits) { return static_cast<double>(static_cast<i32>(bits)); },
        [](double x) { return static_cast<u32>(static_cast<i64>(x)); });  // wraps
  } else {
    multiply<float>(collective, operands, f32, b32);
  }
}

}  // namespace

void ldmatrix(Thread* self, u32 site, int matrices, bool transposes, u32* out, u32 address) {
  count(self, site);
  MatrixMove move{address, matrices, transposes, out, nullptr};
  check_row(self, "ldmatrix", matrices, address);
  collect(self, site, kAllLanes, "ldmatrix", true, &move, complete_load);
}

void stmatrix(Thread* self, u32 site, int matrices, bool transposes, const u32* in, u32 address) {
  count(self, site);
  MatrixMove move{address, matrices, transposes, nullptr, in};
  check_row(self, "stmatrix", matrices, address);
  collect(self, site, kAllLanes, "stmatrix", true, &move, complete_store);
}

void mma(Thread* self,
         u32 site,
         int depth,
         char a_type,
         char b_type,
         u32* d,
         const u32* a,
         const u32* b,
         const u32* c) {
  count(self, site);
  Product product{depth, a_type, b_type, d, a, b, c};
  collect(self, site, kAllLanes, "mma", true, &product, complete_product);
}

}  // namespace cuda_emulator
