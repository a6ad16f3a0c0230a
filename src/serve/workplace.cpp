#include "serve/workplace.h"

#include <chrono>
#include <memory>
#include <system_error>
#include <utility>

#include "dms/slow_form.h"

namespace dms::serve {
namespace {

/// Where it finds no room, who asks again later may find it; or never, if all would not do.
Document load_now(LLM& llm, const DocumentFile& file) {
  try {
    return llm.load_document(file);
  } catch (const RunError&) {
    const int64_t limit = llm.stats().kv_limit_bytes;
    const std::string bytes = std::to_string(file.held_bytes());
    if (limit > 0 && file.held_bytes() > limit) {
      throw ApiError(507,
                     "the file's cache needs " + bytes + " bytes of --kv-memory, which has " +
                         std::to_string(limit),
                     {},
                     "insufficient_storage");
    }
    throw ApiError(503,
                   "no room in --kv-memory for the " + bytes + " bytes of the file's cache now");
  }
}

}  // namespace

std::optional<ApiError> Workplace::engine_fault() const {
  if (engine.state() != ServedEngine::State::kFailed) return std::nullopt;
  return ApiError(503, "the engine has failed");
}

ApiError Workplace::error_of(const Generation& result) const {
  if (result.error.empty()) return {500, "there was no memory to keep it"};
  if (result.error.starts_with(kSlowForm)) return {400, result.error};
  if (!result.is_short_of_memory || !give_way()) return {500, result.error};
  return {503, result.error + "; caches that were kept have made room: ask again"};
}

std::string Workplace::policy_of(const CacheOptions& cache) const {
  const bool is_known = !cache.policy.empty() || engine.state() != ServedEngine::State::kReady;
  return is_known ? cache.policy : engine.llm().info().policy;
}

int64_t Workplace::write(const std::function<int64_t()>& save) const {
  try {
    return save();
  } catch (const Error& error) {
    notice(error.what());
    throw ApiError(500, "it cannot be written to the server's folder");
  }
}

DocumentFile Workplace::read(const std::filesystem::path& file, const std::string& param) const {
  std::error_code ignored;
  if (!std::filesystem::exists(file, ignored)) {
    throw ApiError(404, param + ": there is no such file", param, "file_not_found");
  }
  try {
    DocumentFile found = engine.llm().open_document(file);
    engine.llm().check_document(found);
    return found;
  } catch (const InputError& error) {
    notice(error.what());
    throw ApiError(400, param + ": the file is damaged, or was written with another model", param);
  } catch (const Error& error) {
    notice(error.what());
    throw ApiError(500, param + ": the file cannot be read");
  }
}

void Workplace::load(const DocumentFile& file,
                     std::function<void(const Attempt<Document>& loaded, double ms)> done) const {
  using Clock = std::chrono::steady_clock;
  if (const auto fault = engine_fault()) return done(*fault, 0);
  // The engine's thread holds it by a pointer that it hands on, and never lets go of the rest.
  auto call = std::make_shared<decltype(done)>(std::move(done));
  engine.llm().post([this, file, call = std::move(call)]() mutable {
    const auto begin = Clock::now();
    const auto loaded = attempt([&] { return load_now(engine.llm(), file); });
    const double ms = std::chrono::duration<double, std::milli>(Clock::now() - begin).count();
    to_io([this, call = std::move(call), loaded, ms] {
      const auto* error = std::get_if<ApiError>(&loaded);
      if (error != nullptr && error->status() == 503) give_way();
      (*call)(loaded, ms);
    });
  });
}

}  // namespace dms::serve
