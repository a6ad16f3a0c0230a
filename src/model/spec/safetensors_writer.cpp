#include "model/spec/safetensors_writer.h"

#include <algorithm>
#include <bit>
#include <cstring>
#include <optional>

#include "base/check.h"
#include "base/json.h"
#include "model/spec/safetensors.h"

namespace dms {
namespace {

constexpr size_t kAlignment = 8;  // of the data behind the header, as other writers have it
constexpr size_t kConvertedValues = 32768;  // per piece: its 64 KiB stay in the first-level caches

int64_t bytes_of(const TensorDeclaration& tensor) {
  const std::optional<int64_t> bytes = tensor_bytes(tensor.dtype, tensor.shape);
  ensure(bytes.has_value(), "a tensor's type and shape are writable");
  return *bytes;
}

/// Bytes of one element; types of less than one count as one.
int64_t element_bytes(const TensorDeclaration& tensor) {
  const std::vector<int64_t> one{1};
  return std::max<int64_t>(1, tensor_bytes(tensor.dtype, one).value_or(1));
}

/// Header length and header, padded with spaces so that the data is aligned.
std::string make_header(const std::vector<TensorDeclaration>& tensors,
                        const SafetensorsWriter::Metadata& metadata) {
  static_assert(std::endian::native == std::endian::little);
  Json header = Json::object();
  if (!metadata.empty()) header["__metadata__"] = metadata;
  int64_t begin = 0;
  for (const TensorDeclaration& tensor : tensors) {
    ensure(!header.contains(tensor.name) && tensor.name != "__metadata__", "tensor names differ");
    ensure(begin % element_bytes(tensor) == 0, "wider types are declared first");
    const std::optional<int64_t> end = checked_add(begin, bytes_of(tensor));
    ensure(end.has_value(), "a file's size fits 63 bits");
    header[tensor.name] = {
        {"dtype", tensor.dtype}, {"shape", tensor.shape}, {"data_offsets", {begin, *end}}};
    begin = *end;
  }
  std::string text = header.dump();
  text.resize((text.size() + kAlignment - 1) / kAlignment * kAlignment, ' ');
  const uint64_t length = text.size();
  std::string start(sizeof(length), '\0');
  std::memcpy(start.data(), &length, sizeof(length));
  return start + text;
}

}  // namespace

std::string_view safetensors_name(DType type) {
  switch (type) {
    case DType::f32:
      return "F32";
    case DType::bf16:
      return "BF16";
    case DType::f16:
      return "F16";
  }
  return "?";
}

SafetensorsWriter::SafetensorsWriter(const std::filesystem::path& path,
                                     const std::vector<TensorDeclaration>& tensors,
                                     const Metadata& metadata)
    : file_(path) {
  const std::string header = make_header(tensors, metadata);
  for (const TensorDeclaration& tensor : tensors) {
    tensors_.push_back({.dtype = tensor.dtype, .bytes_left = bytes_of(tensor)});
  }
  file_.write(std::as_bytes(std::span(header)));
  skip_complete();
}

void SafetensorsWriter::skip_complete() {
  while (current_ < tensors_.size() && tensors_[current_].bytes_left == 0) ++current_;
}

void SafetensorsWriter::write(std::span<const std::byte> bytes) {
  if (bytes.empty()) return;
  ensure(current_ < tensors_.size(), "more bytes than were declared");
  ensure(std::ssize(bytes) <= tensors_[current_].bytes_left, "a piece ends with its tensor");
  file_.write(bytes);
  tensors_[current_].bytes_left -= std::ssize(bytes);
  skip_complete();
}

template <class Convert>
void SafetensorsWriter::write_halves(std::span<const float> values, Convert convert) {
  converted_.resize(kConvertedValues);
  while (!values.empty()) {
    const auto piece = values.first(std::min(values.size(), kConvertedValues));
    std::ranges::transform(piece, converted_.begin(), convert);
    write(std::as_bytes(std::span(converted_).first(piece.size())));
    values = values.subspan(piece.size());
  }
}

void SafetensorsWriter::write_floats(std::span<const float> values) {
  if (values.empty()) return;
  ensure(current_ < tensors_.size(), "more values than were declared");
  const std::optional<DType> type = parse_dtype(tensors_[current_].dtype);
  ensure(type.has_value(), "floats are written to a tensor of floats");
  if (*type == DType::f32) {
    write(std::as_bytes(values));
  } else if (*type == DType::bf16) {
    write_halves(values, [](float value) { return to_bf16(value).bits; });
  } else {
    write_halves(values, to_half);
  }
}

void SafetensorsWriter::close() {
  ensure(current_ == tensors_.size(), "every declared tensor is written");
  file_.close();
}

}  // namespace dms
