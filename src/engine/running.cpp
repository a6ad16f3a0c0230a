#include "engine/running.h"

#include <algorithm>
#include <array>
#include <exception>
#include <utility>

#include "base/bytes.h"
#include "base/check.h"
#include "engine/log_probabilities.h"

namespace dms::engine {
namespace {

bool contains(std::span<const int32_t> ids, int32_t id) {
  return std::ranges::find(ids, id) != ids.end();
}

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
      result_.cached_tokens = given_;
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
  sequence().begin_prompt(prompt_tokens());
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

/// The prompt is computed: its answers begin, each with a sequence of its own.
void Running::answer(const Model& model, std::span<const float> logits) {
  for (int64_t i = 1; i < answers_; ++i) {
    branches_.push_back(std::unique_ptr<Running>(new Running(*this, i)));
  }
  answers_ = 1;
  sample(model, logits);
  for (const auto& branch : branches_) {
    try {
      branch->sample(model, logits);
    } catch (const std::exception& error) {
      branch->fail(model, error);
    }
  }
}

void Running::sample(const Model& model, std::span<const float> logits) {
  std::vector<float> row(logits.begin(), logits.end());
  const int64_t alternatives = submission_.request.sampling.log_probabilities;
  if (guide_ && !guide_->exclude(row)) {
    finish(model, "stop");
    return;
  }
  const int32_t token = sampler_.sample(row);
  accept(model,
         alternatives < 0 ? TokenChoice{.chosen = {.id = token}}
                          : choice_of(logits, token, alternatives));
}

/// Every token is sampled from its own logits, guessed or not: a guess is right where it is what
/// was sampled, and the text is the one that it would be without guesses.
void Running::verify(const Model& model,
                     const Work& work,
                     std::span<const float> rows,
                     const std::function<bool()>& is_unwanted) {
  const auto vocab = static_cast<size_t>(model.vocab());
  const std::vector<int32_t> ids(work.ids.begin(), work.ids.end());
  result_.drafted_tokens += work.drafted;
  int64_t right = 0;
  for (;; ++right) {
    unverified_ = work.drafted - right;
    sample(model, rows.subspan(static_cast<size_t>(right) * vocab, vocab));
    if (is_done_ || unverified_ == 0) break;
    if (next_tokens_.front() != ids[static_cast<size_t>(right + 1)] || is_unwanted()) break;
    ++result_.accepted_tokens;
    ++result_.timings.decode_tokens;
    ++sequence().timings().decode_tokens;
  }
  take_back_guesses();
  if (work.drafted > 0) speculation_.learn(work.drafted, right);
  const int64_t unreported = std::ssize(result_.ids) - reported_ids_;
  if (!is_done_ && unreported >= request().report_tokens) report_memory(model);
}

/// Those that turned out wrong, or that nobody wants any more.
void Running::take_back_guesses() {
  if (unverified_ == 0) return;
  sequence().truncate(sequence().tokens() - std::exchange(unverified_, 0));
}

void Running::accept(const Model& model, TokenChoice choice) {
  const SamplingParams& params = submission_.request.sampling;
  const int32_t token = choice.chosen.id;
  sampler_.accept(token);
  if (guide_) guide_->accept(token);
  result_.ids.push_back(token);
  next_tokens_.assign(1, token);
  TokenEvent event{.answer = answer_, .id = token, .text = {}, .choice = choice};
  if (params.log_probabilities >= 0) result_.choices.push_back(std::move(choice));
  bool stopped = contains(params.stop_ids, token) ||
                 (!params.ignore_eos && contains(vocabulary_.eos_ids, token));
  if (!stopped) event.text = text_of(token, stopped);
  result_.text += event.text;
  report(event);
  const bool is_full = sequence().tokens() - unverified_ >= sequence().max_tokens();
  if (stopped) {
    finish(model, "stop");
  } else if (std::ssize(result_.ids) >= params.max_new_tokens || is_full) {
    finish(model, "length");
  }
}

std::string Running::text_of(int32_t token, bool& stopped) {
  if (!decoder_) return {};
  StopMatcher::Result matched = stops_.push(decoder_->push(token));
  // A special token is no part of the text, but a stop text may be, or hold, its spelling.
  const text::Tokenizer& tokenizer = *vocabulary_.tokenizer;
  if (!matched.stopped && tokenizer.is_special(token)) {
    const StopMatcher::Result hidden = stops_.push_hidden(*tokenizer.token_text(token));
    matched.emit += hidden.emit;
    matched.stopped = hidden.stopped;
  }
  stopped = matched.stopped;
  return std::move(matched.emit);
}

void Running::report(const Event& event) const {
  if (submission_.request.sink) submission_.request.sink(event);
}

void Running::report_progress() const {
  const int64_t missing = std::ssize(submission_.sequence->missing());
  report(PromptProgress{.done = replayed_ + prompt_done_,
                        .total = replayed_ + missing + prompt_tokens()});
}

std::optional<MemoryEvent> Running::memory_event(const Model& model) const {
  if (request().report_tokens == 0 || !request().sink || !is_active()) return std::nullopt;
  const SequenceState& state = sequence().state();
  const std::array<const SequenceState*, 1> states{&state};
  // Those of a preempted one are in no cache.
  const auto ids = first_of(sequence().ids(), state.tokens());
  return MemoryEvent{.answer = answer_,
                     .report = {.ids = {ids.begin(), ids.end()},
                                .held_heads = state.held_heads(),
                                .held_bytes = state.held_bytes(),
                                .kv = model.usage(states)}};
}

void Running::report_memory(const Model& model) {
  reported_ids_ = std::ssize(result_.ids);
  if (auto event = memory_event(model)) report(std::move(*event));
}

/// Whatever fails before the end, the end is still to be told.
void Running::note_failure(const std::function<void()>& call) {
  try {
    call();
  } catch (const std::exception& error) {
    result_.finish_reason = "error";
    if (result_.error.empty()) result_.error = error.what();
  }
}

/// Of each answer that it stands for.
void Running::report_last_memory(const Model& model) {
  auto event = memory_event(model);
  for (int64_t i = 0; event && i < answers_; ++i, ++event->answer) report(*event);
}

void Running::finish(const Model& model, const char* reason) {
  if (is_done_) return;
  is_done_ = true;
  FinishedEvent event{.answer = answer_, .text = {}, .result = {}};
  if (decoder_) {
    event.text = stops_.push(decoder_->finish()).emit;
    event.text += stops_.finish();
  }
  result_.text += event.text;
  result_.finish_reason = reason;
  if (is_active()) {
    note_failure([&] { take_back_guesses(); });
    note_failure([&] { report_last_memory(model); });
    keep_document();
    note_failure([&] {
      const std::array<const SequenceState*, 1> states{&sequence().state()};
      result_.kv = model.usage(states);
    });
    sequence().is_busy = false;
    // Of an error the memory is wanted at once.
    const bool is_whole = sequence().missing().empty() && result_.error.empty();
    if (is_owned() && is_whole) finished_sequence_ = submission_.sequence;
    submission_.sequence.reset();
  }
  swapped_.reset();
  event.result = result_;
  for (int64_t i = 0; i < answers_; ++i, ++event.answer) report(event);
}

/// In the midst of a prompt some policies remember what no file holds. Whatever fails here, the end
/// is still to be told.
void Running::keep_document() {
  const bool is_whole = sequence().missing().empty() && result_.error.empty();
  if (!submission_.keep || answer_ != 0 || is_in_prompt() || !is_whole) return;
  try {
    result_.document = submission_.keep(sequence().fork());
  } catch (const std::exception&) {
    // It is then as if nobody had asked.
  }
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

void Running::end(const Model& model, const char* reason) {
  try {
    finish(model, reason);
  } catch (const std::exception&) {
    // Its sink failed at the last event: there is nobody left to tell.
    ensure(is_done_, "a request ends once");
  }
}

void Running::fail(const Model& model, const std::exception& why) {
  if (is_done_) return;
  result_.error = why.what();
  result_.is_short_of_memory = dynamic_cast<const MemoryShortage*>(&why) != nullptr;
  end(model, "error");
}

void Running::fail(const Model& model, const std::exception_ptr& why) {
  try {
    std::rethrow_exception(why);
  } catch (const std::exception& error) {
    fail(model, error);
  } catch (...) {  // a caller's function may throw anything
    fail(model, std::runtime_error("an exception of an unknown kind"));
  }
}

void Running::fail_pass(const Model& model, const std::exception_ptr& why) {
  try {
    sequence().release();
  } catch (const std::exception&) {
    // Why the pass failed is told.
  }
  fail(model, why);
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
