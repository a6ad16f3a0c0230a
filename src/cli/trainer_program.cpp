#include "cli/trainer_program.h"

#include <cerrno>
#include <csignal>
#include <cstdlib>
#include <cstring>

#include <unistd.h>

#include "cli/declare.h"
#include "cli/output.h"
#include "dms/error.h"

namespace dms::cli {
namespace {

constexpr const char* kName = "dms-train";

bool is_program(const std::filesystem::path& path) {
  std::error_code ignored;
  return std::filesystem::is_regular_file(path, ignored) && ::access(path.c_str(), X_OK) == 0;
}

std::filesystem::path own_folder() {
  std::error_code ignored;  // without /proc PATH is what remains
  return std::filesystem::read_symlink("/proc/self/exe", ignored).parent_path();
}

[[noreturn]] void refuse_missing(const std::filesystem::path& folder) {
  throw RunError({.where = kName,
                  .what = "not found in " + folder.string() + ", ../train, ../libexec and PATH",
                  .hint = "build it with cmake -S . -B build -DDMS_BUILD_TRAIN=ON "
                          "-DCMAKE_PREFIX_PATH=\"$(python3 -c 'import torch; "
                          "print(torch.utils.cmake_prefix_path)')\" && cmake --build build"});
}

}  // namespace

void add_overrides(CLI::App& app, std::vector<std::string>& overrides) {
  add_values(app,
             "--set",
             "KEY=VALUE",
             "Set a key of CONFIG, as data.max_length=512;\nmay be repeated",
             [&overrides](const std::vector<std::string>& texts) { overrides = texts; });
}

std::vector<std::string> with_overrides(std::vector<std::string> arguments,
                                        const std::vector<std::string>& overrides) {
  for (const std::string& text : overrides) {
    arguments.push_back("--set");
    arguments.push_back(text);
  }
  return arguments;
}

std::optional<std::filesystem::path> find_trainer(const std::filesystem::path& folder,
                                                  const std::string& path) {
  if (!folder.empty()) {
    for (const char* place : {".", "../train", "../libexec"}) {
      const std::filesystem::path candidate = (folder / place / kName).lexically_normal();
      if (is_program(candidate)) return candidate;
    }
  }
  for (size_t begin = 0; begin <= path.size();) {
    const size_t end = std::min(path.find(':', begin), path.size());
    const std::filesystem::path candidate =
        std::filesystem::path(path.substr(begin, end - begin)) / kName;
    if (end > begin && is_program(candidate)) return candidate;
    begin = end + 1;
  }
  return std::nullopt;
}

void become_trainer(const std::vector<std::string>& arguments) {
  const char* const path = std::getenv("PATH");
  const std::filesystem::path folder = own_folder();
  const auto program = find_trainer(folder, path == nullptr ? "" : path);
  if (!program) refuse_missing(folder);
  std::string name = program->string();
  std::vector<std::string> texts = arguments;
  std::vector<char*> argv{name.data()};
  for (std::string& text : texts) argv.push_back(text.data());
  argv.push_back(nullptr);
  flush_output();
  std::signal(SIGPIPE, SIG_DFL);  // what is ignored would stay ignored there
  std::signal(SIGXFSZ, SIG_DFL);
  ::execv(name.c_str(), argv.data());
  throw RunError(
      {.where = name, .what = std::string("cannot be started: ") + std::strerror(errno)});
}

}  // namespace dms::cli
