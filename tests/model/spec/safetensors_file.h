#pragma once
// Safetensors files put together by hand, so that a test can bend any part of one.

#include <bit>
#include <cstdint>
#include <cstring>
#include <map>
#include <span>
#include <string>
#include <vector>

#include "base/json.h"
#include "model/spec/load.h"
#include "model/spec/safetensors.h"

namespace dms::testing_support {

/// Header length, header, data.
inline std::string raw_file(const std::string& header, const std::string& data) {
  const uint64_t length = header.size();
  std::string file(sizeof(length), '\0');
  std::memcpy(file.data(), &length, sizeof(length));
  return file + header + data;
}

inline Json entry(const std::string& dtype,
                  const std::vector<int64_t>& shape,
                  int64_t begin,
                  int64_t end) {
  return {{"dtype", dtype}, {"shape", shape}, {"data_offsets", {begin, end}}};
}

inline std::vector<std::byte> stored_bytes(const SafetensorsFile& file, const std::string& tensor) {
  const TensorEntry& entry = file.tensors().at(tensor);
  std::vector<std::byte> bytes(static_cast<size_t>(entry.bytes));
  file.read(entry, 0, bytes);
  return bytes;
}

inline std::span<const std::byte> as_bytes(const std::string& file) {
  return std::as_bytes(std::span(file.data(), file.size()));
}

struct TestTensor {
  std::string name;
  std::vector<int64_t> shape;
  std::string bytes;
  std::string dtype = "F32";
};

/// The tensors one after the other.
inline std::string tensor_file(const std::vector<TestTensor>& tensors) {
  Json header = Json::object();
  std::string data;
  for (const TestTensor& tensor : tensors) {
    const int64_t begin = std::ssize(data);
    data += tensor.bytes;
    header[tensor.name] = entry(tensor.dtype, tensor.shape, begin, std::ssize(data));
  }
  return raw_file(header.dump(), data);
}

/// A float32 tensor whose value at place i is i.
inline TestTensor counting_tensor(const WeightName& weight) {
  TestTensor tensor{.name = weight.name, .shape = weight.shape, .bytes = {}};
  for (int64_t i = 0; i < element_count(weight); ++i) {
    const auto value = static_cast<float>(i);
    tensor.bytes.append(reinterpret_cast<const char*>(&value), sizeof(value));
  }
  return tensor;
}

inline std::vector<TestTensor> counting_tensors(const std::vector<WeightName>& weights) {
  std::vector<TestTensor> tensors;
  for (const WeightName& weight : weights) tensors.push_back(counting_tensor(weight));
  return tensors;
}

inline std::string counting_file(const std::vector<WeightName>& weights) {
  return tensor_file(counting_tensors(weights));
}

}  // namespace dms::testing_support
