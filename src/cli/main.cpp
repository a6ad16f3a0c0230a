#include <algorithm>
#include <string>
#include <vector>

#include "cli/run.h"

int main(int argc, char** argv) {
  return dms::cli::run(std::vector<std::string>(argv + std::min(argc, 1), argv + argc));
}
