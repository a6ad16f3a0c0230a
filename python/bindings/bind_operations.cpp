// dms/operations.h over bytes that lie in NumPy arrays; dms_cpp/operations.py gives them shapes.

#include <array>
#include <cstdint>
#include <span>
#include <string>

#include <nanobind/ndarray.h>
#include <nanobind/stl/array.h>
#include <nanobind/stl/string.h>

#include "bind.h"
#include "dms/operations.h"

namespace dms::python {
namespace {

namespace nb = nanobind;

template <class T>
using Flat = nb::ndarray<T, nb::ndim<1>, nb::c_contig, nb::device::cpu>;
using Bytes = Flat<const uint8_t>;
using Release = nb::call_guard<nb::gil_scoped_release>;

template <class T>
std::span<T> span_of(const Flat<T>& array) {
  return {array.data(), array.shape(0)};
}

RaggedRows rows_of(const Bytes& x, int64_t lists, int64_t rows, int64_t row_bytes) {
  return {.data = std::as_bytes(span_of(x)), .lists = lists, .rows = rows, .row_bytes = row_bytes};
}

std::span<std::byte> out_of(const Flat<uint8_t>& out) {
  return std::as_writable_bytes(span_of(out));
}

void pad(const Bytes& x,
         int64_t lists,
         int64_t rows,
         int64_t row_bytes,
         const Flat<const int64_t>& lengths,
         int64_t width,
         const Flat<uint8_t>& out) {
  left_pad_2d(rows_of(x, lists, rows, row_bytes), span_of(lengths), width, out_of(out));
}

void scatter(const Bytes& x,
             int64_t rows,
             int64_t row_bytes,
             const Flat<const int64_t>& index,
             const Flat<uint8_t>& out) {
  scatter_by_index(rows_of(x, 1, rows, row_bytes), span_of(index), out_of(out));
}

void gather(const Bytes& x,
            int64_t lists,
            int64_t rows,
            int64_t row_bytes,
            const Bytes& mask,
            int64_t width,
            const Flat<uint8_t>& out) {
  bool_gather_left_pad(rows_of(x, lists, rows, row_bytes), span_of(mask), width, out_of(out));
}

void compact(const Bytes& x,
             int64_t lists,
             int64_t rows,
             int64_t row_bytes,
             const Bytes& mask,
             const Flat<uint8_t>& out) {
  compact_by_bool(rows_of(x, lists, rows, row_bytes), span_of(mask), out_of(out));
}

/// sizes: tokens, query heads, KV heads, head_dim.
void prefill(const std::array<int64_t, 4>& sizes,
             const Flat<const float>& queries,
             const Flat<const float>& keys,
             const Flat<const float>& values,
             const Bytes& evicted,
             int64_t window,
             double scale,
             const std::string& dtype,
             const Flat<float>& out) {
  dms_fused_prefill({.tokens = sizes[0],
                     .q_heads = sizes[1],
                     .kv_heads = sizes[2],
                     .head_dim = sizes[3],
                     .queries = span_of(queries),
                     .keys = span_of(keys),
                     .values = span_of(values),
                     .evicted = span_of(evicted),
                     .window = window,
                     .scale = scale,
                     .dtype = dtype},
                    span_of(out));
}

}  // namespace

void bind_operations(nb::module_& module) {
  module.def("left_pad_2d", pad, Release());
  module.def("scatter_by_index", scatter, Release());
  module.def("bool_gather_left_pad", gather, Release());
  module.def("compact_by_bool", compact, Release());
  module.def("dms_fused_prefill", prefill, Release());
}

}  // namespace dms::python
