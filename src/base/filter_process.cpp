#include "base/filter_process.h"

#include <algorithm>
#include <array>
#include <cerrno>
#include <csignal>
#include <cstring>
#include <utility>
#include <vector>

#include <fcntl.h>
#include <poll.h>
#include <spawn.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/terminal_text.h"
#include "base/utf8.h"
#include "dms/error.h"

namespace dms {
namespace {

using Clock = std::chrono::steady_clock;

constexpr int kPauseMs = 50;
constexpr size_t kPieceBytes = size_t{1} << 16;  // what a pipe holds
constexpr size_t kComplaintBytes = 300;          // of its standard error, what an error line tells

[[noreturn]] void refuse(const std::string& where, const std::string& what, std::string got = {}) {
  throw InputError({.where = where, .what = what, .got = std::move(got)});
}

/// One end of a pipe.
class End {
 public:
  End() = default;
  explicit End(int fd) : fd_(fd) {}
  End(End&& other) noexcept : fd_(std::exchange(other.fd_, -1)) {}
  End& operator=(End&& other) noexcept {
    std::swap(fd_, other.fd_);
    return *this;
  }
  ~End() { close(); }

  int fd() const { return fd_; }
  bool is_open() const { return fd_ >= 0; }
  void close() {
    if (fd_ >= 0) ::close(std::exchange(fd_, -1));
  }

 private:
  int fd_ = -1;
};

struct Pipe {
  explicit Pipe(const std::string& where) {
    std::array<int, 2> ends{};
    if (::pipe2(ends.data(), O_CLOEXEC) != 0) {
      refuse(where, std::string("cannot be started: ") + std::strerror(errno));
    }
    read = End(ends[0]);
    write = End(ends[1]);
  }
  End read;
  End write;
};

void never_block(const End& end) {
  ::fcntl(end.fd(), F_SETFL, ::fcntl(end.fd(), F_GETFL) | O_NONBLOCK);
}

/// A process and those that it starts, which end with this.
class Child {
 public:
  Child(const std::string& where,
        std::span<const std::string> command,
        const Pipe& in,
        const Pipe& out,
        const Pipe& err) {
    posix_spawn_file_actions_t files;
    posix_spawn_file_actions_init(&files);
    posix_spawn_file_actions_adddup2(&files, in.read.fd(), STDIN_FILENO);
    posix_spawn_file_actions_adddup2(&files, out.write.fd(), STDOUT_FILENO);
    posix_spawn_file_actions_adddup2(&files, err.write.fd(), STDERR_FILENO);
    posix_spawnattr_t settings;
    posix_spawnattr_init(&settings);
    sigset_t usual;  // what we ignore would stay ignored there
    sigemptyset(&usual);
    sigaddset(&usual, SIGPIPE);
    sigaddset(&usual, SIGXFSZ);
    posix_spawnattr_setsigdefault(&settings, &usual);
    posix_spawnattr_setflags(&settings, POSIX_SPAWN_SETPGROUP | POSIX_SPAWN_SETSIGDEF);
    std::vector<std::string> words(command.begin(), command.end());
    std::vector<char*> argv;
    for (std::string& word : words) argv.push_back(word.data());
    argv.push_back(nullptr);
    const int failure = ::posix_spawnp(&id_, argv[0], &files, &settings, argv.data(), environ);
    posix_spawnattr_destroy(&settings);
    posix_spawn_file_actions_destroy(&files);
    if (failure == 0) return;
    id_ = -1;
    refuse(where, std::string("cannot be started: ") + std::strerror(failure), words.front());
  }
  Child(const Child&) = delete;
  Child& operator=(const Child&) = delete;
  ~Child() {
    if (id_ < 0) return;
    ::kill(-id_, SIGKILL);  // a group of its own: a script's programs too
    while (::waitpid(id_, nullptr, 0) < 0 && errno == EINTR) continue;
  }

  /// Whether it has ended; status() says how.
  bool has_ended() {
    if (id_ >= 0 && ::waitpid(id_, &status_, WNOHANG) == id_) id_ = -1;
    return id_ < 0;
  }
  int status() const { return status_; }

 private:
  pid_t id_ = -1;
  int status_ = 0;
};

/// What of `text` an error line has room for: its last line.
std::string last_line(std::string text) {
  while (!text.empty() && (text.back() == '\n' || text.back() == '\r')) text.pop_back();
  text.erase(0, text.rfind('\n') + 1);
  if (text.size() > kComplaintBytes) text.erase(0, text.size() - kComplaintBytes);
  return escape_controls(to_well_formed(text));
}

class Filter {
 public:
  Filter(const std::string& where,
         std::span<const std::string> command,
         std::string_view input,
         const FilterLimits& limits)
      : where_(where),
        limits_(limits),
        input_(input),
        in_(where),
        out_(where),
        err_(where),
        child_(where, command, in_, out_, err_) {
    in_.read.close();
    out_.write.close();
    err_.write.close();
    never_block(in_.write);
    never_block(out_.read);
    never_block(err_.read);
  }

  std::string run(const std::function<void()>& on_wait) {
    while (!child_.has_ended()) {
      on_wait();
      wait();
      give();
      take();
      hear();
      if (Clock::now() - last_moved_ > limits_.silence) refuse_silence();
    }
    while (take()) continue;  // what was in the pipe when it ended
    hear();
    check_status();
    return std::move(output_);
  }

 private:
  void wait();
  void give();
  bool take();
  void hear();
  void check_status() const;
  [[noreturn]] void refuse_silence() const;

  const std::string& where_;
  const FilterLimits& limits_;
  std::string_view input_;  // what it has not read yet
  std::string output_;
  std::string complaint_;
  Pipe in_;
  Pipe out_;
  Pipe err_;
  Child child_;
  Clock::time_point last_moved_ = Clock::now();
};

void Filter::wait() {
  if (input_.empty()) in_.write.close();
  std::array<pollfd, 3> ends{pollfd{in_.write.fd(), POLLOUT, 0},
                             pollfd{out_.read.fd(), POLLIN, 0},
                             pollfd{err_.read.fd(), POLLIN, 0}};  // poll leaves out what is closed
  ::poll(ends.data(), ends.size(), kPauseMs);
}

void Filter::give() {
  if (!in_.write.is_open()) return;
  const ssize_t count =
      ::write(in_.write.fd(), input_.data(), std::min(input_.size(), kPieceBytes));
  if (count > 0) {
    input_.remove_prefix(static_cast<size_t>(count));
    last_moved_ = Clock::now();
  } else if (count < 0 && errno != EAGAIN && errno != EINTR) {
    in_.write.close();  // it reads no more: what it has written will tell
  }
}

/// Whether something came.
bool Filter::take() {
  if (!out_.read.is_open()) return false;
  std::array<char, kPieceBytes> piece{};
  const ssize_t count = ::read(out_.read.fd(), piece.data(), piece.size());
  if (count > 0) {
    output_.append(piece.data(), static_cast<size_t>(count));
    last_moved_ = Clock::now();
    if (std::ssize(output_) > limits_.output_bytes) {
      refuse(where_, "writes far more than it was given to read");
    }
  } else if (count == 0 || (errno != EAGAIN && errno != EINTR)) {
    out_.read.close();
  }
  return count > 0;
}

void Filter::hear() {
  if (!err_.read.is_open()) return;
  std::array<char, kPieceBytes> piece{};
  const ssize_t count = ::read(err_.read.fd(), piece.data(), piece.size());
  if (count > 0) {
    complaint_.append(piece.data(), static_cast<size_t>(count));
    if (complaint_.size() > kPieceBytes) complaint_.erase(0, complaint_.size() - kPieceBytes);
  } else if (count == 0 || (errno != EAGAIN && errno != EINTR)) {
    err_.read.close();
  }
}

void Filter::check_status() const {
  const int status = child_.status();
  if (WIFEXITED(status) && WEXITSTATUS(status) == 0) return;
  const std::string how = WIFEXITED(status)
                              ? "failed with status " + std::to_string(WEXITSTATUS(status))
                              : "was ended by signal " + std::to_string(WTERMSIG(status));
  refuse(where_, how, last_line(complaint_));
}

void Filter::refuse_silence() const {
  const auto seconds = std::chrono::duration_cast<std::chrono::seconds>(limits_.silence).count();
  const std::string what =
      out_.read.is_open() ? "has neither read nor written" : "has closed its output and not ended";
  refuse(where_, what + " for " + std::to_string(seconds) + " s", last_line(complaint_));
}

}  // namespace

std::string run_filter(const std::string& where,
                       std::span<const std::string> command,
                       std::string_view input,
                       const FilterLimits& limits,
                       const std::function<void()>& on_wait) {
  return Filter(where, command, input, limits).run(on_wait);
}

}  // namespace dms
