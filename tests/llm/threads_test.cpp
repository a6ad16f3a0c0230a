// What the headers promise of threads, for the thread sanitizer to see: whoever may call from
// anywhere does so while an engine is at work.

#include <atomic>
#include <filesystem>
#include <functional>
#include <string>
#include <thread>
#include <variant>
#include <vector>

#include <gtest/gtest.h>

#include "dms/error.h"
#include "dms/llm.h"

namespace dms {
namespace {

const std::filesystem::path kDemo = std::filesystem::path(DMS_SOURCE_DIR) / "models" / "demo";
constexpr int kThreads = 3;

/// Runs `work(thread)` on several threads at once.
class Threads {
 public:
  explicit Threads(const std::function<void(int thread)>& work) {
    for (int thread = 0; thread < kThreads; ++thread) threads_.emplace_back(work, thread);
  }
  ~Threads() {
    for (std::thread& thread : threads_) thread.join();
  }
  Threads(const Threads&) = delete;
  Threads& operator=(const Threads&) = delete;

 private:
  std::vector<std::thread> threads_;
};

TEST(LlmThreads, AnyMaySubmitCancelWaitEncodeDecodeAndAskForInfo) {
  constexpr int kRequests = 6;
  LLM llm(kDemo, {.threads = 2});
  std::atomic<int> finished = 0;
  std::atomic<bool> is_over = false;
  std::thread waiting([&] {
    while (!is_over) {
      llm.wait();
      std::this_thread::yield();
    }
  });
  {
    const Threads clients([&](int thread) {
      for (int i = 0; i < kRequests; ++i) {
        const std::string text = "It was night " + std::to_string(thread * kRequests + i);
        const std::vector<int32_t> ids = llm.encode(text, false);
        EXPECT_EQ(llm.decode(ids), text);
        EXPECT_GT(llm.info().vocab, 0);
        const RequestId id = llm.submit({.prompt = ids,
                                         .sampling = {.max_new_tokens = 4, .ignore_eos = true},
                                         .cache = {.policy = "random"},
                                         .sink = [&finished](const Event& event) {
                                           if (std::holds_alternative<FinishedEvent>(event))
                                             ++finished;
                                         }});
        if (i % 3 == thread) llm.cancel(id);
      }
    });
    while (finished < kThreads * kRequests) {
      llm.wait();
      llm.step();
    }
  }
  is_over = true;
  llm.stop_waiting();
  waiting.join();
}

TEST(LlmThreads, ModelsOnThreadsOfTheirOwnRunAtOnce) {
  std::vector<std::vector<int32_t>> answers(kThreads);
  {
    const Threads owners([&](int thread) {
      LLM llm(kDemo, {.threads = 2});
      Session session = llm.new_session();
      answers[static_cast<size_t>(thread)] =
          session.generate(llm.encode("It was a dark night"), {.max_new_tokens = 3}).ids;
    });
  }
  for (const auto& answer : answers) EXPECT_EQ(answer, answers.front());
}

TEST(LlmThreads, AnyMayAskASourceWhatFitsIt) {
  const ModelSource source(kDemo);
  const Threads clients([&](int) {
    for (int i = 0; i < 10; ++i) {
      const std::vector<int32_t> ids = source.encode("It was a dark night");
      source.check_prompt(ids, source.check(CacheOptions{.policy = "streaming"}).max_tokens);
      source.check(SamplingParams{.stop = {"dark"}});
      EXPECT_TRUE(source.has_tokenizer());
      EXPECT_GT(source.info().layers, 0);
      EXPECT_THROW(source.check(CacheOptions{.policy = "oracle"}), InputError);
    }
  });
}

}  // namespace
}  // namespace dms
