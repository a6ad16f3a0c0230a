#pragma once
// NumPy arrays over memory of ours. Nothing is copied: the array owns what it shows.

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <utility>
#include <vector>

#include <nanobind/nanobind.h>
#include <nanobind/ndarray.h>

namespace dms::python {

namespace nb = nanobind;

/// Token ids as they come: any one-dimensional int32 array, read where it lies.
using IdArray = nb::ndarray<const int32_t, nb::ndim<1>, nb::c_contig, nb::device::cpu>;

inline std::span<const int32_t> ids_of(const IdArray& array) {
  return {array.data(), array.shape(0)};
}

template <class T, size_t Dims>
using OwnedArray = nb::ndarray<nb::numpy, T, nb::ndim<Dims>, nb::c_contig>;

/// `holder` is kept until the array is gone; `data` lies in it.
template <size_t Dims, class Holder, class T>
OwnedArray<T, Dims> own_array(Holder holder, T* data, const size_t (&shape)[Dims]) {
  auto kept = std::make_unique<Holder>(std::move(holder));
  const nb::capsule owner(kept.get(),
                          [](void* memory) noexcept { delete static_cast<Holder*>(memory); });
  kept.release();
  return OwnedArray<T, Dims>(data, Dims, shape, owner);
}

}  // namespace dms::python
