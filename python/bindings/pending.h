#pragma once
// A request on its way: its events, from the engine's thread to whoever asks for them.

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "driver.h"

namespace dms::python {

/// What became known of one answer since it was last asked for.
struct Piece {
  int64_t answer = 0;
  std::vector<int32_t> ids{};
  std::string text{};
  std::vector<TokenChoice> choices{};  // one for each of ids, where asked for
  std::string finish_reason{};         // empty: more follows
  std::string error{};                 // why, where that is "error"
};

/// Whether pieces are kept, and who is told of them.
enum class Delivery {
  whole,    // results only
  stream,   // and pieces, for take()
  announce  // and Driver::serve() tells of them
};

/// All functions are called without Python's lock.
class PendingRequest {
 public:
  /// Hands the request to `submit`, which gives it to the engine. Throws what that throws.
  PendingRequest(std::shared_ptr<Driver> driver,
                 Request request,
                 Delivery delivery,
                 const std::function<RequestId(Request)>& submit);
  /// Cancels what has not ended.
  ~PendingRequest();
  PendingRequest(const PendingRequest&) = delete;
  PendingRequest& operator=(const PendingRequest&) = delete;

  RequestId id() const { return id_; }
  bool is_done();
  /// Blocks until all answers have ended, and gives them in order.
  std::vector<Generation> wait();
  /// What came since the last call.
  std::vector<Piece> take();
  /// Blocks until something has come or nothing will; empty: nothing will.
  std::vector<Piece> next();
  /// Asks for the request's end.
  void cancel();
  /// Cancels, and blocks until it has ended.
  void close();

 private:
  struct State {
    std::vector<Piece> pieces{};
    std::vector<Generation> results{};
    int64_t unfinished = 0;
  };
  static void take_in(State& state, const Event& event, Delivery delivery);
  static Piece& piece_of(State& state, int64_t answer);

  std::shared_ptr<Driver> driver_;
  std::shared_ptr<State> state_;  // its sink's too; under the driver's mutex
  RequestId id_ = 0;
};

}  // namespace dms::python
