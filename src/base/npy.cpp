#include "base/npy.h"

#include <algorithm>
#include <cctype>
#include <cstring>
#include <optional>
#include <span>
#include <string_view>

#include "base/check.h"
#include "base/input_file.h"
#include "dms/error.h"

namespace dms {
namespace {

constexpr std::string_view kMagic = "\x93NUMPY";
constexpr size_t kMaxDimensions = 8;
constexpr size_t kHeaderAlignment = 64;
constexpr int64_t kMaxHeaderBytes = int64_t{1} << 17;  // NumPy writes less than 64 KiB

[[noreturn]] void bad(const std::string& where,
                      const std::string& what,
                      const std::string& got,
                      const std::string& expected) {
  throw InputError({.where = where, .what = what, .got = got, .expected = expected});
}

/// Reads the header's Python literal: a dict of exactly descr, fortran_order and shape.
class HeaderReader {
 public:
  HeaderReader(std::string_view text, const std::string& where) : text_(text), where_(where) {}

  struct Header {
    std::string descr;
    bool fortran_order = false;
    std::vector<int64_t> shape;
  };

  Header read() {
    Header header;
    expect('{');
    for (int fields = 0; !accept('}'); ++fields) {
      if (fields == 3) fail("more than three fields");
      const std::string key = quoted();
      expect(':');
      if (key == "descr") {
        header.descr = quoted();
      } else if (key == "fortran_order") {
        header.fortran_order = boolean();
      } else if (key == "shape") {
        header.shape = tuple();
      } else {
        fail("unknown field " + key);
      }
      if (!accept(',')) {
        expect('}');
        break;
      }
    }
    return header;
  }

 private:
  [[noreturn]] void fail(const std::string& what) const {
    bad(where_ + ": header",
        what + " at byte " + std::to_string(at_),
        std::string(text_.substr(at_, 20)),
        "{'descr': …, 'fortran_order': …, 'shape': …}");
  }
  void skip_space() {
    while (at_ < text_.size() && (text_[at_] == ' ' || text_[at_] == '\n')) ++at_;
  }
  bool accept(char c) {
    skip_space();
    if (at_ >= text_.size() || text_[at_] != c) return false;
    ++at_;
    return true;
  }
  void expect(char c) {
    if (!accept(c)) fail(std::string("no '") + c + "'");
  }
  std::string quoted() {
    skip_space();
    const char quote = at_ < text_.size() ? text_[at_] : '\0';
    if (quote != '\'' && quote != '"') fail("no string");
    const size_t end = text_.find(quote, at_ + 1);
    if (end == std::string_view::npos) fail("unfinished string");
    const std::string value(text_.substr(at_ + 1, end - at_ - 1));
    at_ = end + 1;
    return value;
  }
  bool boolean() {
    skip_space();
    for (const auto& [word, value] : {std::pair{"True", true}, std::pair{"False", false}}) {
      if (text_.substr(at_).starts_with(word)) {
        at_ += std::strlen(word);
        return value;
      }
    }
    fail("no True or False");
  }
  int64_t integer() {
    skip_space();
    const size_t begin = at_;
    std::optional<int64_t> value = 0;
    while (at_ < text_.size() && std::isdigit(static_cast<unsigned char>(text_[at_])) != 0) {
      if (value) value = checked_mul(*value, 10);
      if (value) value = checked_add(*value, text_[at_] - '0');
      ++at_;
    }
    if (at_ == begin || !value) fail("bad size");
    return *value;
  }
  std::vector<int64_t> tuple() {
    std::vector<int64_t> sizes;
    expect('(');
    while (!accept(')')) {
      if (sizes.size() == kMaxDimensions) fail("too many dimensions");
      sizes.push_back(integer());
      if (!accept(',')) {
        expect(')');
        break;
      }
    }
    return sizes;
  }

  std::string_view text_;
  const std::string& where_;
  size_t at_ = 0;
};

/// What the first bytes of a file say, and where its data begins.
struct Layout {
  std::vector<int64_t> shape;
  int64_t data_begin = 0;
};

std::string_view header_of(std::string_view file, const std::string& where) {
  if (file.size() < 12 || !file.starts_with(kMagic)) {
    bad(where, "no NumPy file", std::to_string(file.size()) + " bytes", "\\x93NUMPY …");
  }
  const auto byte = [&](size_t i) {
    return static_cast<size_t>(static_cast<unsigned char>(file[i]));
  };
  const size_t version = byte(6);
  if (version < 1 || version > 3) bad(where, "unknown version", std::to_string(version), "1 to 3");
  const size_t begin = version == 1 ? 10 : 12;
  const size_t length = version == 1 ? byte(8) | byte(9) << 8
                                     : byte(8) | byte(9) << 8 | byte(10) << 16 | byte(11) << 24;
  if (length > file.size() - begin) {
    bad(where,
        "truncated header",
        std::to_string(file.size()) + " bytes",
        std::to_string(begin + length));
  }
  return file.substr(begin, length);
}

/// `head`: the file as far as its header goes, or further; `file_bytes`: all of it.
Layout layout_of(std::string_view head, int64_t file_bytes, const std::string& where) {
  const std::string_view text = header_of(head, where);
  const HeaderReader::Header header = HeaderReader(text, where).read();
  if (header.descr != "|u1" && header.descr != "|b1") {
    bad(where + ": descr", "wrong dtype", header.descr, "|u1 or |b1 (uint8 or bool)");
  }
  if (header.fortran_order) bad(where + ": fortran_order", "wrong order", "True", "False");
  std::optional<int64_t> count = 1;
  for (const int64_t size : header.shape) {
    if (count) count = checked_mul(*count, size);
  }
  const int64_t data_begin = text.data() + text.size() - head.data();
  if (!count || *count != file_bytes - data_begin) {
    bad(where,
        "data does not match the shape",
        std::to_string(file_bytes - data_begin) + " bytes",
        count ? std::to_string(*count) : "a shape that fits memory");
  }
  return {.shape = header.shape, .data_begin = data_begin};
}

}  // namespace

NpyBytes parse_npy_bytes(std::string_view file, const std::string& where) {
  const Layout layout = layout_of(file, std::ssize(file), where);
  return {.shape = layout.shape,
          .values = {file.begin() + static_cast<std::ptrdiff_t>(layout.data_begin), file.end()}};
}

NpyBytes read_npy_bytes(const std::filesystem::path& path) {
  const InputFile file(path);
  const std::string head = file.read_text(0, std::min(file.bytes(), kMaxHeaderBytes));
  const Layout layout = layout_of(head, file.bytes(), path.string());
  NpyBytes array{.shape = layout.shape, .values = {}};
  array.values.resize(static_cast<size_t>(file.bytes() - layout.data_begin));
  file.read(layout.data_begin, std::as_writable_bytes(std::span(array.values)));
  return array;
}

namespace {

std::string npy_header(std::string_view descr, const std::string& shape) {
  std::string text =
      "{'descr': '" + std::string(descr) + "', 'fortran_order': False, 'shape': (" + shape + "), }";
  const size_t unpadded = kMagic.size() + 4 + text.size() + 1;
  text.append((kHeaderAlignment - unpadded % kHeaderAlignment) % kHeaderAlignment, ' ');
  text += '\n';
  std::string header(kMagic);
  header += '\x01';
  header += '\0';
  header += static_cast<char>(text.size() & 0xff);
  header += static_cast<char>(text.size() >> 8);
  return header + text;
}

void write(OutputFile& file, std::string_view text) { file.write(std::as_bytes(std::span(text))); }

}  // namespace

void write_npy_bytes(const std::filesystem::path& path, const NpyBytes& array) {
  std::string shape;
  for (const int64_t size : array.shape) shape += std::to_string(size) + ", ";
  OutputFile file(path);
  write(file, npy_header("|u1", shape));
  file.write(std::as_bytes(std::span(array.values)));
  file.close();
}

NpyRowWriter::NpyRowWriter(const std::filesystem::path& path, int64_t rows, int64_t columns)
    : file_(path), rows_(rows), columns_(columns) {
  write(file_, npy_header("<f4", std::to_string(rows) + ", " + std::to_string(columns)));
}

void NpyRowWriter::write_row(const float* row) {
  ensure(written_ < rows_, "more rows than announced");
  file_.write(std::as_bytes(std::span(row, static_cast<size_t>(columns_))));
  ++written_;
}

void NpyRowWriter::close() {
  ensure(written_ == rows_, "fewer rows than announced");
  file_.close();
}

}  // namespace dms
