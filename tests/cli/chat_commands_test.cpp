#include "cli/chat_commands.h"

#include <sstream>

#include <gtest/gtest.h>

#include "support/errors.h"

namespace dms::cli {
namespace {

using testing_support::expect_parts;
using testing_support::input_error;

void expect_line(const std::string& line, ChatVerb verb, const std::string& argument) {
  const ChatLine parsed = parse_chat_line(line);
  EXPECT_EQ(parsed.verb, verb) << line;
  EXPECT_EQ(parsed.argument, argument) << line;
}

TEST(ChatCommands, AreToldByTheirFirstWord) {
  expect_line("/help", ChatVerb::kHelp, "");
  expect_line("/read 'a file' Why?", ChatVerb::kRead, "'a file' Why?");
  expect_line("/reset  ", ChatVerb::kReset, "");
  expect_line("/undo", ChatVerb::kUndo, "");
  expect_line("/retry", ChatVerb::kRetry, "");
  expect_line("/stats", ChatVerb::kStats, "");
  expect_line("/save a b", ChatVerb::kSave, "a b");
  expect_line("/load\ttalk", ChatVerb::kLoad, "talk");
  expect_line("/exit", ChatVerb::kExit, "");
  expect_line("/quit", ChatVerb::kExit, "");
}

TEST(ChatCommands, LeaveMessagesAlone) {
  for (const char* line :
       {"Hello", " /help", "/", "/no_think hello", "/etc/hosts", "/etc/hosts is what?", "/?"}) {
    expect_line(line, ChatVerb::kSay, line);
  }
  expect_line("//help", ChatVerb::kSay, "/help");
  expect_line("//", ChatVerb::kSay, "/");
}

TEST(ChatCommands, NameTheKnownOnesWhereOneIsUnknown) {
  for (const char* line : {"/forget", "/no_think", "/retyr", "/lod talk"}) {
    expect_parts(input_error([line] { parse_chat_line(line); }),
                 {"unknown command",
                  "/help, /read, /undo, /retry, /reset, /stats, /save, /load, /exit, /quit"});
  }
  expect_parts(input_error([] { parse_chat_line("/retyr"); }),
               {"/retyr: ", "did you mean /retry?", "may begin with //retyr"});
}

TEST(ChatCommands, HaveALineOfHelpThatFitsATerminal) {
  std::istringstream help(chat_help(true));
  std::string names;
  for (std::string line; std::getline(help, line);) {
    EXPECT_LE(line.size(), 80u) << line;
    names += line.substr(0, line.find(' ')) + " ";
  }
  EXPECT_NE(
      names.find("/help /read /undo /retry /reset /stats /save /load /exit //... \"\"\" \\ Ctrl-C"),
      std::string::npos)
      << names;
}

}  // namespace
}  // namespace dms::cli
