#pragma once
// A session that keeps its LLM alive and takes turns with everybody else at it.

#include <cstdint>
#include <filesystem>
#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <vector>

#include "driver.h"
#include "pending.h"

namespace dms::python {

/// What a text costs, token by token.
struct Scores {
  std::vector<double> log_probabilities{};  // of each token but the first, natural logarithms
  std::unique_ptr<float[]> logits{};        // [tokens, vocab], where asked for
};

/// All functions are called without Python's lock and throw what a signal's handler raised.
class HeldSession {
 public:
  HeldSession(std::shared_ptr<Driver> driver, Session session)
      : driver_(std::move(driver)), session_(std::move(session)) {}
  ~HeldSession() { driver_->end(std::move(session_)); }
  HeldSession(const HeldSession&) = delete;
  HeldSession& operator=(const HeldSession&) = delete;

  int64_t tokens();
  int64_t max_tokens();
  std::vector<int32_t> ids();
  KvStats kv();
  Timings timings();
  /// [layers, kv_heads, tokens]
  std::vector<uint8_t> decisions();

  /// The logits after the last token, [vocab].
  std::unique_ptr<float[]> append(std::span<const int32_t> ids);
  Scores score(std::span<const int32_t> ids, bool wants_logits);
  std::unique_ptr<PendingRequest> submit(Request request, Delivery delivery);

  std::unique_ptr<HeldSession> fork();
  void truncate(int64_t tokens);
  int64_t reusable_tokens(std::span<const int32_t> ids);
  void save(const std::filesystem::path& file);

  const ModelInfo& info() const { return driver_->llm().info(); }

 private:
  std::shared_ptr<Driver> driver_;
  Session session_;
};

}  // namespace dms::python
