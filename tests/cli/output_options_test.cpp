// Options that name one file twice.

#include "cli/output_options.h"

#include <filesystem>

#include <gtest/gtest.h>

#include "support/errors.h"
#include "support/temp_folder.h"

namespace dms::cli {
namespace {

namespace fs = std::filesystem;

std::string refusal(const fs::path& a, const fs::path& b) {
  return testing_support::input_error([&] {
    require_distinct({{"--csv", a}, {"--other", ""}, {"--html", b}});
  });
}

TEST(OutputOptions, OneFileIsRefusedUnderWhateverName) {
  const testing_support::TempFolder folder;
  const fs::path file = folder.write("a.csv", "x");
  const fs::path link = folder.path() / "link";
  const fs::path hard = folder.path() / "hard";
  fs::create_symlink(file, link);
  fs::create_hard_link(file, hard);
  const fs::path missing = folder.path() / "new";
  for (const auto& [a, b] : {std::pair{file, file},
                             std::pair{file, folder.path() / "." / "a.csv"},
                             std::pair{file, link},
                             std::pair{hard, file},
                             std::pair{missing, folder.path() / "x" / ".." / "new"}}) {
    testing_support::expect_parts(refusal(a, b), {"--html", "the file of --csv", "another file"});
  }
}

TEST(OutputOptions, OtherFilesAndDevicesAreNot) {
  const testing_support::TempFolder folder;
  const fs::path file = folder.write("a.csv", "x");
  EXPECT_NO_THROW(require_distinct({{"--csv", file}, {"--html", folder.write("b.csv", "x")}}));
  EXPECT_NO_THROW(require_distinct({{"--csv", file}, {"--html", folder.path() / "new"}}));
  EXPECT_NO_THROW(require_distinct({{"--csv", "/dev/null"}, {"--html", "/dev/null"}}));
  EXPECT_NO_THROW(require_distinct({{"--csv", ""}, {"--html", ""}}));
}

}  // namespace
}  // namespace dms::cli
