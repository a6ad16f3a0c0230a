#include <algorithm>
#include <string>
#include <vector>

#include "cli/devices.h"
#include "cli/run.h"

int main(int argc, char** argv) {
  dms::cli::add_devices();
  return dms::cli::run(std::vector<std::string>(argv + std::min(argc, 1), argv + argc));
}
