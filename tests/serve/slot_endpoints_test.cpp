// What becomes of a slot's restore whose engine fails.

#include "serve/slot_endpoints.h"

#include <condition_variable>
#include <filesystem>
#include <functional>
#include <future>
#include <memory>
#include <mutex>
#include <queue>
#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

#include <gtest/gtest.h>

#include "serve/engine_thread.h"
#include "serve/facts.h"
#include "support/temp_folder.h"

namespace dms::serve {
namespace {

using dms::testing_support::TempFolder;
using testing_support::facts;

const std::filesystem::path kDemo = std::filesystem::path(DMS_SOURCE_DIR) / "models" / "demo";

/// Calls that the thread of the test makes in order.
class Calls {
 public:
  void post(std::function<void()> call) {
    const std::lock_guard lock(mutex_);
    calls_.push(std::move(call));
    some_.notify_one();
  }
  void make_one() {
    std::unique_lock lock(mutex_);
    some_.wait(lock, [&] { return !calls_.empty(); });
    const auto call = std::move(calls_.front());
    calls_.pop();
    lock.unlock();
    call();
  }

 private:
  std::mutex mutex_;
  std::condition_variable some_;
  std::queue<std::function<void()>> calls_;
};

class Asked final : public Exchange {
 public:
  explicit Asked(std::string body) : body_(std::move(body)) { head_.query = "action=restore"; }
  const RequestHead& head() const override { return head_; }
  std::string take_body() override { return std::move(body_); }
  void respond(HttpResponse response) override { answers.push_back(std::move(response)); }
  void begin_stream() override {}
  bool write(std::string_view) override { return true; }
  void end_stream(std::string_view) override {}
  bool is_closed() const override { return false; }
  void on_closed(std::function<void()>) override {}
  void count_tokens(int64_t, int64_t) override {}

  std::vector<HttpResponse> answers;

 private:
  RequestHead head_;
  std::string body_;
};

TEST(SlotEndpoints, AnswerARestoreThatAnEngineLeavesUndone) {
  const TempFolder folder;
  Calls io;
  {
    LLM maker(kDemo);
    maker.make_document(std::vector<int32_t>(40, 7)).save(folder.path() / "talk");
  }
  const ServedModel model{.facts = facts(), .tokenizer = Tokenizer(kDemo)};
  const SlotSettings settings{.folder = folder.path(), .memory_bytes = int64_t{1} << 30};
  // Told of the state once, then of the failure.
  EngineThread engine([] { return LLM(kDemo); }, [&io] { io.post([] {}); });
  const Workplace place{.model = model,
                        .engine = engine,
                        .to_io = [&io](std::function<void()> call) { io.post(std::move(call)); },
                        .to_worker = {},
                        .to_files = [](const std::function<void()>& call) { call(); },
                        .to_compiler = {},
                        .notice = [](const std::string&) {},
                        .give_way = [] { return false; }};
  io.make_one();
  ASSERT_EQ(engine.state(), EngineThread::State::kReady);
  SlotEndpoints slots(place, settings);
  const auto asked = std::make_shared<Asked>(R"({"filename": "talk"})");
  std::promise<void> may_fail;
  engine.llm().post([gate = may_fail.get_future().share()] {
    gate.wait();
    throw std::runtime_error("broken");
  });
  slots.act(asked, "0");
  io.make_one();  // its file has been read: on to the engine
  EXPECT_EQ(slots.active(), 1u);
  may_fail.set_value();
  while (engine.state() != EngineThread::State::kFailed) io.make_one();
  slots.fail_all("the engine has failed");
  ASSERT_EQ(asked->answers.size(), 1u);
  EXPECT_GE(asked->answers.front().status, 500);
  EXPECT_EQ(slots.active(), 0u);
  const auto later = std::make_shared<Asked>(R"({"filename": "talk"})");
  slots.act(later, "0");
  while (later->answers.empty()) io.make_one();
  EXPECT_EQ(later->answers.front().status, 503);
}

}  // namespace
}  // namespace dms::serve
