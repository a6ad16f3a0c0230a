#include "serve/http/server.h"

#include <csignal>
#include <cstdlib>
#include <memory>
#include <optional>
#include <utility>

#include <boost/asio/executor_work_guard.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/signal_set.hpp>
#include <boost/asio/steady_timer.hpp>

#include "serve/engine_thread.h"
#include "serve/http/http_session.h"
#include "serve/http/listener.h"
#include "serve/service.h"
#include "serve/task_queue.h"

namespace dms::serve {
namespace {

namespace asio = boost::asio;
using boost::system::error_code;
using Clock = std::chrono::steady_clock;

constexpr std::chrono::milliseconds kLook{20};
constexpr std::chrono::seconds kGoodbye{1};  // for connections, once nothing runs any longer
constexpr std::chrono::seconds kCancel{10};  // for requests to end that were cancelled

class Server {
 public:
  Server(const ServerSettings& settings,
         const ServedModel& model,
         std::function<LLM()> load,
         const ServerEvents& events)
      : settings_(settings),
        events_(events),
        documents_(settings.documents),
        listener_(io_, settings),
        signals_(io_, SIGINT, SIGTERM),
        drain_timer_(io_) {
    const Post to_io = [this](std::function<void()> call) { asio::post(io_, std::move(call)); };
    const Post to_worker = [this](std::function<void()> call) { worker_.post(std::move(call)); };
    const Post to_files = [this](std::function<void()> call) { files_.post(std::move(call)); };
    const Post to_compiler = [this](std::function<void()> call) {
      compilers_.post(std::move(call));
    };
    engine_ = std::make_unique<EngineThread>(
        [this, load = std::move(load)] {
          LLM llm = load();
          documents_.scan(llm, events_.on_notice);
          return llm;
        },
        [this, to_io] { to_io([this] { take_engine_state(); }); });
    service_ = std::make_unique<Service>(settings,
                                         model,
                                         documents_,
                                         *engine_,
                                         to_io,
                                         to_worker,
                                         to_files,
                                         to_compiler,
                                         events_.on_notice);
    connections_ = std::shared_ptr<Connections>(
        new Connections{.settings = settings, .service = *service_, .watch = ConnectionWatch(io_)});
  }

  /// Those who call into the parts of this end first, whatever they are at.
  ~Server() {
    worker_.stop();
    files_.stop();
    compilers_.stop();
    end_loading();
    engine_.reset();
  }

  void run() {
    wait_for_signal();
    listener_.accept(connections_);
    if (events_.on_listening) events_.on_listening(listener_.url());
    io_.run();
    if (engine_->state() == EngineThread::State::kFailed) {
      std::rethrow_exception(engine_->failure());
    }
  }

 private:
  void wait_for_signal() {
    signals_.async_wait([this](const error_code& error, int signal) {
      if (error) return;
      constexpr int kKilledBySignal = 128;
      if (service_->is_draining()) std::_Exit(kKilledBySignal + signal);
      begin_drain();
      wait_for_signal();
    });
  }

  void take_engine_state() {
    if (engine_->state() == EngineThread::State::kReady) {
      if (events_.on_ready) events_.on_ready(engine_->llm());
      return;
    }
    service_->fail_all("the engine has failed");
    if (!service_->is_draining()) begin_drain();
  }

  void begin_drain() {
    service_->begin_drain();
    listener_.close();
    connections_->close_idle();
    drain_deadline_ = Clock::now() + settings_.drain_timeout;
    look_whether_done();
  }

  void look_whether_done() {
    const auto now = Clock::now();
    if (service_->active() > 0) {
      idle_since_.reset();
      if (now > drain_deadline_) service_->cancel_all();
      if (now > drain_deadline_ + kCancel) return io_.stop();
    } else {
      if (!idle_since_) idle_since_ = now;
      if (connections_->open.empty() || now > *idle_since_ + kGoodbye) return io_.stop();
    }
    drain_timer_.expires_after(kLook);
    drain_timer_.async_wait([this](const error_code& error) {
      if (!error) look_whether_done();
    });
  }

  /// Nothing is lost with weights that are still being read, and nobody should wait for them.
  void end_loading() const {
    if (engine_->state() == EngineThread::State::kLoading) std::_Exit(EXIT_SUCCESS);
  }

  const ServerSettings& settings_;
  ServerEvents events_;
  Documents documents_;
  asio::io_context io_{1};
  asio::executor_work_guard<asio::io_context::executor_type> work_ = asio::make_work_guard(io_);
  Workers worker_{1};
  Workers files_{1};
  Workers compilers_{4};  // they wait more than they compute
  Listener listener_;
  asio::signal_set signals_;
  asio::steady_timer drain_timer_;
  std::unique_ptr<EngineThread> engine_;
  std::unique_ptr<Service> service_;
  std::shared_ptr<Connections> connections_;
  Clock::time_point drain_deadline_{};
  std::optional<Clock::time_point> idle_since_{};
};

}  // namespace

void run_server(const ServerSettings& settings,
                const ServedModel& model,
                std::function<LLM()> load,
                const ServerEvents& events) {
  Server(settings, model, std::move(load), events).run();
}

}  // namespace dms::serve
