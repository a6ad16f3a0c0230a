// A compressor of one's own for the policy adms: neighbours become pairs, pairs become fours, until
// the budget is met, so that what is old stands for more tokens than what is new.
//
//   custom_compressor models/demo examples/long_prompt.txt

#include <algorithm>
#include <exception>
#include <fstream>
#include <iostream>
#include <sstream>
#include <string>

#include <dms/compressor.h>
#include <dms/error.h>
#include <dms/llm.h>

namespace {

/// Makes entry i the mean of itself and the next one.
void join_next(dms::MiddleEntries& entries, std::size_t i, std::size_t head_dim) {
  const auto own = static_cast<float>(entries.counts[i]);
  const auto other = static_cast<float>(entries.counts[i + 1]);
  const auto mean = [&](float a, float b) { return (own * a + other * b) / (own + other); };
  const std::size_t at = i * head_dim;
  for (std::vector<float>* rows : {&entries.keys, &entries.values}) {
    for (std::size_t c = 0; c < head_dim; ++c) {
      (*rows)[at + c] = mean((*rows)[at + c], (*rows)[at + head_dim + c]);
    }
    const auto next = rows->begin() + static_cast<std::ptrdiff_t>(at + head_dim);
    rows->erase(next, next + static_cast<std::ptrdiff_t>(head_dim));
  }
  entries.positions[i] = static_cast<int32_t>(
      mean(static_cast<float>(entries.positions[i]), static_cast<float>(entries.positions[i + 1])));
  entries.counts[i] += entries.counts[i + 1];
  const auto next = static_cast<std::ptrdiff_t>(i + 1);
  entries.positions.erase(entries.positions.begin() + next);
  entries.counts.erase(entries.counts.begin() + next);
}

dms::MiddleEntries join_smallest(const dms::MiddleEntries& entries,
                                 int64_t head_dim,
                                 int64_t budget) {
  if (budget <= 0) return {};
  dms::MiddleEntries made = entries;
  while (std::ssize(made.counts) > budget) {
    std::size_t best = 0;
    for (std::size_t i = 0; i + 1 < made.counts.size(); ++i) {
      const auto joined = [&](std::size_t at) { return made.counts[at] + made.counts[at + 1]; };
      if (joined(i) < joined(best)) best = i;
    }
    join_next(made, best, static_cast<std::size_t>(head_dim));
  }
  return made;
}

/// Throws InputError where there is no text.
std::string read_text(const std::string& path) {
  const std::ifstream file(path);
  std::ostringstream text;
  text << file.rdbuf();  // a folder opens, but cannot be read
  if (text.view().empty()) {
    throw dms::InputError({.where = path, .what = "cannot be read, or is empty"});
  }
  return text.str();
}

int run(const std::string& model, const std::string& text_file) {
  dms::register_compressor("join_smallest", join_smallest);
  const std::string text = read_text(text_file);
  dms::LLM llm(model);
  dms::Session session = llm.new_session({.policy = "adms",
                                          .policy_args = {{"compressor_type", "custom"},
                                                          {"compressor", "join_smallest"},
                                                          {"enable_dynamic_sink", "false"},
                                                          {"recent_size", "128"},
                                                          {"compressed_budget", "64"},
                                                          {"prompt_interval", "32"}}});
  const dms::Generation result = session.generate(llm.encode(text), {.max_new_tokens = 16});
  if (!result.error.empty()) throw dms::RunError({.what = result.error});
  const dms::KvStats kv = session.kv();
  std::cout << result.text << "\n" << kv.dense_tokens << " entries as " << kv.held_tokens << "\n";
  if (kv.held_tokens < kv.dense_tokens) return 0;
  std::cerr << "error: nothing was joined: the text is shorter than recent_size tokens\n";
  return 1;
}

}  // namespace

int main(int argc, char** argv) {
  if (argc != 3) {
    std::cerr << "usage: custom_compressor MODEL TEXT_FILE\n";
    return 2;
  }
  try {
    return run(argv[1], argv[2]);
  } catch (const dms::InputError& error) {
    std::cerr << "error: " << error.what() << "\n";
    return 2;
  } catch (const std::exception& error) {
    std::cerr << "error: " << error.what() << "\n";
    return 1;
  }
}
