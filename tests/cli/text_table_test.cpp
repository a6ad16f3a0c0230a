#include "cli/text_table.h"

#include <stdexcept>

#include <gtest/gtest.h>

namespace dms::cli {
namespace {

TEST(FormatBytes, KeepsThreeDigits) {
  EXPECT_EQ(format_bytes(0), "0 B");
  EXPECT_EQ(format_bytes(1023), "1023 B");
  EXPECT_EQ(format_bytes(1536), "1.50 KiB");
  EXPECT_EQ(format_bytes(int64_t{200} << 20), "200 MiB");
  EXPECT_EQ(format_bytes(int64_t{3} << 40), "3.00 TiB");
}

TEST(FormatCount, CountsInThousands) {
  EXPECT_EQ(format_count(512), "512");
  EXPECT_EQ(format_count(12'600'000), "12.6M");
  EXPECT_EQ(format_count(1'235'814'400), "1.24B");
}

TEST(TextTable, AlignsNumbersToTheRight) {
  TextTable table({"name", "tok/s"});
  table.add_row({"none", "9.5"});
  table.add_row({"größer", "120"});
  EXPECT_EQ(table.str(), "name    tok/s\nnone      9.5\ngrößer    120\n");
}

TEST(TextTable, LeavesNoTrailingSpaces) {
  TextTable table({"a", "long header"});
  table.add_row({"1"});
  EXPECT_EQ(table.str(), "a  long header\n1\n");
}

TEST(TextTable, RefusesMoreCellsThanColumns) {
  TextTable table({"a"});
  EXPECT_THROW(table.add_row({"1", "2"}), std::logic_error);
}

}  // namespace
}  // namespace dms::cli
