#include "engine/running.h"

#include <algorithm>
#include <exception>
#include <utility>

#include "base/bytes.h"
#include "base/check.h"
#include "engine/log_probabilities.h"

namespace dms::engine {
namespace {

std::span<const int32_t> first_of(std::span<const int32_t> ids, int64_t most) {
  return ids.first(static_cast<size_t>(std::min(most, std::ssize(ids))));
}

/// Null where the answer's form is free.
std::unique_ptr<Guide> guide_of(const SamplingParams& params, const Vocabulary& vocabulary) {
  if (params.structure.kind == Structure::Kind::none || params.max_new_tokens == 0) return nullptr;
  const std::span<const int32_t> ends = vocabulary.eos_ids;
  return vocabulary.guides->begin(params.structure, params.ignore_eos ? ends.first(0) : ends);
}

Submission branch_of(const Submission& submission, int64_t answer) {
  Submission branch = submission;
  branch.request.sampling.seed += static_cast<uint64_t>(answer);
  branch.sequence = submission.sequence->fork();
  return branch;
}

}  // namespace

Running::Running(RequestId id,
                 Submission submission,
                 std::shared_ptr<const SequencePlan> plan,
                 const Vocabulary& vocabulary)
    : id_(id),
      submission_(std::move(submission)),
      plan_(std::move(plan)),
      vocabulary_(vocabulary),
      answers_(submission_.request.answers),
      sampler_(submission_.request.sampling),
      guide_(guide_of(submission_.request.sampling, vocabulary)),
      stops_(submission_.request.sampling.stop) {
  result_.prompt_tokens = prompt_tokens();
}

Running::Running(const Running& first, int64_t answer)
    : id_(first.id_),
      submission_(branch_of(first.submission_, answer)),
      plan_(first.plan_),
      vocabulary_(first.vocabulary_),
      answer_(answer),
      sampler_(submission_.request.sampling),
      guide_(guide_of(submission_.request.sampling, vocabulary_)),
      stops_(first.stops_),
      decoder_(first.decoder_),
      prompt_done_(first.prompt_done_),
      is_ready_(true),
      is_preempted_(!sequence().missing().empty()),
      is_urgent_(first.is_urgent_) {
  result_.prompt_choices = first.result_.prompt_choices;
  result_.prompt_tokens = first.result_.prompt_tokens;
  result_.cached_tokens = first.result_.cached_tokens;
  sequence().is_busy = true;
  sampler_.see_prompt(sequence().ids());
}

Running::~Running() {
  if (is_active()) sequence().is_busy = false;
}

int64_t Running::wanted_tokens() const {
  return std::max(prompt_tokens(), is_active() ? sequence().tokens() : 0);
}

/// All of the document's tokens, or those up to where it can be taken back to at once.
void Running::look_at_document() {
  if (!submission_.document || wants_all_rows()) return;
  const Sequence& document = *submission_.document;
  const std::vector<int32_t>& prompt = request().prompt;
  const int64_t common = std::ranges::mismatch(document.ids(), prompt).in1 - document.ids().begin();
  // The last token of a prompt is computed: its logits are wanted.
  const int64_t usable = std::min(common, prompt_tokens() - 1);
  if (usable == document.tokens() || document.state().can_truncate(usable)) given_ = usable;
}

std::shared_ptr<Sequence> Running::new_sequence(Model& model) const {
  if (given_ == 0) {
    return std::make_shared<Sequence>(model.new_sequence(plan_), plan_->max_tokens());
  }
  std::shared_ptr<Sequence> branch = submission_.document->fork();
  if (branch->tokens() > given_) branch->truncate(given_);
  return branch;
}

void Running::activate(Model& model) {
  if (!is_active()) {
    try {
      submission_.sequence = new_sequence(model);
      prompt_done_ = given_;
      if (sequence().missing().empty()) result_.cached_tokens = given_;
      submission_.document.reset();
      submission_.request.document.reset();
    } catch (const std::exception& error) {
      fail(model, error);
      return;
    }
    sequence().is_busy = true;
  }
  is_ready_ = true;
  const std::vector<int32_t>& prompt = submission_.request.prompt;
  sequence().begin_prompt(prompt_tokens() - given_);
  // Of its own one the tokens are the prompt's.
  const auto earlier = is_owned() ? std::span<const int32_t>() : sequence().ids();
  sampler_.see_prompt(earlier);
  sampler_.see_prompt(prompt);
  if (vocabulary_.tokenizer != nullptr && submission_.request.sampling.max_new_tokens > 0) {
    std::vector<int32_t> before(earlier.begin(), earlier.end());
    before.insert(before.end(), prompt.begin(), prompt.end());
    decoder_.emplace(*vocabulary_.tokenizer, true, before);
  }
}

void Running::start_from(const CachedPrefix& prefix) {
  ensure(prompt_done_ == given_ && sequence().tokens() == given_, "nothing has been computed");
  const auto ids = std::span(request().prompt).first(static_cast<size_t>(prefix.tokens));
  sequence().start_from(ids, prefix.fork());
  prompt_done_ = prefix.tokens;
  result_.cached_tokens = prefix.tokens;
}

void Running::cut_prompt_at(int64_t tokens) {
  const bool is_sooner = prompt_cut_ <= prompt_done_ || tokens < prompt_cut_;
  if (tokens > prompt_done_ && is_sooner) prompt_cut_ = tokens;
}

/// Which rows of its prompt's logits are wanted, but for the last one.
LogitRows Running::prompt_rows() const {
  return request().sampling.prompt_log_probabilities >= 0 ? LogitRows::all
                                                          : submission_.prompt_logits;
}

Running::Work Running::next(int64_t max_tokens) const {
  max_tokens = std::min(max_tokens, submission_.sequence->state().pass_limit());
  const std::span<const int32_t> missing = submission_.sequence->missing();
  if (!missing.empty()) return {.phase = Phase::replay, .ids = first_of(missing, max_tokens)};
  if (!next_tokens_.empty()) {
    return {.phase = Phase::decode,
            .ids = next_tokens_,
            .logits = LogitRows::all,
            .drafted = std::ssize(next_tokens_) - 1,
            .decoded = true};
  }
  if (prompt_cut_ > prompt_done_) max_tokens = std::min(max_tokens, prompt_cut_ - prompt_done_);
  const auto left =
      std::span(submission_.request.prompt).subspan(static_cast<size_t>(prompt_done_));
  Work work{.phase = Phase::prompt, .ids = first_of(left, max_tokens)};
  const bool is_last = work.ids.size() == left.size();
  // A single token is no prompt: so is decoding driven from outside. What a document holds ended
  // before: as after the turns of a session.
  const int64_t own_tokens = prompt_tokens() - given_;
  work.decoded = own_tokens == 1;
  if (is_last && !work.decoded) work.ended_prompt = own_tokens;
  const bool wants_last = submission_.prompt_logits == LogitRows::last ||
                          submission_.request.sampling.max_new_tokens > 0;
  if (wants_all_rows()) {
    work.logits = LogitRows::all;
  } else if (is_last && wants_last) {
    work.logits = LogitRows::last;
  }
  return work;
}

void Running::set_guesses(std::span<const int32_t> guesses) {
  if (next_tokens_.empty()) return;
  next_tokens_.erase(next_tokens_.begin() + 1, next_tokens_.end());
  next_tokens_.insert(next_tokens_.end(), guesses.begin(), guesses.end());
}

/// So many that none of them meets an end of its own: of the answer, the sequence or its RoPE.
int64_t Running::most_guesses(const Model& model) const {
  const SamplingParams& params = request().sampling;
  if (params.speculate == 0 || next_tokens_.empty() || !sequence().missing().empty()) return 0;
  const int64_t end = std::min(sequence().max_tokens(), model.length_border(sequence().length()));
  return std::min({params.speculate,
                   params.max_new_tokens - std::ssize(result_.ids) - 1,
                   end - sequence().tokens() - 1,
                   sequence().state().draft_limit()});
}

void Running::begin(const Work& work) {
  if (guide_ == nullptr || work.phase == Phase::replay) return;
  try {
    guide_->look_ahead(work.ids.last(static_cast<size_t>(work.drafted)));
  } catch (...) {
    failure_ = std::current_exception();  // the pass goes on: its sequence has a part
  }
}

void Running::advance(const Model& model,
                      const Work& work,
                      std::span<const float> rows,
                      const std::function<bool()>& is_unwanted) {
  try {
    if (failure_) std::rethrow_exception(failure_);
    if (work.phase == Phase::prompt) {
      advance_prompt(model, work, rows);
    } else if (work.phase == Phase::decode) {
      verify(model, work, rows, is_unwanted);
    } else {
      advance_replay(model, work);
    }
  } catch (const std::exception& error) {
    fail(model, error);
  }
}

void Running::advance_replay(const Model& model, const Work& work) {
  replayed_ += std::ssize(work.ids);
  report_progress();
  if (prompt_tokens() > 0 || !sequence().missing().empty()) return;
  finish(model, "length");  // it came to catch up, and has
}

void Running::advance_prompt(const Model& model, const Work& work, std::span<const float> rows) {
  const auto vocab = static_cast<size_t>(model.vocab());
  prompt_done_ += std::ssize(work.ids);
  hand_out(work, rows, vocab);
  report_progress();
  report_memory(model);
  if (is_done_ || prompt_done_ < prompt_tokens()) return;
  if (submission_.request.sampling.max_new_tokens == 0) {
    finish(model, "length");
  } else {
    answer(model, rows.last(vocab));
  }
}

/// The logits of prompt tokens to who asked for them, or for their probabilities.
void Running::hand_out(const Work& work, std::span<const float> rows, size_t vocab) {
  const auto count = static_cast<int64_t>(rows.size() / vocab);
  const std::vector<int32_t>& prompt = request().prompt;
  const int64_t alternatives = request().sampling.prompt_log_probabilities;
  for (int64_t i = 0; i < count; ++i) {
    const std::span<const float> row = rows.subspan(static_cast<size_t>(i) * vocab, vocab);
    const int64_t index = prompt_done_ - count + i;
    const bool is_wanted = submission_.prompt_logits == LogitRows::all ||
                           (submission_.prompt_logits == LogitRows::last && i + 1 == count);
    if (submission_.on_logits && is_wanted) submission_.on_logits(index, row);
    if (alternatives < 0 || work.logits != LogitRows::all || index + 1 == prompt_tokens()) continue;
    const int32_t next = prompt[static_cast<size_t>(index + 1)];
    result_.prompt_choices.push_back(choice_of(row, next, alternatives));
  }
}

void Running::report(const Event& event) const {
  if (submission_.request.sink) submission_.request.sink(event);
}

void Running::report_progress() const {
  const int64_t missing = std::ssize(submission_.sequence->missing());
  report(PromptProgress{.done = replayed_ + prompt_done_,
                        .total = replayed_ + missing + prompt_tokens()});
}

bool Running::is_overtaken_for(int64_t limit) {
  if (++overtaken_ != limit) return false;
  is_urgent_ = true;
  return true;
}

bool Running::preempt(SwapSpace& space, int64_t time) {
  preempted_at_ = time;
  // In the midst of a prompt some policies remember what is not part of the bytes.
  if (!is_in_prompt() && sequence().missing().empty()) {
    try {
      ByteWriter bytes;
      sequence().state().write(bytes);
      swapped_ = space.put(bytes.data());
    } catch (const std::exception&) {
      // It is computed again.
    }
  }
  sequence().release();
  speculation_.draft.reset();
  is_preempted_ = true;
  return swapped_ != nullptr;
}

void Running::resume(Model& model) {
  is_preempted_ = false;
  if (!swapped_) return;
  try {
    const std::string bytes = swapped_->read();
    ByteReader in(bytes, "swap space");
    sequence().restore(model.read_sequence(plan_, in, sequence().tokens()));
  } catch (const Error&) {
    // Lost, or no memory for all of it at once: it is computed again.
  }
  swapped_.reset();
}

void Running::add_time(const Work& work, double seconds, double attention_s) {
  const bool is_decode = work.phase == Phase::decode;
  for (Timings* timings : {&result_.timings, &sequence().timings()}) {
    (is_decode ? timings->decode_s : timings->prefill_s) += seconds;
    // Guesses count once they turned out right.
    (is_decode ? timings->decode_tokens : timings->prefill_tokens) +=
        std::ssize(work.ids) - work.drafted;
    timings->attention_s += attention_s;
  }
}

}  // namespace dms::engine
