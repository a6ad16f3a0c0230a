#pragma once
// How the error of a generation begins (Generation::error) whose form takes too long to hold it to:
// the fault of who asked for the form, and of no other.

#include <string_view>

namespace dms {

inline constexpr std::string_view kSlowForm =
    "structured answer: what may come next takes too long to find out";

}  // namespace dms
