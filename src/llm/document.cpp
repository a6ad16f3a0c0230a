#include "llm/document.h"

#include <array>
#include <utility>

#include "base/output_file.h"
#include "llm/request_run.h"

namespace dms {
namespace llm {
namespace {

/// Whoever lets go of it last, its memory is given back on the engine's thread, or once there is no
/// engine any more.
std::shared_ptr<const engine::Sequence> left_to_the_engine(
    const std::shared_ptr<Core>& core, std::shared_ptr<engine::Sequence> sequence) {
  const engine::Sequence* shown = sequence.get();
  return {shown, [weak = std::weak_ptr(core), sequence = std::move(sequence)](const auto*) mutable {
            const auto alive = weak.lock();
            if (alive) alive->engine->post([sequence = std::move(sequence)] {});
          }};
}

/// How a cache is kept; how much is taken ahead is no part of that.
CacheOptions kept_options(CacheOptions options) {
  options.preallocate_tokens = 0;
  return options;
}

}  // namespace

Document make_document(const std::shared_ptr<Core>& core,
                       CacheOptions options,
                       std::shared_ptr<engine::Sequence> sequence) {
  const std::array<const engine::SequenceState*, 1> states{&sequence->state()};
  return Document(std::make_shared<const Document::State>(
      Document::State{.options = kept_options(std::move(options)),
                      .fingerprint = core->fingerprint,
                      .kv = core->model->usage(states),
                      .held_bytes = sequence->state().held_bytes(),
                      .sequence = left_to_the_engine(core, std::move(sequence))}));
}

engine::Submission submission_of(const std::shared_ptr<Core>& core, Request request) {
  engine::Submission submission;
  if (request.document) {
    if (request.document->cache() != kept_options(request.cache)) {
      throw InputError({.field = "document",
                        .what = "was made with other cache options than the request's",
                        .got = request.cache.policy,
                        .expected = request.document->cache().policy});
    }
    submission.document = request.document->state()->sequence;
  }
  if (request.keeps_document) {
    submission.keep = [weak = std::weak_ptr(core),
                       options = request.cache](std::shared_ptr<engine::Sequence> sequence) {
      return make_document(weak.lock(), options, std::move(sequence));
    };
  }
  submission.request = std::move(request);
  return submission;
}

}  // namespace llm

int64_t Document::tokens() const { return state_->sequence->tokens(); }
std::span<const int32_t> Document::ids() const { return state_->sequence->ids(); }
const CacheOptions& Document::cache() const { return state_->options; }
const KvStats& Document::kv() const { return state_->kv; }
int64_t Document::held_bytes() const { return state_->held_bytes; }

int64_t Document::save(const std::filesystem::path& file, std::string_view note) const {
  llm::SessionHead head = llm::head_of(state_->options, state_->kv, *state_->sequence);
  head.note = note;
  const ByteWriter bytes = llm::session_bytes(state_->fingerprint, head, *state_->sequence);
  write_text_file(file, bytes.data());
  return std::ssize(bytes.data());
}

std::span<const int32_t> DocumentFile::ids() const { return state_->session.head.ids; }
const CacheOptions& DocumentFile::cache() const { return state_->session.head.options; }
int64_t DocumentFile::dense_tokens() const { return state_->session.head.dense_tokens; }
int64_t DocumentFile::held_tokens() const { return state_->session.head.held_tokens; }
int64_t DocumentFile::held_bytes() const { return state_->session.head.held_bytes; }
const std::string& DocumentFile::note() const { return state_->session.head.note; }
int64_t DocumentFile::bytes() const { return std::ssize(state_->image.bytes()); }

}  // namespace dms
