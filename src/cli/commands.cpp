#include <array>

#include "cli/command.h"

namespace dms::cli {

std::span<const Command> commands() {
  static const std::array list{inspect_command(),
                               tokenize_command(),
                               generate_command(),
                               chat_command(),
                               document_command(),
                               score_command(),
                               serve_command(),
                               bench_command(),
                               eval_command(),
                               report_command(),
                               quantize_command(),
                               calibrate_command(),
                               train_command(),
                               data_command(),
                               extract_command()};
  return list;
}

}  // namespace dms::cli
