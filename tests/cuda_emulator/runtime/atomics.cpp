// Atomics: those of the host, since blocks run on several of its threads.

#include <algorithm>
#include <atomic>
#include <string_view>

#include "cuda_emulator/runtime/sanitizers.h"
#include "cuda_emulator/runtime/state.h"

namespace cuda_emulator {
namespace {

/// Replaces the value by compute(value); returns the old one.
template <class T, class F>
T update(u8* place, F compute) {
  const std::atomic_ref<T> value(*reinterpret_cast<T*>(place));
  T old = value.load();
  while (!value.compare_exchange_weak(old, compute(old))) {
  }
  return old;
}

template <class T>
T combine(std::string_view name, T old, T operand, T replacement) {
  if (name == "add") return static_cast<T>(static_cast<u64>(old) + static_cast<u64>(operand));
  if (name == "exch") return operand;
  if (name == "and") return old & operand;
  if (name == "or") return old | operand;
  if (name == "xor") return old ^ operand;
  if (name == "min") return std::min(old, operand);
  if (name == "max") return std::max(old, operand);
  if (name == "inc") return old >= operand ? T{0} : static_cast<T>(old + 1);
  if (name == "dec") return old == 0 || old > operand ? operand : static_cast<T>(old - 1);
  return old == operand ? replacement : old;  // cas
}

template <class T>
u64 atomic_integer(u8* place, std::string_view name, u64 operand, u64 replacement) {
  const T b = static_cast<T>(operand), c = static_cast<T>(replacement);
  const T old = update<T>(place, [&](T value) { return combine(name, value, b, c); });
  return static_cast<std::make_unsigned_t<T>>(old);
}

/// Adds two halves in one register, each rounded by itself.
template <class Widen, class Narrow>
u32 add_halves(u32 a, u32 b, Widen widen, Narrow narrow) {
  u32 sum = 0;
  for (int shift = 0; shift < 32; shift += 16) {
    const double x = widen(static_cast<u16>(a >> shift)), y = widen(static_cast<u16>(b >> shift));
    sum |= static_cast<u32>(narrow(x + y)) << shift;
  }
  return sum;
}

u64 add_real(Thread* self, u8* place, std::string_view type, u64 operand) {
  const u32 low = static_cast<u32>(operand);
  if (type == "f32") {
    return update<u32>(place, [&](u32 old) { return b32(f32(old) + f32(low)); });
  }
  if (type == "f64") {
    return update<u64>(place, [&](u64 old) { return b64(f64(old) + f64(operand)); });
  }
  const auto add_bf16 = [](u32 a, u32 b) {
    return add_halves(a, b, bf16_to_float, double_to_bf16);
  };
  const auto add_f16 = [](u32 a, u32 b) { return add_halves(a, b, f16_to_float, double_to_f16); };
  if (type == "bf16x2") return update<u32>(place, [&](u32 old) { return add_bf16(old, low); });
  if (type == "f16x2") return update<u32>(place, [&](u32 old) { return add_f16(old, low); });
  if (type == "bf16") {
    return update<u16>(place, [&](u16 old) { return static_cast<u16>(add_bf16(old, low)); });
  }
  if (type == "f16") {
    return update<u16>(place, [&](u16 old) { return static_cast<u16>(add_f16(old, low)); });
  }
  fail(self, "atomic of type %s is not known", type.data());
}

}  // namespace

u64 atomic(Thread* self,
           u32 site,
           u8* place,
           const char* name,
           const char* type,
           u64 operand,
           u64 replacement) {
  self->site = site;
  self->block->cluster->progress++;
  tsan_release(place);
  const std::string_view t = type;
  u64 old = 0;
  if (t == "s32") {
    old = atomic_integer<i32>(place, name, operand, replacement);
  } else if (t == "u32" || t == "b32") {
    old = atomic_integer<u32>(place, name, operand, replacement);
  } else if (t == "s64") {
    old = atomic_integer<i64>(place, name, operand, replacement);
  } else if (t == "u64" || t == "b64") {
    old = atomic_integer<u64>(place, name, operand, replacement);
  } else if (t == "b16") {
    old = atomic_integer<u16>(place, name, operand, replacement);
  } else if (!std::strcmp(name, "add")) {
    old = add_real(self, place, t, operand);
  } else {
    fail(self, "atom.%s.%s is not known", name, type);
  }
  tsan_acquire(place);
  return old;
}

}  // namespace cuda_emulator
