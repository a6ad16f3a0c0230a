#pragma once
// The arguments of one command, read by what its options declare (declare.h).

#include <memory>
#include <optional>
#include <span>
#include <string>

namespace CLI {
class App;
}

namespace dms::cli {

class CommandLine {
 public:
  /// `examples` stand under the options in the help.
  CommandLine(const std::string& name, const std::string& summary, const std::string& examples);
  ~CommandLine();

  /// Options are declared in it.
  CLI::App& app() { return *app_; }
  /// Gives the options what the arguments say. Where these ask for the help it is returned, and
  /// nothing is to be done. Throws InputError on an unknown or bad argument.
  std::optional<std::string> read(std::span<const std::string> arguments);

 private:
  void check_extras() const;

  std::unique_ptr<CLI::App> app_;
};

}  // namespace dms::cli
