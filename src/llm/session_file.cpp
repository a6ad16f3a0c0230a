#include "llm/session_file.h"

#include <string>
#include <string_view>
#include <utility>

#include "base/checksum.h"
#include "base/input_file.h"
#include "base/output_file.h"

namespace dms::llm {
namespace {

// The byte order of the machine is part of it: read on another one, it is another text.
constexpr uint64_t kMagic = 0x3130'5145'5353'4d44;  // "DMSSEQ01"
constexpr int64_t kVersion = 2;

void write_text(ByteWriter& out, std::string_view text) { out.list(std::span(text)); }

std::string read_text(ByteReader& in) {
  const std::vector<char> text = in.list<char>();
  return {text.begin(), text.end()};
}

void write_options(ByteWriter& out, const CacheOptions& options) {
  write_text(out, options.policy);
  out.value(static_cast<int64_t>(options.policy_args.size()));
  for (const auto& [key, value] : options.policy_args) {
    write_text(out, key);
    write_text(out, value);
  }
  write_text(out, options.decisions_file.string());
  out.value(options.window_tokens.value_or(-1));
  write_text(out, options.kv_dtype);
  out.value(options.kv_exact_layers);
}

CacheOptions read_options(ByteReader& in) {
  CacheOptions options{.policy = read_text(in)};
  const int64_t count = in.count_of(2 * static_cast<int64_t>(sizeof(int64_t)));
  for (int64_t i = 0; i < count; ++i) {
    std::string key = read_text(in);
    options.policy_args[std::move(key)] = read_text(in);
  }
  options.decisions_file = read_text(in);
  const auto window = in.value<int64_t>();
  if (window >= 0) options.window_tokens = window;
  options.kv_dtype = read_text(in);
  options.kv_exact_layers = in.value<int64_t>();
  return options;
}

uint32_t checksum(std::string_view data) { return crc32(std::as_bytes(std::span(data))); }

/// The bytes between the head and the checksum.
std::string_view checked_body(std::string_view data, const std::string& where) {
  ByteReader head(data, where);
  if (head.value<uint64_t>() != kMagic) {
    throw InputError(
        {.where = where,
         .what = "is no saved session",
         .expected = "a file that a session's save() wrote on a machine of this kind"});
  }
  head.number(kVersion, kVersion, "version");
  const std::string_view rest = data.substr(data.size() - static_cast<size_t>(head.left()));
  head.require(rest.size() >= sizeof(uint32_t), "it ends early");
  const std::string_view body = rest.substr(0, rest.size() - sizeof(uint32_t));
  ByteReader tail(rest.substr(body.size()), where);
  head.require(tail.value<uint32_t>() == checksum(body), "its checksum differs");
  return body;
}

}  // namespace

ByteWriter session_bytes(const engine::Model& model,
                         const CacheOptions& options,
                         const engine::Sequence& sequence) {
  ByteWriter out;
  out.value(kMagic);
  out.value(kVersion);
  const size_t head = out.data().size();
  write_text(out, model.fingerprint());
  write_options(out, options);
  sequence.write(out);
  out.value(checksum(out.data().substr(head)));
  return out;
}

void write_session(const std::filesystem::path& file,
                   const engine::Model& model,
                   const CacheOptions& options,
                   const engine::Sequence& sequence) {
  write_text_file(file, session_bytes(model, options, sequence).data());
}

SavedSession read_session(const std::filesystem::path& file, engine::Model& model) {
  const InputFile input(file);
  return parse_session(input.read_text(0, input.bytes()), file.string(), model);
}

SavedSession parse_session(std::string_view data, const std::string& where, engine::Model& model) {
  ByteReader in(checked_body(data, where), where);
  if (const std::string saved = read_text(in); saved != model.fingerprint()) {
    throw InputError({.where = where,
                      .what = "was saved with another model, or other types",
                      .got = saved,
                      .expected = model.fingerprint()});
  }
  SavedSession session{.options = read_options(in), .sequence = {}};
  session.sequence = engine::Sequence::read(in, model, model.plan(session.options));
  in.require(in.left() == 0, "something follows its end");
  return session;
}

}  // namespace dms::llm
