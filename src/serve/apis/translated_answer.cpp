#include "serve/apis/translated_answer.h"

#include <utility>

namespace dms::serve {
namespace {

/// Empty where there is no such text.
std::string text_in(const OutJson& object, const char* key) {
  const auto found = object.find(key);
  return found != object.end() && found->is_string() ? found->get<std::string>() : "";
}

const OutJson& object_in(const OutJson& object, const char* key) {
  static const OutJson kNothing = OutJson::object();
  const auto found = object.find(key);
  return found != object.end() && found->is_object() ? *found : kNothing;
}

}  // namespace

int64_t count_in(const OutJson& usage, const char* key) {
  const auto found = usage.find(key);
  return found != usage.end() && found->is_number_integer() ? found->get<int64_t>() : 0;
}

int64_t count_in(const OutJson& usage, const char* object, const char* key) {
  return count_in(object_in(usage, object), key);
}

std::string TranslatedAnswer::chunk(const OutJson& chunk) {
  take(chunk);
  return std::exchange(events_, {});
}

std::string TranslatedAnswer::done() {
  finish();
  return std::exchange(events_, {});
}

std::string TranslatedAnswer::failure(const ApiError& error) {
  close_part(true);
  fail(error);
  return std::exchange(events_, {});
}

void TranslatedAnswer::gather(const OutJson& chunk) {
  is_streamed_ = false;
  take(chunk);
}

/// What it says was gathered. A message has its text and its calls apart, in no order.
OutJson TranslatedAnswer::whole(OutJson answer) {
  end_.usage = object_in(answer, "usage");
  finish();
  return this->answer();
}

void TranslatedAnswer::emit(const char* type, OutJson fields) {
  if (!is_streamed_) return;
  OutJson event{{"type", type}};
  event.update(fields);
  events_ += sse_event(type, event);
}

void TranslatedAnswer::take(const OutJson& chunk) {
  if (!std::exchange(has_begun_, true)) begin(chunk);
  const OutJson& usage = object_in(chunk, "usage");
  if (!usage.empty()) end_.usage = usage;
  const auto choices = chunk.find("choices");
  if (choices == chunk.end() || choices->empty()) return;
  const OutJson& choice = choices->front();
  take_delta(object_in(choice, "delta"));
  if (const std::string reason = text_in(choice, "finish_reason"); !reason.empty()) {
    end_.finish_reason = reason;
    end_.stop_text = text_in(choice, "stop_reason");
  }
}

void TranslatedAnswer::take_delta(const OutJson& delta) {
  add_text(AnswerPart::Kind::kReasoning, delta, "reasoning_content");
  add_text(AnswerPart::Kind::kText, delta, "content");
  const auto calls = delta.find("tool_calls");
  if (calls == delta.end() || !calls->is_array()) return;
  for (const OutJson& call : *calls) take_call(call);
}

void TranslatedAnswer::add_text(AnswerPart::Kind kind, const OutJson& delta, const char* key) {
  const std::string piece = text_in(delta, key);
  if (piece.empty()) return;
  if (!part_ || part_->kind != kind) open_part({.kind = kind});
  add(piece);
}

/// Its first piece says which function is called.
void TranslatedAnswer::take_call(const OutJson& call) {
  const int64_t index = count_in(call, "index");
  const OutJson& function = object_in(call, "function");
  const bool goes_on = part_ && part_->kind == AnswerPart::Kind::kCall && call_ == index;
  if (!goes_on) {
    open_part({.kind = AnswerPart::Kind::kCall,
               .id = text_in(call, "id"),
               .name = text_in(function, "name")});
    call_ = index;
  }
  if (const std::string piece = text_in(function, "arguments"); !piece.empty()) add(piece);
}

void TranslatedAnswer::open_part(AnswerPart part) {
  close_part(false);
  part.index = parts_++;
  part_ = std::move(part);
  open(*part_);
}

void TranslatedAnswer::add(const std::string& piece) {
  part_->text += piece;
  grow(*part_, piece);
}

void TranslatedAnswer::close_part(bool is_cut) {
  if (!part_) return;
  part_->is_cut = is_cut;
  close(*part_);
  part_.reset();
}

/// Clients look for a text even where there is none.
void TranslatedAnswer::finish() {
  if (parts_ == 0) open_part({.kind = AnswerPart::Kind::kText});
  close_part(end_.finish_reason == "length" || end_.finish_reason == "abort");
  end(end_);
}

}  // namespace dms::serve
