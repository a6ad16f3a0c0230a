// What each format of survivors loses of given keys and values: kv_error.py feeds it.
//
//   dms_kv_error HEAD_DIM QUERIES KEYS VALUES     files of float32 [tokens, head_dim]
//
// A line a format: its name, the squared error of the keys and of the values over their squares,
// and of the products q . k over what an error that knows nothing of q would make of the keys':
// |q|^2 |k|^2 / head_dim. On normal variables each equals the distortion of the format's grid.

#include <cstdlib>
#include <filesystem>
#include <iostream>
#include <span>
#include <string>
#include <vector>

#include "base/input_file.h"
#include "kernels/kv_page.h"

namespace dms::kernels {
namespace {

struct Rows {
  std::vector<float> values;
  int64_t width = 0;

  int64_t count() const { return std::ssize(values) / width; }
  std::span<const float> row(int64_t i) const {
    return std::span(values).subspan(static_cast<size_t>(i * width), static_cast<size_t>(width));
  }
};

Rows read_rows(const std::filesystem::path& path, int64_t width) {
  const InputFile file(path);
  Rows rows{.values = std::vector<float>(static_cast<size_t>(file.bytes()) / sizeof(float)),
            .width = width};
  file.read(0, std::as_writable_bytes(std::span(rows.values)));
  return rows;
}

double dot(std::span<const float> a, std::span<const float> b) {
  double sum = 0;
  for (size_t i = 0; i < a.size(); ++i) sum += double{a[i]} * double{b[i]};
  return sum;
}

/// Sums of squares of what was stored, and of what is wrong about it.
struct Losses {
  double queries = 0, keys = 0, values = 0;
  double key_errors = 0, value_errors = 0, product_errors = 0;

  void add(std::span<const float> query,
           std::span<const float> key,
           std::span<const float> value,
           std::span<float> read_key,
           std::span<float> read_value) {
    for (size_t i = 0; i < key.size(); ++i) read_key[i] -= key[i];
    for (size_t i = 0; i < value.size(); ++i) read_value[i] -= value[i];
    queries += dot(query, query);
    keys += dot(key, key);
    values += dot(value, value);
    key_errors += dot(read_key, read_key);
    value_errors += dot(read_value, read_value);
    const double product = dot(query, read_key);
    product_errors += product * product;
  }
};

void print_losses(KvFormat format, const Rows& queries, const Rows& keys, const Rows& values) {
  const int64_t width = keys.width;
  const KvPageLayout layout{.format = format, .head_dim = width};
  std::vector<std::byte> page(static_cast<size_t>(layout.bytes()));
  std::vector<float> key(static_cast<size_t>(width)), value(key);
  Losses losses;
  for (int64_t i = 0; i < keys.count(); ++i) {
    const int64_t slot = i % kPageTokens;
    store_token(layout, page, slot, keys.row(i), values.row(i));
    load_token(layout, page, slot, key, value);
    losses.add(queries.row(i), keys.row(i), values.row(i), key, value);
  }
  const double expected = losses.queries * losses.keys / static_cast<double>(keys.count() * width);
  std::cout << kv_format_name(format) << ' ' << losses.key_errors / losses.keys << ' '
            << losses.value_errors / losses.values << ' ' << losses.product_errors / expected
            << '\n';
}

}  // namespace
}  // namespace dms::kernels

int main(int argc, char** argv) {
  using namespace dms::kernels;
  const int64_t width = argc == 5 ? std::atoll(argv[1]) : 0;
  if (width <= 0) {
    std::cerr << "usage: dms_kv_error HEAD_DIM QUERIES KEYS VALUES\n";
    return 2;
  }
  const Rows queries = read_rows(argv[2], width);
  const Rows keys = read_rows(argv[3], width);
  const Rows values = read_rows(argv[4], width);
  for (const KvFormat format : kv_formats()) print_losses(format, queries, keys, values);
}
