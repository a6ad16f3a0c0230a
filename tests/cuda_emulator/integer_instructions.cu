// Integers: products, carries, bit fields, permutations, conversions.

#include "probe.h"

namespace cuda_emulator {
namespace {

using u32 = uint32_t;
using u64 = uint64_t;
using i32 = int32_t;
using i64 = int64_t;

u32 byte_of(u64 value, u32 index) { return static_cast<u32>(value >> (8 * index) & 255); }

struct MulHi64 {
  static __device__ u64 device(u64 a, u64 b, u64) { return __umul64hi(a, b); }
  static u64 host(u64 a, u64 b, u64) {
    return static_cast<u64>(static_cast<unsigned __int128>(a) * b >> 64);
  }
};
struct MulHiSigned64 {
  static __device__ i64 device(i64 a, i64 b, i64) { return __mul64hi(a, b); }
  static i64 host(i64 a, i64 b, i64) {
    return static_cast<i64>(static_cast<__int128>(a) * b >> 64);
  }
};
struct MulHi32 {
  static __device__ u32 device(u32 a, u32 b, u32) { return __umulhi(a, b); }
  static u32 host(u32 a, u32 b, u32) { return static_cast<u32>(static_cast<u64>(a) * b >> 32); }
};
struct MulHiSigned32 {
  static __device__ i32 device(i32 a, i32 b, i32) { return __mulhi(a, b); }
  static i32 host(i32 a, i32 b, i32) { return static_cast<i32>(static_cast<i64>(a) * b >> 32); }
};
struct Mad64 {
  static __device__ u64 device(u64 a, u64 b, u64 c) { return a * b + c; }
  static u64 host(u64 a, u64 b, u64 c) { return a * b + c; }
};
struct MadWide {
  static __device__ i64 device(i32 a, i32 b, i64 c) { return static_cast<i64>(a) * b + c; }
  static i64 host(i32 a, i32 b, i64 c) {
    return static_cast<i64>(static_cast<u64>(static_cast<i64>(a) * b) + static_cast<u64>(c));
  }
};
struct MadHi {
  static __device__ u32 device(u32 a, u32 b, u32 c) {
    u32 d;
    asm("mad.hi.u32 %0, %1, %2, %3;" : "=r"(d) : "r"(a), "r"(b), "r"(c));
    return d;
  }
  static u32 host(u32 a, u32 b, u32 c) {
    return static_cast<u32>(static_cast<u64>(a) * b >> 32) + c;
  }
};
struct Mul24 {
  static __device__ i32 device(i32 a, i32 b, i32) { return __mul24(a, b); }
  static i32 host(i32 a, i32 b, i32) {
    const auto cut = [](i32 x) {
      return static_cast<i64>(static_cast<i32>(static_cast<u32>(x) << 8) >> 8);
    };
    return static_cast<i32>(cut(a) * cut(b));
  }
};
struct Divide64 {
  static __device__ i64 device(i64 a, i64 b, i64) { return a / (b | 1) + a % (b | 1); }
  static i64 host(i64 a, i64 b, i64) {
    if ((b | 1) == -1) return static_cast<i64>(0 - static_cast<u64>(a));  // the host traps
    return a / (b | 1) + a % (b | 1);
  }
};
struct DivideUnsigned32 {
  static __device__ u32 device(u32 a, u32 b, u32) { return b ? a / b * 3 + a % b : 7; }
  static u32 host(u32 a, u32 b, u32) { return b ? a / b * 3 + a % b : 7; }
};
/// 128-bit sum, whose upper half shows the carries.
struct AddCarry {
  static __device__ u64 device(u64 a, u64 b, u64 c) {
    u64 low, high;
    asm("add.cc.u64 %0, %2, %3; addc.u64 %1, %2, %4;"
        : "=l"(low), "=l"(high)
        : "l"(a), "l"(b), "l"(c));
    return low ^ high;
  }
  static u64 host(u64 a, u64 b, u64 c) {
    const auto sum = static_cast<unsigned __int128>(a) + b;
    return static_cast<u64>(sum) ^ (a + c + static_cast<u64>(sum >> 64));
  }
};
struct SubtractBorrow {
  static __device__ u32 device(u32 a, u32 b, u32 c) {
    u32 low, high;
    asm("sub.cc.u32 %0, %2, %3; subc.u32 %1, %2, %4;"
        : "=r"(low), "=r"(high)
        : "r"(a), "r"(b), "r"(c));
    return low ^ high * 3;
  }
  static u32 host(u32 a, u32 b, u32 c) { return (a - b) ^ (a - c - (a < b)) * 3; }
};
struct MadCarry {
  static __device__ u32 device(u32 a, u32 b, u32 c) {
    u32 low, high;
    asm("mad.lo.cc.u32 %0, %2, %3, %4; madc.hi.u32 %1, %2, %3, %4;"
        : "=r"(low), "=r"(high)
        : "r"(a), "r"(b), "r"(c));
    return low ^ high * 3;
  }
  static u32 host(u32 a, u32 b, u32 c) {
    const u64 product = static_cast<u64>(a) * b;
    const u64 low = (product & 0xffffffffu) + c;
    return static_cast<u32>(low) ^ static_cast<u32>((product >> 32) + c + (low >> 32)) * 3;
  }
};
struct Counts {
  static __device__ u32 device(u64 a, u32 b, u32) {
    return __popcll(a) + 100 * __clzll(a) + 10000 * __ffsll(a) + __popc(b) + 3 * __clz(b) +
           7 * __ffs(b);
  }
  static u32 host(u64 a, u32 b, u32) {
    const u32 wide = __builtin_popcountll(a) + 100 * (a ? __builtin_clzll(a) : 64) +
                     10000 * __builtin_ffsll(static_cast<i64>(a));
    return wide + __builtin_popcount(b) + 3 * (b ? __builtin_clz(b) : 32) +
           7 * __builtin_ffs(static_cast<i32>(b));
  }
};
struct Reverse {
  static __device__ u64 device(u64 a, u32 b, u32) { return __brevll(a) ^ __brev(b); }
  static u64 host(u64 a, u32 b, u32) {
    u64 result = 0;
    for (int i = 0; i < 64; i++) result |= (a >> i & 1) << (63 - i);
    for (int i = 0; i < 32; i++) result ^= static_cast<u64>(b >> i & 1) << (31 - i);
    return result;
  }
};
struct Shifts {
  static __device__ u64 device(u64 a, u32 b, u32 c) {
    u64 left, right;
    i64 arithmetic;
    asm("shl.b64 %0, %1, %2;" : "=l"(left) : "l"(a), "r"(c & 127));
    asm("shr.u64 %0, %1, %2;" : "=l"(right) : "l"(a), "r"(c & 127));
    asm("shr.s64 %0, %1, %2;" : "=l"(arithmetic) : "l"(a), "r"(c & 127));
    return left ^ right * 3 ^ static_cast<u64>(arithmetic) * 5;
  }
  static u64 host(u64 a, u32, u32 c) {
    const u32 n = c & 127;
    const u64 sign = static_cast<i64>(a) < 0 ? ~0ull : 0;
    const u64 arithmetic = n >= 64 ? sign : static_cast<u64>(static_cast<i64>(a) >> n);
    return (n >= 64 ? 0 : a << n) ^ (n >= 64 ? 0 : a >> n) * 3 ^ arithmetic * 5;
  }
};
struct FunnelShift {
  static __device__ u32 device(u32 a, u32 b, u32 c) {
    return __funnelshift_l(a, b, c) ^ __funnelshift_r(a, b, c) * 3 ^ __funnelshift_lc(a, b, c) * 5 ^
           __funnelshift_rc(a, b, c) * 7;
  }
  static u32 host(u32 a, u32 b, u32 c) {
    const u64 both = static_cast<u64>(b) << 32 | a;
    const u32 wrapped = c & 31, clamped = c < 32 ? c : 32;
    return static_cast<u32>(both << wrapped >> 32) ^ static_cast<u32>(both >> wrapped) * 3 ^
           static_cast<u32>(both << clamped >> 32) * 5 ^ static_cast<u32>(both >> clamped) * 7;
  }
};
template <class T>
T extract(T value, u32 position, u32 length) {
  constexpr u32 kTop = sizeof(T) * 8 - 1;
  position &= 255;
  length &= 255;
  const u64 bits = static_cast<u64>(static_cast<i64>(value));
  const u32 last = position + length - 1 < kTop ? position + length - 1 : kTop;
  const bool sign = length && T(-1) < T(0) && (bits >> last & 1);
  u64 result = 0;
  for (u32 i = 0; i <= kTop; i++) {
    const bool bit = i < length && position + i <= kTop ? (bits >> (position + i) & 1) != 0 : sign;
    result |= static_cast<u64>(bit) << i;
  }
  return static_cast<T>(result);
}
struct ExtractSigned32 {
  static __device__ i32 device(i32 a, u32 b, u32 c) {
    i32 d;
    asm("bfe.s32 %0, %1, %2, %3;" : "=r"(d) : "r"(a), "r"(b & 63), "r"(c & 63));
    return d;
  }
  static i32 host(i32 a, u32 b, u32 c) { return extract(a, b & 63, c & 63); }
};
struct ExtractUnsigned64 {
  static __device__ u64 device(u64 a, u32 b, u32 c) {
    u64 d;
    asm("bfe.u64 %0, %1, %2, %3;" : "=l"(d) : "l"(a), "r"(b), "r"(c));
    return d;
  }
  static u64 host(u64 a, u32 b, u32 c) { return extract(a, b, c); }
};
struct ExtractSigned64 {
  static __device__ i64 device(i64 a, u32 b, u32 c) {
    i64 d;
    asm("bfe.s64 %0, %1, %2, %3;" : "=l"(d) : "l"(a), "r"(b & 127), "r"(c & 127));
    return d;
  }
  static i64 host(i64 a, u32 b, u32 c) { return extract(a, b & 127, c & 127); }
};
struct Insert {
  static __device__ u32 device(u32 a, u32 b, u32 c) {
    u32 d;
    asm("bfi.b32 %0, %1, %2, %3, %4;" : "=r"(d) : "r"(a), "r"(b), "r"(c & 63), "r"(c >> 8 & 63));
    return d;
  }
  static u32 host(u32 a, u32 b, u32 c) {
    u32 result = b;
    for (u32 i = 0; i < (c >> 8 & 63) && (c & 63) + i < 32; i++) {
      const u32 bit = 1u << ((c & 63) + i);
      result = a >> i & 1 ? result | bit : result & ~bit;
    }
    return result;
  }
};
struct Permute {
  static __device__ u32 device(u32 a, u32 b, u32 c) {
    u32 signs;
    asm("prmt.b32 %0, %1, %2, %3;" : "=r"(signs) : "r"(a), "r"(b), "r"(c));
    return signs ^ __byte_perm(a, b, c) * 3;
  }
  static u32 host(u32 a, u32 b, u32 c) {
    const u64 both = static_cast<u64>(b) << 32 | a;
    u32 plain = 0, signs = 0;
    for (u32 i = 0; i < 4; i++) {
      const u32 select = c >> (4 * i) & 15, byte = byte_of(both, select & 7);
      plain |= byte << (8 * i);
      signs |= (select < 8 ? byte : byte >> 7 ? 255u : 0u) << (8 * i);
    }
    return signs ^ plain * 3;
  }
};
/// The modes of prmt, by the manual's table of bytes for selectors 0 to 3.
struct PermuteModes {
  static __device__ u64 device(u32 a, u32 b, u32 c) {
    u32 f4e, b4e, rc8, ecl, ecr, rc16;
    asm("prmt.b32.f4e %0, %1, %2, %3;" : "=r"(f4e) : "r"(a), "r"(b), "r"(c));
    asm("prmt.b32.b4e %0, %1, %2, %3;" : "=r"(b4e) : "r"(a), "r"(b), "r"(c));
    asm("prmt.b32.rc8 %0, %1, %2, %3;" : "=r"(rc8) : "r"(a), "r"(b), "r"(c));
    asm("prmt.b32.ecl %0, %1, %2, %3;" : "=r"(ecl) : "r"(a), "r"(b), "r"(c));
    asm("prmt.b32.ecr %0, %1, %2, %3;" : "=r"(ecr) : "r"(a), "r"(b), "r"(c));
    asm("prmt.b32.rc16 %0, %1, %2, %3;" : "=r"(rc16) : "r"(a), "r"(b), "r"(c));
    return f4e + 3ull * b4e + 5ull * rc8 + 7ull * ecl + 11ull * ecr + 13ull * rc16;
  }
  static u64 host(u32 a, u32 b, u32 c) {
    static constexpr u32 kPlaces[6][4] = {{0x3210, 0x4321, 0x5432, 0x6543},
                                          {0x5670, 0x6701, 0x7012, 0x0123},
                                          {0x0000, 0x1111, 0x2222, 0x3333},
                                          {0x3210, 0x3211, 0x3222, 0x3333},
                                          {0x0000, 0x1110, 0x2210, 0x3210},
                                          {0x1010, 0x3232, 0x1010, 0x3232}};
    static constexpr u64 kFactors[] = {1, 3, 5, 7, 11, 13};
    const u64 both = static_cast<u64>(b) << 32 | a;
    u64 sum = 0;
    for (int mode = 0; mode < 6; mode++) {
      u32 value = 0;
      for (u32 i = 0; i < 4; i++) {
        value |= byte_of(both, kPlaces[mode][c & 3] >> (4 * i) & 7) << (8 * i);
      }
      sum += kFactors[mode] * value;
    }
    return sum;
  }
};
struct DotProduct {
  static __device__ u32 device(u32 a, u32 b, u32 c) {
    return static_cast<u32>(__dp4a(static_cast<i32>(a), static_cast<i32>(b), static_cast<i32>(c))) ^
           __dp4a(a, b, c) * 3 ^
           static_cast<u32>(
               __dp2a_hi(static_cast<i32>(a), static_cast<i32>(b), static_cast<i32>(c))) *
               5;
  }
  static u32 host(u32 a, u32 b, u32 c) {
    u32 with_sign = c, without = c, pair = c;
    for (u32 i = 0; i < 4; i++) {
      with_sign +=
          static_cast<u32>(static_cast<int8_t>(byte_of(a, i)) * static_cast<int8_t>(byte_of(b, i)));
      without += byte_of(a, i) * byte_of(b, i);
    }
    for (u32 i = 0; i < 2; i++) {
      pair += static_cast<u32>(static_cast<int16_t>(a >> (16 * i)) *
                               static_cast<int8_t>(byte_of(b, 2 + i)));
    }
    return with_sign ^ without * 3 ^ pair * 5;
  }
};
struct AbsoluteDifference {
  static __device__ u32 device(i32 a, i32 b, u32 c) { return __sad(a, b, c); }
  static u32 host(i32 a, i32 b, u32 c) {
    const i64 difference = static_cast<i64>(a) - b;
    return static_cast<u32>(difference < 0 ? -difference : difference) + c;
  }
};
struct Saturate {
  static __device__ i64 device(i32 a, i64 b, i64) {
    i32 byte, word;
    asm("{ .reg .s8 t; cvt.sat.s8.s32 %0, %1; }" : "=r"(byte) : "r"(a));
    asm("cvt.sat.u32.s64 %0, %1;" : "=r"(word) : "l"(b));
    return static_cast<i64>(byte) << 32 ^ static_cast<u32>(word);
  }
  static i64 host(i32 a, i64 b, i64) {
    const i64 byte = a < -128 ? -128 : a > 127 ? 127 : a;
    const i64 word = b < 0 ? 0 : b > 0xffffffffll ? 0xffffffffll : b;
    return byte << 32 ^ word;
  }
};
struct Switch {
  static __device__ u32 device(u32 a, u32 b, u32 c) {
    switch (c % 9) {
      case 0:
        return a + b;
      case 1:
        return a ^ b * 17;
      case 2:
        return a / (b | 1);
      case 3:
        return __popc(a) - b;
      case 4:
        return a << (b & 31);
      case 5:
        return a * b;
      case 6:
        return (a >> 3) - b;
      default:
        return b;
    }
  }
  static u32 host(u32 a, u32 b, u32 c) {
    switch (c % 9) {
      case 0:
        return a + b;
      case 1:
        return a ^ b * 17;
      case 2:
        return a / (b | 1);
      case 3:
        return __builtin_popcount(a) - b;
      case 4:
        return a << (b & 31);
      case 5:
        return a * b;
      case 6:
        return (a >> 3) - b;
      default:
        return b;
    }
  }
};
/// A table of jumps, which nvcc writes for few switches only.
struct IndexedBranch {
  static __device__ u32 device(u32 a, u32 b, u32 c) {
    u32 d;
    asm volatile(
        "{ targets: .branchtargets first, second, third;\n"
        "brx.idx %3, targets;\n"
        "first: add.u32 %0, %1, %2; bra.uni done;\n"
        "second: xor.b32 %0, %1, %2; bra.uni done;\n"
        "third: sub.u32 %0, %1, %2;\n"
        "done: }"
        : "=r"(d)
        : "r"(a), "r"(b), "r"(c % 3));
    return d;
  }
  static u32 host(u32 a, u32 b, u32 c) { return c % 3 == 0 ? a + b : c % 3 == 1 ? a ^ b : a - b; }
};

}  // namespace

std::vector<ProbeCase> integer_cases() {
  return {
      bits_case<MulHi64, u64, u64, u64, u64>("MulHi64"),
      bits_case<MulHiSigned64, i64, i64, i64, i64>("MulHiSigned64"),
      bits_case<MulHi32, u32, u32, u32, u32>("MulHi32"),
      bits_case<MulHiSigned32, i32, i32, i32, i32>("MulHiSigned32"),
      bits_case<Mad64, u64, u64, u64, u64>("Mad64"),
      bits_case<MadWide, i64, i32, i32, i64>("MadWide"),
      bits_case<MadHi, u32, u32, u32, u32>("MadHi"),
      bits_case<Mul24, i32, i32, i32, i32>("Mul24"),
      bits_case<Divide64, i64, i64, i64, i64>("Divide64"),
      bits_case<DivideUnsigned32, u32, u32, u32, u32>("DivideUnsigned32"),
      bits_case<AddCarry, u64, u64, u64, u64>("AddCarry"),
      bits_case<SubtractBorrow, u32, u32, u32, u32>("SubtractBorrow"),
      bits_case<MadCarry, u32, u32, u32, u32>("MadCarry"),
      bits_case<Counts, u32, u64, u32, u32>("Counts"),
      bits_case<Reverse, u64, u64, u32, u32>("Reverse"),
      bits_case<Shifts, u64, u64, u32, u32>("Shifts"),
      bits_case<FunnelShift, u32, u32, u32, u32>("FunnelShift"),
      bits_case<ExtractSigned32, i32, i32, u32, u32>("ExtractSigned32"),
      bits_case<ExtractUnsigned64, u64, u64, u32, u32>("ExtractUnsigned64"),
      bits_case<ExtractSigned64, i64, i64, u32, u32>("ExtractSigned64"),
      bits_case<Insert, u32, u32, u32, u32>("Insert"),
      bits_case<Permute, u32, u32, u32, u32>("Permute"),
      bits_case<PermuteModes, u64, u32, u32, u32>("PermuteModes"),
      bits_case<DotProduct, u32, u32, u32, u32>("DotProduct"),
      bits_case<AbsoluteDifference, u32, i32, i32, u32>("AbsoluteDifference"),
      bits_case<Saturate, i64, i32, i64, i64>("Saturate"),
      bits_case<Switch, u32, u32, u32, u32>("Switch"),
      bits_case<IndexedBranch, u32, u32, u32, u32>("IndexedBranch"),
  };
}

}  // namespace cuda_emulator
