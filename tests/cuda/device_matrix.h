#pragma once
// Matrices in a product's formats: on the device, among bytes that are NaNs in every format, and
// the numbers that they stand for.

#include <cmath>
#include <cstdint>
#include <cstring>
#include <random>
#include <vector>

#include <cuda_bf16.h>
#include <cuda_fp16.h>
#include <cuda_fp8.h>
#include <gtest/gtest.h>

#include "cuda/device_buffer.h"
#include "cuda/kernels/matmul.h"
#include "cuda/memory.h"

namespace dms::cuda {

inline constexpr size_t kPoisonBytes = 1024;

/// A copy of host memory on the device, between bytes of 0xff.
class PoisonedCopy {
 public:
  PoisonedCopy(const void* data, size_t bytes)
      : bytes_(bytes), buffer_(bytes + 2 * kPoisonBytes, "a test") {
    check(cudaMemset(buffer_.data(), 0xff, buffer_.bytes()), "poisoning");
    check(cudaMemcpy(buffer_.data() + kPoisonBytes, data, bytes, cudaMemcpyHostToDevice),
          "copying to the device");
  }
  template <typename T>
  explicit PoisonedCopy(const std::vector<T>& values)
      : PoisonedCopy(values.data(), values.size() * sizeof(T)) {}

  template <typename T>
  T* at() const {
    return buffer_.at<T>(kPoisonBytes);
  }

  /// What lies there now; expects that nothing was written beside it.
  template <typename T>
  std::vector<T> read() const {
    std::vector<unsigned char> all(buffer_.bytes());
    check(cudaMemcpy(all.data(), buffer_.data(), all.size(), cudaMemcpyDeviceToHost),
          "copying from the device");
    for (size_t i = 0; i < kPoisonBytes; ++i) {
      EXPECT_EQ(all[i], 0xff) << "written before the values, byte " << i;
      EXPECT_EQ(all[kPoisonBytes + bytes_ + i], 0xff) << "written after the values, byte " << i;
    }
    std::vector<T> values(bytes_ / sizeof(T));
    std::memcpy(values.data(), all.data() + kPoisonBytes, bytes_);
    return values;
  }

 private:
  size_t bytes_;
  DeviceBuffer buffer_;
};

/// A matrix as the host makes it.
struct HostMatrix {
  MatrixFormat format = MatrixFormat::bf16;
  int rows = 0;
  int columns = 0;
  std::vector<unsigned char> data;
  std::vector<float> scales;
  std::vector<__half> group_scales;
  std::vector<__half> group_minima;
  std::vector<double> values;   // [rows, columns], exactly
  std::vector<double> rounded;  // the same in bf16
};

inline float fp8_value(unsigned char code) {
  return __half2float(__half(__nv_cvt_fp8_to_halfraw(code, __NV_E4M3)));
}

inline double in_bf16(double value) {
  return __bfloat162float(__float2bfloat16_rn(static_cast<float>(value)));
}

inline HostMatrix random_matrix(MatrixFormat format, int rows, int columns, std::mt19937& random) {
  std::normal_distribution<float> normal;
  std::uniform_int_distribution<int> byte(0, 255);
  HostMatrix m;
  m.format = format;
  m.rows = rows;
  m.columns = columns;
  const auto count = static_cast<size_t>(rows) * static_cast<size_t>(columns);
  m.values.resize(count);
  if (format == MatrixFormat::bf16) {
    m.data.resize(2 * count);
    for (size_t i = 0; i < count; ++i) {
      const __nv_bfloat16 value = __float2bfloat16_rn(normal(random));
      std::memcpy(&m.data[2 * i], &value, 2);
      m.values[i] = __bfloat162float(value);
    }
  } else if (format == MatrixFormat::fp8) {
    for (int i = 0; i < rows; ++i) m.scales.push_back(std::exp(normal(random)) / 16.0f);
    for (size_t i = 0; i < count; ++i) {
      auto code = static_cast<unsigned char>(byte(random));
      if ((code & 0x7f) == 0x7f) code ^= 1;  // not a NaN
      m.data.push_back(code);
      m.values[i] = double{fp8_value(code)} * m.scales[i / static_cast<size_t>(columns)];
    }
  } else {
    for (size_t i = 0; i < count / 32; ++i) {
      m.group_scales.push_back(__float2half_rn(std::exp(normal(random)) / 8.0f));
      m.group_minima.push_back(__float2half_rn(normal(random)));
    }
    for (size_t i = 0; i < count; i += 2) {
      const int codes = byte(random);
      m.data.push_back(static_cast<unsigned char>(codes));
      for (const size_t half : {size_t{0}, size_t{1}}) {
        m.values[i + half] =
            double{__half2float(m.group_minima[i / 32])} +
            double{__half2float(m.group_scales[i / 32])} * (half == 0 ? codes % 16 : codes / 16);
      }
    }
  }
  for (const double value : m.values) m.rounded.push_back(in_bf16(value));
  return m;
}

/// A HostMatrix on the device.
class DeviceMatrix {
 public:
  explicit DeviceMatrix(const HostMatrix& m)
      : data_(m.data), scales_(m.scales), group_scales_(m.group_scales), minima_(m.group_minima) {
    view_ = {.format = m.format,
             .data = data_.at<void>(),
             .scales = m.scales.empty() ? nullptr : scales_.at<float>(),
             .group_scales = m.group_scales.empty() ? nullptr : group_scales_.at<__half>(),
             .group_minima = m.group_minima.empty() ? nullptr : minima_.at<__half>(),
             .rows = m.rows,
             .columns = m.columns};
  }

  const MatrixView& view() const { return view_; }

 private:
  PoisonedCopy data_;
  PoisonedCopy scales_;
  PoisonedCopy group_scales_;
  PoisonedCopy minima_;
  MatrixView view_;
};

}  // namespace dms::cuda
