#include "cli/text_table.h"

#include <stdexcept>

#include <gtest/gtest.h>

#include "cli/output.h"

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

TEST(TextTable, IsTurnedRoundWhereItDoesNotFit) {
  TextTable table({"name", "tok/s"});
  table.add_row({"none", "9.5"});
  table.add_row({"dms", "120"});
  table.add_row({"random", "80"});
  EXPECT_EQ(table.str(13), table.str()) << "as wide as the terminal";
  EXPECT_EQ(table.str(12),
            "name   none\ntok/s   9.5\n\nname   dms\ntok/s  120\n\nname   random\ntok/s      80\n");
  TextTable wide({"a", "b", "c", "d"});
  wide.add_row({"111111", "222222", "333333", "444444"});
  wide.add_row({"1", "2", "3", "4"});
  EXPECT_EQ(wide.str(12), "a  111111  1\nb  222222  2\nc  333333  3\nd  444444  4\n");
}

TEST(FirstColumns, CountsCharacters) {
  EXPECT_EQ(first_columns("größer", 4), "größ");
  EXPECT_EQ(first_columns("größer", 80), "größer");
  EXPECT_EQ(first_columns("ab", 0), "");
}

TEST(Counted, KnowsOne) {
  EXPECT_EQ(counted(1, "thread"), "1 thread");
  EXPECT_EQ(counted(0, "thread"), "0 threads");
  EXPECT_EQ(counted(2, "thread"), "2 threads");
}

TEST(LabelledLine, BreaksAfterCommas) {
  EXPECT_EQ(labelled_line("shape", "1 layer, hidden 2", kAnyWidth),
            "shape        1 layer, hidden 2\n");
  EXPECT_EQ(labelled_line("shape", "1 layer, hidden 2", 25),
            "shape        1 layer,\n             hidden 2\n");
  EXPECT_EQ(labelled_line("file", "/a/path/of/no/end/to/it", 20),
            "file         /a/path/of/no/end/to/it\n");
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
