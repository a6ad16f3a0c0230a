#include "base/replaceable.h"

#include <system_error>

#include "base/output_file.h"
#include "base/output_folder.h"
#include "dms/error.h"

namespace dms {
namespace {

namespace fs = std::filesystem;

[[noreturn]] void refuse(const fs::path& out, const std::string& what, const std::string& kind) {
  throw InputError({.where = out.string(),
                    .what = what,
                    .expected = "a new or empty folder, or " + kind + " to replace",
                    .hint = "name another folder, or remove this one"});
}

}  // namespace

fs::path resolve_output(const fs::path& out) {
  std::error_code error;
  fs::path path = fs::weakly_canonical(fs::absolute(out, error), error);
  if (error || path.empty()) {
    throw InputError({.where = out.string(), .what = "is not a folder's path"});
  }
  return path.has_filename() ? path : path.parent_path();
}

void prepare_parent(const fs::path& target) {
  std::error_code error;
  fs::create_directories(target.parent_path(), error);
  if (error) throw_write_error(target, error.value());
  const std::string name = target.filename().string();
  remove_leftovers(target.parent_path(), [&](std::string_view found) { return found == name; });
}

void check_replaceable(const fs::path& out,
                       std::string_view marker,
                       const std::string& kind,
                       const std::function<bool(std::string_view name)>& is_ours) {
  std::error_code error;
  if (!fs::exists(out, error)) return;
  if (!fs::is_directory(out, error)) refuse(out, "exists and is not a folder", kind);
  if (fs::is_empty(out, error)) return;
  if (!fs::exists(out / marker, error)) refuse(out, "exists and is not " + kind, kind);
  for (const auto& item : fs::directory_iterator(out, error)) {
    const std::string name = item.path().filename().string();
    if (!is_ours(name)) refuse(out, "holds " + name + ", which would be lost", kind);
  }
}

}  // namespace dms
