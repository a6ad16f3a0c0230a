#include "serve/kept_file.h"

#include <algorithm>
#include <string_view>
#include <system_error>

#include "serve/fields.h"

namespace dms::serve {
namespace {

namespace fs = std::filesystem;

constexpr size_t kLongestName = 128;

bool is_letter_or_digit(char c) {
  return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9');
}

bool may_be_inside(char c) {
  return is_letter_or_digit(c) || std::string_view("._-").find(c) != std::string_view::npos;
}

}  // namespace

void check_kept_name(const std::string& name, const char* param) {
  const bool is_good = !name.empty() && name.size() <= kLongestName &&
                       is_letter_or_digit(name.front()) && std::ranges::all_of(name, may_be_inside);
  if (is_good) return;
  refuse_value(param,
               name.substr(0, kLongestName),
               "1 to 128 letters, digits, '.', '_' and '-', the first a letter or digit");
}

fs::path kept_file(const fs::path& folder,
                   const std::string& name,
                   const char* param,
                   const char* suffix) {
  check_kept_name(name, param);
  fs::path file = folder / (name + suffix);
  std::error_code error;
  const fs::file_status status = fs::symlink_status(file, error);
  if (status.type() == fs::file_type::not_found || fs::is_regular_file(status)) return file;
  throw ApiError(400, std::string(param) + ": is no regular file here", param);
}

}  // namespace dms::serve
