#pragma once
// Options that several commands share, declared once. All check their values while they are read.

#include <filesystem>
#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "dms/llm.h"

namespace CLI {
class App;
class Option;
}  // namespace CLI

namespace dms::cli {

inline constexpr int64_t kMaxTokens = int64_t{1} << 31;

/// While it lives, options that are declared stand under this heading of the help.
class OptionGroup {
 public:
  OptionGroup(CLI::App& app, const std::string& heading);
  ~OptionGroup();
  OptionGroup(const OptionGroup&) = delete;
  OptionGroup& operator=(const OptionGroup&) = delete;

 private:
  CLI::App& app_;
};

/// Declares an option with one value; `read` turns its text into the setting, or throws InputError.
/// Given twice, the last one counts.
CLI::Option* add_value(CLI::App& app,
                       const std::string& names,
                       const std::string& value_name,
                       const std::string& help,
                       std::function<void(const std::string& text)> read);
/// The same for whole numbers in [min, max].
CLI::Option* add_integer(CLI::App& app,
                         const std::string& names,
                         int64_t& target,
                         int64_t min,
                         int64_t max,
                         const std::string& help);
CLI::Option* add_text(CLI::App& app,
                      const std::string& names,
                      std::string& target,
                      const std::string& value_name,
                      const std::string& help);
/// A file that is read, "-" for standard input.
CLI::Option* add_input_file(CLI::App& app,
                            const std::string& names,
                            std::string& target,
                            const std::string& help);
/// Throws InputError where two of these read standard input, or one and what `reader` names.
void check_standard_input(const CLI::App& app, const std::string& reader = {});
/// `name` as it is declared: "--url", "MODEL".
bool is_given(const CLI::App& app, const std::string& name);
void add_flag(CLI::App& app, const std::string& names, bool& target, const std::string& help);
/// The positional MODEL. `require_model` says that it was given.
void add_model_folder(CLI::App& app, std::string& folder);
void require_model(const std::string& folder);

/// --adapter
void add_adapter(CLI::App& app, std::filesystem::path& adapter);

/// --dtype --weights --threads --chunk --device --adapter
void add_model_options(CLI::App& app, ModelOptions& options);
/// --max-batch-tokens --max-sequences
void add_scheduling_options(CLI::App& app, ModelOptions& options);
/// --policy --policy-args --decisions --window --kv-dtype --kv-memory --preallocate
void add_cache_options(CLI::App& app, CacheOptions& options);
/// The same without --policy.
void add_cache_options_but_policy(CLI::App& app, CacheOptions& options);
/// The options with a decisions file that can be read again and again.
CacheOptions with_seekable_files(CacheOptions options);

/// Reads the weights; says so on a terminal. What is odd about the model goes to standard error, a
/// line each; with `json` it is left to the object that the command prints ("notes").
LLM load_model(ModelSource source, const std::string& name, bool json = false);

}  // namespace dms::cli
