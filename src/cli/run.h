#pragma once
// The program: finds the command, reads its options, turns every failure into one line.

#include <span>
#include <string>

namespace dms::cli {

/// `arguments` are those after the program's name. Returns the exit status: 0 done, 1 failed at run
/// time, 2 wrong usage or bad input. Throws nothing.
int run(std::span<const std::string> arguments);

}  // namespace dms::cli
