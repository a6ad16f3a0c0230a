#pragma once
// A request as a call: submitted here, stepped to its end by who asked for it. What the caller's
// own functions throw comes out of the call.

#include <exception>
#include <memory>

#include "dms/llm.h"
#include "engine/engine.h"

namespace dms {

class RequestRun {
 public:
  /// `on_text` and `progress` may be empty.
  RequestRun(engine::Engine& engine,
             engine::Submission submission,
             TextSink on_text,
             Progress progress);
  /// Cancels what has not ended.
  ~RequestRun();
  RequestRun(const RequestRun&) = delete;
  RequestRun& operator=(const RequestRun&) = delete;

  bool is_done() const { return is_done_; }
  /// Steps the engine until the request has ended. Throws what the caller's functions threw.
  Generation finish();

 private:
  void take(const Event& event);
  void show(const std::string& text);
  void guarded(const std::function<void()>& call);

  engine::Engine& engine_;
  TextSink on_text_;
  Progress progress_;
  RequestId id_ = 0;
  bool is_done_ = false;
  bool is_stopped_ = false;  // on_text wants no more
  std::exception_ptr thrown_;
  Generation result_;
};

}  // namespace dms
