#pragma once
// Options and arguments of a command, declared without a sight of the library that reads them: to
// include that costs seconds of compilation each time.

#include <cstdint>
#include <functional>
#include <string>
#include <vector>

namespace CLI {
class App;
}

namespace dms::cli {

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

/// An argument without a name before it; `name` is for the help and for errors.
void add_argument(CLI::App& app,
                  const std::string& name,
                  std::string& target,
                  const std::string& help);
/// An option with one value; `read` turns its text into the setting, or throws InputError. Given
/// twice, the last one counts.
void add_value(CLI::App& app,
               const std::string& names,
               const std::string& value_name,
               const std::string& help,
               std::function<void(const std::string& text)> read);
/// An option that may be given again and again; `read` gets the texts of all.
void add_values(CLI::App& app,
                const std::string& name,
                const std::string& value_name,
                const std::string& help,
                std::function<void(const std::vector<std::string>& texts)> read);
/// A value that is a whole number in [min, max].
void add_integer(CLI::App& app,
                 const std::string& names,
                 int64_t& target,
                 int64_t min,
                 int64_t max,
                 const std::string& help);
/// As add_integer(), several with commas between them.
void add_integer_list(CLI::App& app,
                      const std::string& names,
                      std::vector<int64_t>& target,
                      int64_t min,
                      int64_t max,
                      const std::string& help);
void add_text(CLI::App& app,
              const std::string& names,
              std::string& target,
              const std::string& value_name,
              const std::string& help);
/// A file that is read, "-" for standard input.
void add_input_file(CLI::App& app,
                    const std::string& names,
                    std::string& target,
                    const std::string& help);
/// The same, for what is more than its name.
void add_input_file(CLI::App& app,
                    const std::string& names,
                    const std::string& help,
                    std::function<void(const std::string& text)> read);
void add_flag(CLI::App& app, const std::string& names, bool& target, const std::string& help);
void add_flag(CLI::App& app,
              const std::string& names,
              const std::string& help,
              std::function<void()> when_given);

/// `name` as it is declared: "--url", "MODEL".
bool is_given(const CLI::App& app, const std::string& name);
/// The options' long names without dashes.
std::vector<std::string> long_names(const CLI::App& app);
/// As if `name` had stood on the command line with this value. Throws InputError as its option
/// does.
void give(CLI::App& app, const std::string& name, const std::string& value);
/// Throws InputError where two of the files read standard input, or one and what `reader` names.
void check_standard_input(const CLI::App& app, const std::string& reader = {});

}  // namespace dms::cli
