#include "train/agreement.h"

#include <algorithm>
#include <cstdint>
#include <filesystem>
#include <new>

#include "dms/error.h"

namespace dms::train {
namespace {

constexpr size_t kMaxMessage = 4000;
constexpr const char* kNoMemory = "memory: the system has no more to give";

/// LibTorch has no exception of its own for a machine without memory.
std::string describe_torch(const c10::Error& error) {
  const std::string text = error.what_without_backtrace();
  if (text.find("can't allocate memory") != std::string::npos) return kNoMemory;
  return "internal error: " + text.substr(0, text.find('\n'));
}

bool is_bad_input(const std::exception_ptr& failure) {
  try {
    std::rethrow_exception(failure);
  } catch (const InputError&) {
    return true;
  } catch (...) {
    return false;
  }
}

/// What rank `from` says, on all ranks.
std::string tell(Communicator& ranks, int64_t from, std::string text) {
  at::Tensor length = at::full({1}, std::ssize(text), at::kLong);
  ranks.broadcast(length, from);
  text.resize(static_cast<size_t>(length.item<int64_t>()));
  at::Tensor bytes = at::from_blob(text.data(), {std::ssize(text)}, at::kByte);
  ranks.broadcast(bytes, from);
  return text;
}

}  // namespace

std::string describe(const std::exception_ptr& failure) {
  try {
    std::rethrow_exception(failure);
  } catch (const Error& error) {
    return error.what();
  } catch (const std::bad_alloc&) {
    return kNoMemory;
  } catch (const c10::Error& error) {
    return describe_torch(error);
  } catch (const std::filesystem::filesystem_error& error) {
    return error.path1().string() + ": " + error.code().message();
  } catch (const std::exception& error) {
    const std::string text = error.what();
    return "internal error: " + text.substr(0, text.find('\n'));
  } catch (...) {
    return "internal error: an exception of no kind";
  }
}

std::exception_ptr failure_of(const std::function<void()>& work) {
  try {
    work();
    return nullptr;
  } catch (...) {
    return std::current_exception();
  }
}

void agree(Communicator& ranks, const std::exception_ptr& failure) {
  at::Tensor failed = at::zeros({ranks.size()}, at::kLong);
  if (failure) failed[ranks.rank()] = is_bad_input(failure) ? 1 : 2;
  ranks.all_reduce_sum(failed);
  int64_t first = 0;
  while (first < ranks.size() && failed[first].item<int64_t>() == 0) ++first;
  if (first == ranks.size()) return;
  const std::string text =
      tell(ranks, first, failure ? describe(failure).substr(0, kMaxMessage) : "");
  if (failure) std::rethrow_exception(failure);
  const ErrorParts parts{.where = "rank " + std::to_string(first), .what = text};
  if (failed[first].item<int64_t>() == 1) throw InputError(parts);
  throw RunError(parts);
}

void all_or_none(Communicator& ranks, const std::function<void()>& work) {
  agree(ranks, failure_of(work));
}

}  // namespace dms::train
