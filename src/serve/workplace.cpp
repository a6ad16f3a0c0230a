#include "serve/workplace.h"

#include <chrono>
#include <memory>
#include <system_error>
#include <utility>

namespace dms::serve {

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
  }
}

void Workplace::load(const DocumentFile& file,
                     std::function<void(const Attempt<Document>& loaded, double ms)> done) const {
  using Clock = std::chrono::steady_clock;
  // The engine's thread holds it by a pointer that it hands on, and never lets go of the rest.
  auto call = std::make_shared<decltype(done)>(std::move(done));
  engine.llm().post([this, file, call = std::move(call)]() mutable {
    const auto begin = Clock::now();
    const auto loaded = attempt([&] { return engine.llm().load_document(file); });
    const double ms = std::chrono::duration<double, std::milli>(Clock::now() - begin).count();
    to_io([call = std::move(call), loaded, ms] { (*call)(loaded, ms); });
  });
}

}  // namespace dms::serve
