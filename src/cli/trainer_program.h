#pragma once
// The trainer is a program of its own, dms-train, so that this one needs no LibTorch. `dms train`,
// `dms data` and `dms extract` become it.

#include <filesystem>
#include <optional>
#include <string>
#include <vector>

namespace CLI {
class App;
}

namespace dms::cli {

/// Declares --set, which may be given several times; each one adds "--set", "KEY=VALUE".
void add_overrides(CLI::App& app, std::vector<std::string>& overrides);

/// `arguments` and then each override as "--set KEY=VALUE".
std::vector<std::string> with_overrides(std::vector<std::string> arguments,
                                        const std::vector<std::string>& overrides);

/// dms-train, looked for in `folder` (that of this program), in ../train (a build tree), in
/// ../libexec (an installation) and in the folders of `path` (as the variable PATH).
std::optional<std::filesystem::path> find_trainer(const std::filesystem::path& folder,
                                                  const std::string& path);

/// Replaces this process by `dms-train arguments…`; the exit status is then its own. Throws
/// RunError saying how to build it where there is none.
[[noreturn]] void become_trainer(const std::vector<std::string>& arguments);

}  // namespace dms::cli
