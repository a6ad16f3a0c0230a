#include "llm/session_file.h"

#include <algorithm>
#include <limits>
#include <string>
#include <string_view>
#include <utility>

#include "base/checksum.h"

namespace dms::llm {
namespace {

// The byte order of the machine is part of it: read on another one, it is another text.
constexpr uint64_t kMagic = 0x3130'5145'5353'4d44;  // "DMSSEQ01"
constexpr int64_t kVersion = 5;
constexpr size_t kSizeAt = 16;  // where the size of the file stands
constexpr int64_t kMost = std::numeric_limits<int64_t>::max();
constexpr int64_t kMostHeld = int64_t{1} << 50;  // bytes

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

std::string head_bytes(const std::string& fingerprint, const SessionHead& head) {
  ByteWriter out;
  write_text(out, fingerprint);
  write_options(out, head.options);
  write_text(out, head.note);
  out.value(head.dense_tokens);
  out.value(head.held_tokens);
  out.value(head.held_bytes);
  out.list(std::span(head.ids));
  return std::string(out.data());
}

/// `most_bytes`: that the cache may hold.
SessionHead read_head(std::string_view bytes,
                      const std::string& where,
                      int64_t most_bytes,
                      const std::string& fingerprint) {
  ByteReader in(bytes, where);
  if (const std::string saved = read_text(in); saved != fingerprint) {
    throw InputError({.where = where,
                      .what = "was saved with another model, or other types",
                      .got = saved,
                      .expected = fingerprint});
  }
  SessionHead head{.options = read_options(in), .note = read_text(in)};
  head.dense_tokens = in.number(0, kMost, "the number of entries");
  head.held_tokens = in.number(0, kMost, "the number of entries held");
  // Trees take more in memory than when they are written: nobody makes more room for a file than it
  // has bytes.
  head.held_bytes = std::min(in.number(0, kMostHeld, "the number of bytes held"), most_bytes);
  head.ids = in.list<int32_t>();
  in.require(in.left() == 0, "something follows its head");
  return head;
}

std::string_view without_checksum(const SessionBytes& session) {
  return session.cache.substr(0, session.cache.size() - sizeof(uint32_t));
}

}  // namespace

SessionHead head_of(const CacheOptions& options,
                    const KvStats& kv,
                    const engine::Sequence& sequence) {
  return {.options = options,
          .dense_tokens = kv.dense_tokens,
          .held_tokens = kv.held_tokens,
          .held_bytes = sequence.state().saved_bytes(),
          .ids = {sequence.ids().begin(), sequence.ids().end()}};
}

ByteWriter session_bytes(const std::string& fingerprint,
                         const SessionHead& head,
                         const engine::Sequence& sequence) {
  ByteWriter out;
  out.value(kMagic);
  out.value(kVersion);
  out.value(int64_t{0});
  const std::string about = head_bytes(fingerprint, head);
  write_text(out, about);
  out.value(checksum(about));
  const size_t begin = out.data().size();
  sequence.write(out);
  out.value(checksum(out.data().substr(begin)));
  out.overwrite(kSizeAt, std::ssize(out.data()));
  return out;
}

SessionBytes parse_session(std::string_view data,
                           const std::string& where,
                           const std::string& fingerprint) {
  ByteReader in(data, where);
  if (in.value<uint64_t>() != kMagic) {
    throw InputError(
        {.where = where,
         .what = "is no saved session",
         .expected = "a file that a session's save() wrote on a machine of this kind"});
  }
  in.number(kVersion, kVersion, "version");
  in.require(in.value<int64_t>() == std::ssize(data),
             "it has another size than it was written with");
  const int64_t head_size = in.count_of(1);
  const std::span<const std::byte> head = in.bytes(head_size);
  in.require(in.value<uint32_t>() == crc32(head), "the checksum of its head differs");
  in.require(in.left() >= static_cast<int64_t>(sizeof(uint32_t)), "it ends early");
  return {.where = where,
          .head = read_head({reinterpret_cast<const char*>(head.data()), head.size()},
                            where,
                            std::ssize(data),
                            fingerprint),
          .cache = data.substr(data.size() - static_cast<size_t>(in.left()))};
}

void check_cache(const SessionBytes& session) {
  const std::string_view cache = without_checksum(session);
  ByteReader tail(session.cache.substr(cache.size()), session.where);
  tail.require(tail.value<uint32_t>() == checksum(cache), "its checksum differs");
}

std::shared_ptr<engine::Sequence> read_cache(const SessionBytes& session,
                                             engine::Model& model,
                                             std::shared_ptr<const void> owner) {
  ByteReader in(without_checksum(session), session.where, std::move(owner));
  auto sequence = engine::Sequence::read(in, model, model.plan(session.head.options));
  in.require(in.left() == 0, "something follows its end");
  in.require(std::ranges::equal(sequence->ids(), session.head.ids),
             "its head has other tokens than its cache");
  return sequence;
}

}  // namespace dms::llm
