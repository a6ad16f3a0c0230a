#include "client/event_stream.h"

#include <random>
#include <string>
#include <vector>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "support/errors.h"
#include "support/seed.h"

namespace dms::client {
namespace {

using testing::ElementsAre;
using testing::IsEmpty;
using testing_support::expect_parts;
using testing_support::run_error;

std::vector<std::string> events_of(const std::vector<std::string>& pieces) {
  EventStream stream;
  std::vector<std::string> events;
  for (const std::string& piece : pieces) {
    stream.push(piece, [&](std::string_view data) {
      events.emplace_back(data);
      return true;
    });
  }
  return events;
}

TEST(EventStream, AnEmptyLineEndsAnEvent) {
  EXPECT_THAT(events_of({"data: one\n\ndata: two\n\n"}), ElementsAre("one", "two"));
  EXPECT_THAT(events_of({"data: one\n\ndata: two\n"}), ElementsAre("one"));
  EXPECT_THAT(events_of({"\n\n\n"}), IsEmpty());
}

TEST(EventStream, OneSpaceAfterTheColonIsNoData) {
  EXPECT_THAT(events_of({"data:a\n\ndata:  b\n\ndata:\n\ndata\n\n"}),
              ElementsAre("a", " b", "", ""));
}

TEST(EventStream, LinesOfDataAreJoined) {
  EXPECT_THAT(events_of({"data: a\ndata:\ndata: b\n\n"}), ElementsAre("a\n\nb"));
}

TEST(EventStream, WhatIsNoDataIsLeftAside) {
  EXPECT_THAT(events_of({": hello\nevent: x\nid: 3\nretry: 5\ndatum: y\ndata: a\n\nevent: z\n\n"}),
              ElementsAre("a"));
}

TEST(EventStream, LinesEndInThreeWays) {
  EXPECT_THAT(events_of({"data: a\r\n\r\ndata: b\r\rdata: c\n\n"}), ElementsAre("a", "b", "c"));
  EXPECT_THAT(events_of({"data: a\r", "\n\r", "\ndata: b\n\n"}), ElementsAre("a", "b"));
}

TEST(EventStream, AMarkOfTheByteOrderMayStandAtTheBeginning) {
  EXPECT_THAT(events_of({"\xEF\xBB\xBF"
                         "data: a\n\n\xEF\xBB\xBF"
                         "data: b\n\n"}),
              ElementsAre("a"));
}

TEST(EventStream, EventsMayComeInAnyPieces) {
  const std::string text = "data: one\r\n: x\r\n\r\ndata: two\ndata: more\n\n\rdata: three\r\r";
  const std::vector<std::string> whole = events_of({text});
  EXPECT_THAT(whole, ElementsAre("one", "two\nmore", "three"));
  std::mt19937_64 random(testing_support::seed());
  for (int trial = 0; trial < 200; ++trial) {
    std::vector<std::string> pieces;
    for (size_t at = 0; at < text.size();) {
      const size_t size = 1 + random() % 5;
      pieces.push_back(text.substr(at, size));
      at += size;
    }
    EXPECT_EQ(events_of(pieces), whole);
  }
}

TEST(EventStream, EndsWhereTheReaderHasHadEnough) {
  EventStream stream;
  int events = 0;
  EXPECT_FALSE(stream.push("data: a\n\ndata: b\n\n", [&](std::string_view) {
    ++events;
    return false;
  }));
  EXPECT_EQ(events, 1);
}

TEST(EventStream, AreBounded) {
  const std::string piece(1 << 16, 'x');
  const auto forever = [&](const std::string& bytes) {
    return run_error([&] {
      EventStream stream;
      for (int i = 0; i < 100; ++i) stream.push(bytes, [](std::string_view) { return true; });
    });
  };
  expect_parts(forever(piece), {"an event that is too long", "1048576 bytes"});
  expect_parts(forever("data: " + piece + "\n"), {"an event that is too long"});
  expect_parts(forever("data\n" + std::string(1 << 16, '\n') + "data: " + piece +
                       "\ndata: " + std::string(1 << 20, 'y')),
               {"an event that is too long"});
}

}  // namespace
}  // namespace dms::client
