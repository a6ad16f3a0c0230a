#include "dms/operations.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <functional>
#include <initializer_list>
#include <string>
#include <string_view>
#include <utility>

#include <fmt/format.h>

#include "base/bounds.h"
#include "base/parallel.h"
#include "cpu/masked_prefill.h"
#include "dms/error.h"

namespace dms {
namespace {

constexpr int64_t kGrainBytes = 64 << 10;  // so much copying is worth another thread's attention

void require_size(std::string_view field, size_t got, int64_t expected) {
  if (std::cmp_equal(got, expected)) return;
  throw InputError({.field = std::string(field),
                    .what = "wrong size",
                    .got = std::to_string(got),
                    .expected = std::to_string(expected)});
}

int64_t product(std::string_view field, std::initializer_list<int64_t> sizes) {
  int64_t all = 1;
  for (const int64_t size : sizes) {
    if (size < 0 || __builtin_mul_overflow(all, size, &all)) {
      throw InputError({.field = std::string(field),
                        .what = "impossible size",
                        .got = std::to_string(size),
                        .expected = "sizes whose product fits"});
    }
  }
  return all;
}

void require_rows(const RaggedRows& x) {
  require_size("x", x.data.size(), product("x", {x.lists, x.rows, x.row_bytes}));
}

int64_t grain(const RaggedRows& x) {
  return std::max<int64_t>(1, kGrainBytes / std::max<int64_t>(1, x.rows * x.row_bytes));
}

void copy_bytes(std::byte* to, const std::byte* from, int64_t bytes) {
  if (bytes > 0) std::memcpy(to, from, static_cast<size_t>(bytes));
}

void clear_bytes(std::byte* to, int64_t bytes) {
  if (bytes > 0) std::memset(to, 0, static_cast<size_t>(bytes));
}

/// Writes the rows that one list's mask keeps, neighbours in one copy, and returns where they end.
std::byte* copy_kept(const RaggedRows& x, int64_t list, const uint8_t* mask, std::byte* to) {
  const std::byte* rows = x.data.data() + list * x.rows * x.row_bytes;
  for (int64_t row = 0; row < x.rows;) {
    if (mask[row] == 0) {
      ++row;
      continue;
    }
    int64_t end = row;
    while (end < x.rows && mask[end] != 0) ++end;
    copy_bytes(to, rows + row * x.row_bytes, (end - row) * x.row_bytes);
    to += (end - row) * x.row_bytes;
    row = end;
  }
  return to;
}

void require_within(std::string_view field, int64_t got, int64_t most) {
  if (got >= 0 && got <= most) return;
  throw InputError({.field = std::string(field),
                    .what = "out of range",
                    .got = std::to_string(got),
                    .expected = "0 to " + std::to_string(most)});
}

/// Threads read while others write: what an operation reads must not change under it.
template <class T>
void require_apart(std::string_view field, std::span<const T> read, std::span<std::byte> out) {
  const std::span<const std::byte> bytes = std::as_bytes(read);
  const std::less<const std::byte*> before;
  if (bytes.empty() || out.empty() || !before(bytes.data(), out.data() + out.size()) ||
      !before(out.data(), bytes.data() + bytes.size())) {
    return;
  }
  throw InputError(
      {.field = "out", .what = "overlaps " + std::string(field), .expected = "memory of its own"});
}

/// Of float32, as attention takes it: of the numbers above 0 some are none there, or infinite.
void require_scale(double scale) {
  const auto as_float = static_cast<float>(scale);
  if (scale == 0 || (as_float > 0 && std::isfinite(as_float))) return;
  throw InputError({.field = "scale",
                    .what = "out of range",
                    .got = fmt::format("{}", scale),
                    .expected = "a finite number above 0, or 0: 1 / sqrt(head_dim)"});
}

void check_sizes(const FusedPrefill& prompt, std::span<const float> out) {
  for (const auto& [field, size] : {std::pair{"q_heads", prompt.q_heads},
                                    std::pair{"kv_heads", prompt.kv_heads},
                                    std::pair{"head_dim", prompt.head_dim}}) {
    if (size < 1) {
      throw InputError({.field = field,
                        .what = "out of range",
                        .got = std::to_string(size),
                        .expected = "at least 1"});
    }
  }
  if (prompt.q_heads % prompt.kv_heads != 0) {
    throw InputError({.field = "q_heads",
                      .what = "is no multiple of kv_heads",
                      .got = std::to_string(prompt.q_heads),
                      .expected = "a multiple of " + std::to_string(prompt.kv_heads)});
  }
  const int64_t q_values = product("queries", {prompt.tokens, prompt.q_heads, prompt.head_dim});
  const int64_t kv_values = product("keys", {prompt.tokens, prompt.kv_heads, prompt.head_dim});
  require_size("queries", prompt.queries.size(), q_values);
  require_size("keys", prompt.keys.size(), kv_values);
  require_size("values", prompt.values.size(), kv_values);
  require_size("evicted", prompt.evicted.size(), prompt.tokens * prompt.kv_heads);
  require_size("out", out.size(), q_values);
  if (prompt.window < 0) {
    throw InputError({.field = "window",
                      .what = "out of range",
                      .got = std::to_string(prompt.window),
                      .expected = "at least 0"});
  }
}

void check_apart(const FusedPrefill& prompt, std::span<std::byte> out) {
  require_apart("queries", prompt.queries, out);
  require_apart("keys", prompt.keys, out);
  require_apart("values", prompt.values, out);
  require_apart("evicted", prompt.evicted, out);
}

}  // namespace

void left_pad_2d(const RaggedRows& x,
                 std::span<const int64_t> lengths,
                 int64_t width,
                 std::span<std::byte> out) {
  require_rows(x);
  require_size("lengths", lengths.size(), x.lists);
  require_size("out", out.size(), product("width", {x.lists, width, x.row_bytes}));
  require_apart("x", x.data, out);
  require_apart("lengths", lengths, out);
  for (const int64_t length : lengths) require_within("lengths", length, std::min(x.rows, width));
  parallel_for(x.lists, grain(x), [&](int64_t list) {
    const int64_t bytes = lengths[static_cast<size_t>(list)] * x.row_bytes;
    const int64_t padding = width * x.row_bytes - bytes;
    std::byte* to = out.data() + list * width * x.row_bytes;
    clear_bytes(to, padding);
    copy_bytes(to + padding, x.data.data() + list * x.rows * x.row_bytes, bytes);
  });
}

void scatter_by_index(const RaggedRows& x,
                      std::span<const int64_t> index,
                      std::span<std::byte> out) {
  require_rows(x);
  require_size("x.lists", 1, x.lists);
  require_size("index", index.size(), x.rows);
  const int64_t places = x.row_bytes > 0 ? std::ssize(out) / x.row_bytes : x.rows;
  require_size("out", out.size(), places * x.row_bytes);
  require_apart("x", x.data, out);
  require_apart("index", index, out);
  std::vector<uint8_t> taken(static_cast<size_t>(places));
  for (const int64_t place : index) {
    require_within("index", place, places - 1);
    if (std::exchange(taken[static_cast<size_t>(place)], uint8_t{1}) != 0) {
      throw InputError({.field = "index", .what = "is there twice", .got = std::to_string(place)});
    }
  }
  const int64_t rows_at_a_time =
      std::max<int64_t>(1, kGrainBytes / std::max<int64_t>(1, x.row_bytes));
  parallel_for(x.rows, rows_at_a_time, [&](int64_t row) {
    copy_bytes(out.data() + index[static_cast<size_t>(row)] * x.row_bytes,
               x.data.data() + row * x.row_bytes,
               x.row_bytes);
  });
}

std::vector<int64_t> count_kept(const RaggedRows& x, std::span<const uint8_t> mask) {
  require_rows(x);
  require_size("mask", mask.size(), product("mask", {x.lists, x.rows}));
  std::vector<int64_t> kept;
  for (int64_t list = 0; list < x.lists; ++list) {
    const auto of_list =
        mask.subspan(static_cast<size_t>(list * x.rows), static_cast<size_t>(x.rows));
    kept.push_back(std::ranges::count_if(of_list, [](uint8_t keep) { return keep != 0; }));
  }
  return kept;
}

void bool_gather_left_pad(const RaggedRows& x,
                          std::span<const uint8_t> mask,
                          int64_t width,
                          std::span<std::byte> out) {
  const std::vector<int64_t> kept = count_kept(x, mask);
  require_size("out", out.size(), product("width", {x.lists, width, x.row_bytes}));
  require_apart("x", x.data, out);
  require_apart("mask", mask, out);
  for (const int64_t count : kept) require_within("mask: rows kept", count, width);
  parallel_for(x.lists, grain(x), [&](int64_t list) {
    const int64_t padding = (width - kept[static_cast<size_t>(list)]) * x.row_bytes;
    std::byte* to = out.data() + list * width * x.row_bytes;
    clear_bytes(to, padding);
    copy_kept(x, list, mask.data() + list * x.rows, to + padding);
  });
}

void compact_by_bool(const RaggedRows& x, std::span<const uint8_t> mask, std::span<std::byte> out) {
  const std::vector<int64_t> kept = count_kept(x, mask);
  std::vector<int64_t> begin{0};
  for (const int64_t count : kept) begin.push_back(begin.back() + count);
  require_size("out", out.size(), product("out", {begin.back(), x.row_bytes}));
  require_apart("x", x.data, out);
  require_apart("mask", mask, out);
  parallel_for(x.lists, grain(x), [&](int64_t list) {
    copy_kept(x,
              list,
              mask.data() + list * x.rows,
              out.data() + begin[static_cast<size_t>(list)] * x.row_bytes);
  });
}

void dms_fused_prefill(const FusedPrefill& prompt, std::span<float> out) {
  check_sizes(prompt, out);
  check_apart(prompt, std::as_writable_bytes(out));
  require_scale(prompt.scale);
  if (prompt.tokens > 0) cpu::masked_prefill(prompt, out);
}

}  // namespace dms
