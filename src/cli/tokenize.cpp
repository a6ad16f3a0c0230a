// dms tokenize: text to ids and back, by the tokenizer alone.

#include <algorithm>
#include <filesystem>
#include <memory>

#include <CLI/CLI.hpp>
#include <fmt/format.h>

#include "base/file_status.h"
#include "cli/command.h"
#include "cli/input.h"
#include "cli/options.h"
#include "cli/output.h"
#include "dms/error.h"
#include "text/tokenizer.h"

namespace dms::cli {
namespace {

struct Options {
  std::string model;
  std::string text_file = "-";
  std::string ids_file = "-";
  bool decode = false;
  bool no_special = false;
  bool json = false;
};

text::Tokenizer load_tokenizer(const std::string& model) {
  const std::filesystem::path path(model);
  return is_folder(path) ? text::Tokenizer::load_folder(path) : text::Tokenizer::load(path);
}

/// Control characters as JSON writes them, so that a token stays on its line.
std::string printable(const std::string& token) {
  std::string text = OutputJson(token).dump(-1, ' ', false, OutputJson::error_handler_t::replace);
  return text.substr(1, text.size() - 2);
}

void encode(const text::Tokenizer& tokenizer, const Options& options) {
  const std::vector<int32_t> ids =
      tokenizer.encode(read_text(options.text_file), !options.no_special);
  OutputJson tokens = OutputJson::array();
  for (int32_t id : ids) {
    const std::string* token = tokenizer.token_text(id);
    tokens.push_back(token == nullptr ? "" : *token);
  }
  if (options.json) {
    print_json({{"ids", ids}, {"tokens", tokens}});
    return;
  }
  for (size_t i = 0; i < ids.size(); ++i) {
    print(fmt::format("{}\t{}\n", ids[i], printable(tokens[i].get<std::string>())));
  }
}

void check_ids(const std::vector<int32_t>& ids, int64_t limit, const std::string& where) {
  const auto bad = std::ranges::find_if(ids, [limit](int32_t id) { return id >= limit; });
  if (bad == ids.end()) return;
  throw InputError({.where = fmt::format("{}: element {}", where, bad - ids.begin()),
                    .what = "token id out of range",
                    .got = fmt::format("{}", *bad),
                    .expected = fmt::format("0 to {}", limit - 1)});
}

void decode(const text::Tokenizer& tokenizer, const Options& options) {
  const std::vector<int32_t> ids = read_ids(options.ids_file);
  check_ids(ids, tokenizer.id_limit(), options.ids_file);
  const std::string text = tokenizer.decode(ids, options.no_special);
  if (options.json) {
    print_json({{"text", text}});
  } else {
    print(text + "\n");
  }
}

void tokenize(const Options& options) {
  require_model(options.model);
  const text::Tokenizer tokenizer = load_tokenizer(options.model);
  if (options.decode) {
    decode(tokenizer, options);
  } else {
    encode(tokenizer, options);
  }
}

CommandBody define(CLI::App& app) {
  auto options = std::make_shared<Options>();
  add_model_folder(app, options->model);
  add_text(app, "--text-file", options->text_file, "F", "Text; default: standard input");
  add_flag(app,
           "--no-special",
           options->no_special,
           "Add no special tokens; with --decode: leave them out of the text");
  add_flag(app, "--decode", options->decode, "Turn ids into text");
  add_text(app, "--ids", options->ids_file, "F", "Ids to decode, JSON; default: standard input");
  add_flag(app, "--json", options->json, "Print one JSON object");
  return [options] { tokenize(*options); };
}

}  // namespace

Command tokenize_command() {
  return {.name = "tokenize",
          .summary = "Turn text into token ids, or ids into text",
          .examples =
              "  echo 'Hello there' | dms tokenize models/demo\n"
              "  dms tokenize models/demo --text-file book.txt --json > tokens.json\n"
              "  echo '[72, 101]' | dms tokenize models/demo --decode\n",
          .define = define};
}

}  // namespace dms::cli
