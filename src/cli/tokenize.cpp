// dms tokenize: text to ids and back, by the tokenizer alone.

#include <algorithm>
#include <memory>
#include <optional>
#include <span>

#include <fmt/format.h>

#include "cli/command.h"
#include "cli/input.h"
#include "cli/options.h"
#include "cli/output.h"
#include "dms/error.h"
#include "dms/tokenizer.h"

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

/// A JSON string; text that is not UTF-8 is repaired.
std::string quoted(const std::string& text) {
  return OutputJson(text).dump(-1, ' ', false, OutputJson::error_handler_t::replace);
}

std::string token_json(const Tokenizer& tokenizer, int32_t id) {
  const std::optional<TokenInfo> token = tokenizer.token(id);
  return quoted(token ? token->text : "");
}

/// Output in pieces of some size: the tokens of a long text are never all there as text.
class PieceWriter {
 public:
  void add(std::string_view text) {
    held_ += text;
    if (held_.size() >= kPieceBytes) flush();
  }
  void flush() {
    print(held_);
    held_.clear();
  }

 private:
  static constexpr size_t kPieceBytes = size_t{1} << 16;
  std::string held_;
};

/// {"ids": […], "tokens": […]} on one line.
void write_json(const Tokenizer& tokenizer, std::span<const int32_t> ids) {
  PieceWriter out;
  out.add("{\"ids\":[");
  for (size_t i = 0; i < ids.size(); ++i) out.add(fmt::format("{}{}", i == 0 ? "" : ",", ids[i]));
  out.add("],\"tokens\":[");
  for (size_t i = 0; i < ids.size(); ++i) {
    out.add(i == 0 ? "" : ",");
    out.add(token_json(tokenizer, ids[i]));
  }
  out.add("]}\n");
  out.flush();
}

/// One token a line; control characters as JSON writes them, so that it stays on its line.
void write_lines(const Tokenizer& tokenizer, std::span<const int32_t> ids) {
  PieceWriter out;
  for (const int32_t id : ids) {
    const std::string token = token_json(tokenizer, id);
    out.add(fmt::format("{}\t{}\n", id, std::string_view(token).substr(1, token.size() - 2)));
  }
  out.flush();
}

void encode(const Tokenizer& tokenizer, const Options& options) {
  std::vector<int32_t> ids;
  {
    const std::string text = read_text(options.text_file);
    ids = tokenizer.encode(text, !options.no_special);
  }
  if (options.json) {
    write_json(tokenizer, ids);
  } else {
    write_lines(tokenizer, ids);
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

void decode(const Tokenizer& tokenizer, const Options& options) {
  const std::vector<int32_t> ids = read_ids(options.ids_file);
  check_ids(ids, tokenizer.id_limit(), input_name(options.ids_file));
  const std::string text = tokenizer.decode(ids, options.no_special);
  if (options.json) {
    print_json({{"text", text}});
  } else {
    print(text + "\n");
  }
}

void tokenize(const Options& options) {
  require_model(options.model);
  const Tokenizer tokenizer(options.model);
  if (options.decode) {
    decode(tokenizer, options);
  } else {
    encode(tokenizer, options);
  }
}

CommandBody define(CLI::App& app) {
  auto options = std::make_shared<Options>();
  add_model_folder(app, options->model);
  add_input_file(app, "--text-file", options->text_file, "Text; default: standard input");
  add_flag(app,
           "--no-special",
           options->no_special,
           "Add no special tokens;\nwith --decode: leave them out of the text");
  add_flag(app, "--decode", options->decode, "Turn ids into text");
  add_input_file(app, "--ids", options->ids_file, "Ids to decode, JSON; default: standard input");
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
