#include "serve/mailbox.h"

#include <deque>

#include <gtest/gtest.h>

namespace dms::serve {
namespace {

TokenEvent token(int32_t id) {
  TokenEvent event;
  event.id = id;
  return event;
}

TEST(Mailbox, WakesItsReaderOnceForAllThatHasCome) {
  std::deque<std::function<void()>> posted;
  int wakings = 0;
  const auto box = std::make_shared<Mailbox>(
      [&posted](std::function<void()> call) { posted.push_back(std::move(call)); },
      [&wakings] { ++wakings; });
  const EventSink first = box->sink(0);
  const EventSink second = box->sink(1);
  first(token(5));
  second(token(6));
  ASSERT_EQ(posted.size(), 1U);
  posted.front()();
  EXPECT_EQ(wakings, 1);
  const std::vector<Mail> mail = box->take();
  ASSERT_EQ(mail.size(), 2U);
  EXPECT_EQ(mail[1].prompt, 1U);
  EXPECT_EQ(std::get<TokenEvent>(mail[1].event).id, 6);
  first(TokenEvent{});
  EXPECT_EQ(posted.size(), 2U) << "what comes later wakes it again";
}

TEST(Mailbox, AClosedOneWakesNobody) {
  std::deque<std::function<void()>> posted;
  int wakings = 0;
  auto box = std::make_shared<Mailbox>(
      [&posted](std::function<void()> call) { posted.push_back(std::move(call)); },
      [&wakings] { ++wakings; });
  const EventSink sink = box->sink(0);
  sink(TokenEvent{});
  box->close();
  box.reset();
  posted.front()();
  EXPECT_EQ(wakings, 0);
}

}  // namespace
}  // namespace dms::serve
