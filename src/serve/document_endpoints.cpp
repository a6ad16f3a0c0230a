#include "serve/document_endpoints.h"

#include <algorithm>
#include <chrono>
#include <system_error>
#include <utility>

#include "serve/responses.h"

namespace dms::serve {
namespace {

ApiError no_such_document() {
  return {404, "there is no document of this name", "name", "document_not_found"};
}

int64_t seconds_now() {
  const auto now = std::chrono::system_clock::now().time_since_epoch();
  return std::chrono::duration_cast<std::chrono::seconds>(now).count();
}

/// What is known of a document that was just made.
DocumentEntry entry_of(std::string name, const DocumentRequest& request, const Document& document) {
  return {.name = std::move(name),
          .messages = request.note.messages,
          .note = write_note(request.note),
          .created = request.note.created,
          .ids = {document.ids().begin(), document.ids().end()},
          .cache = document.cache(),
          .dense_tokens = document.kv().dense_tokens,
          .held_tokens = document.kv().held_tokens,
          .held_bytes = document.held_bytes()};
}

}  // namespace

HttpResponse DocumentEndpoints::list() const {
  OutJson data = OutJson::array();
  for (const auto& [entry, is_in_memory] : documents_.list()) {
    data.push_back(json_of(*entry, is_in_memory));
  }
  return json_response({{"object", "list"}, {"data", std::move(data)}});
}

HttpResponse DocumentEndpoints::get(const std::string& name) const {
  for (const auto& [entry, is_in_memory] : documents_.list()) {
    if (entry->name == name) return json_response(json_of(*entry, is_in_memory));
  }
  return error_response(no_such_document());
}

OutJson DocumentEndpoints::json_of(const DocumentEntry& entry, bool is_in_memory) const {
  OutJson json = document_json(entry, is_in_memory);
  json["policy"] = place_.policy_of(entry.cache);
  return json;
}

Planner DocumentEndpoints::planner() const {
  return {.check = [&engine = place_.engine](
                       const CacheOptions& cache) { return engine.llm().check(cache); },
          .documents = documents_};
}

void DocumentEndpoints::put(const std::shared_ptr<Exchange>& exchange, const std::string& name) {
  const auto free = attempt([&] {
    documents_.file_of(name);
    documents_.require_place(name);
    return true;
  });
  if (const auto* error = std::get_if<ApiError>(&free)) return respond(*exchange, *error);
  ++working_;
  const bool is_text = exchange->head().content_type.starts_with("text/plain");
  const auto arrival = std::chrono::steady_clock::now();
  place_.to_worker(
      [this, exchange, name, is_text, arrival, body = exchange->take_body()]() mutable {
        const auto request = std::make_shared<Attempt<DocumentRequest>>(
            attempt([&] { return read_document(body, is_text, place_.model, planner()); }));
        place_.to_io([this, exchange = std::move(exchange), name, arrival, request] {
          --working_;
          if (exchange->is_closed()) return;
          if (const auto* error = std::get_if<ApiError>(&*request))
            return respond(*exchange, *error);
          compute(std::make_shared<Put>(Put{.exchange = exchange,
                                            .name = name,
                                            .request = std::move(std::get<0>(*request)),
                                            .arrival = arrival}));
        });
      });
}

void DocumentEndpoints::compute(const PutPointer& put) {
  if (const auto fault = place_.engine_fault()) return respond(*put->exchange, *fault);
  const std::weak_ptr<Put> weak = put;
  put->mailbox = std::make_shared<Mailbox>(place_.to_io, [this, weak] {
    if (const auto alive = weak.lock()) take_mail(alive);
  });
  Request asked{.prompt = put->request.ids,
                .sampling = {.max_new_tokens = 0},
                .cache = put->request.cache,
                .keeps_document = true,
                .sink = put->mailbox->sink(0)};
  if (timeout_.count() > 0) asked.deadline = put->arrival + timeout_;
  const auto id = attempt([&] { return place_.engine.llm().submit(std::move(asked)); });
  if (const auto* error = std::get_if<ApiError>(&id)) return respond(*put->exchange, *error);
  put->id = std::get<RequestId>(id);
  puts_.insert(put);
  put->exchange->on_closed([this, put_id = put->id] { place_.engine.llm().cancel(put_id); });
}

void DocumentEndpoints::take_mail(const PutPointer& put) {
  for (const Mail& mail : put->mailbox->take()) {
    if (const auto* end = std::get_if<FinishedEvent>(&mail.event)) finish(put, end->result);
  }
}

void DocumentEndpoints::finish(const PutPointer& put, const Generation& result) {
  puts_.erase(put);
  put->mailbox->close();
  put->exchange->on_closed({});
  put->exchange->count_tokens(result.prompt_tokens, 0);
  if (result.finish_reason == "cancelled") {
    return respond(*put->exchange, ApiError(503, "the server is shutting down"));
  }
  if (result.finish_reason == "deadline") {
    return respond(*put->exchange,
                   ApiError(503, "the document's time was up before it was computed"));
  }
  const auto kept = attempt([&] {
    if (!result.document) throw place_.error_of(result);
    documents_.reserve(put->name, result.document->held_bytes());
    return *result.document;
  });
  if (const auto* error = std::get_if<ApiError>(&kept)) return respond(*put->exchange, *error);
  const Document& document = std::get<Document>(kept);
  put->request.note.created = seconds_now();
  DocumentEntry entry = entry_of(put->name, put->request, document);
  documents_.has_folder() ? save(put, std::move(entry), document)
                          : add(put, std::move(entry), document);
}

void DocumentEndpoints::save(const PutPointer& put, DocumentEntry entry, Document document) {
  ++working_;
  place_.to_files([this, put, entry = std::move(entry), document = std::move(document)]() mutable {
    const auto bytes = attempt([&] {
      const std::filesystem::path file = documents_.file_of(entry.name);
      return place_.write([&] { return document.save(file, entry.note); });
    });
    place_.to_io([this,
                  put = std::move(put),
                  entry = std::move(entry),
                  document = std::move(document),
                  bytes]() mutable {
      --working_;
      if (const auto* error = std::get_if<ApiError>(&bytes)) {
        documents_.give_up(entry.name, entry.held_bytes);
        return respond(*put->exchange, *error);
      }
      entry.file_bytes = std::get<int64_t>(bytes);
      add(put, std::move(entry), std::move(document));
    });
  });
}

void DocumentEndpoints::add(const PutPointer& put, DocumentEntry entry, Document document) {
  const OutJson json = json_of(entry, true);
  const bool is_new =
      !documents_.put(std::make_shared<const DocumentEntry>(std::move(entry)), std::move(document));
  respond(*put->exchange, json_response(json, is_new ? 201 : 200));
}

/// Files are written and removed in the order in which it was asked for.
void DocumentEndpoints::erase(const std::shared_ptr<Exchange>& exchange, const std::string& name) {
  if (!documents_.find(name)) return respond(*exchange, no_such_document());
  ++working_;
  place_.to_files([this, exchange, name]() mutable {
    const auto removed = attempt([&] {
      const std::filesystem::path file = documents_.file_of(name);
      std::error_code error;
      const bool was_there = documents_.has_folder() && std::filesystem::remove(file, error);
      if (error) throw ApiError(500, "its file cannot be removed: " + error.message());
      return was_there;
    });
    place_.to_io([this, exchange = std::move(exchange), name, removed] {
      --working_;
      if (const auto* error = std::get_if<ApiError>(&removed)) return respond(*exchange, *error);
      const bool is_erased = documents_.erase(name) || std::get<bool>(removed);
      if (!is_erased) return respond(*exchange, no_such_document());
      respond(
          *exchange,
          json_response({{"name", name}, {"object", "dms.document.deleted"}, {"deleted", true}}));
    });
  });
}

void DocumentEndpoints::with_cache(const EntryPointer& entry, Then then) {
  if (const auto document = documents_.use(*entry)) return then(*document);
  std::vector<Then>& waiting = waiting_[entry];
  waiting.push_back(std::move(then));
  if (waiting.size() == 1) read(entry);
}

/// One thread reads and checks the file, the engine's thread makes a cache of it.
void DocumentEndpoints::read(const EntryPointer& entry) {
  if (entry->file_bytes == 0) {
    return take_cache(entry, ApiError(404, "dms.document: it was deleted meanwhile"));
  }
  const auto room = attempt([&] {
    documents_.make_room(entry->held_bytes, entry->name);
    return true;
  });
  if (const auto* error = std::get_if<ApiError>(&room)) return take_cache(entry, *error);
  place_.to_files([this, entry] {
    const auto file = attempt([&] {
      DocumentFile found = place_.read(documents_.file_of(entry->name), "dms.document");
      if (!std::ranges::equal(found.ids(), entry->ids) || found.cache() != entry->cache) {
        throw ApiError(409, "dms.document: its file has become another's");
      }
      return found;
    });
    place_.to_io([this, entry, file] {
      if (const auto* error = std::get_if<ApiError>(&file)) return take_cache(entry, *error);
      place_.load(std::get<DocumentFile>(file),
                  [this, entry](const auto& loaded, double) { take_cache(entry, loaded); });
    });
  });
}

void DocumentEndpoints::take_cache(const EntryPointer& entry, const Attempt<Document>& cache) {
  const auto waiting = waiting_.extract(entry);
  if (const auto* document = std::get_if<Document>(&cache)) {
    documents_.hold(entry, *document);
  } else if (const int status = std::get<ApiError>(cache).status();
             (status == 400 || status == 404) && documents_.find(entry->name) == entry) {
    documents_.erase(entry->name);  // damaged, and its file stays for who runs the server; or gone
  }
  if (waiting.empty()) return;
  for (const Then& then : waiting.mapped()) then(cache);
}

size_t DocumentEndpoints::active() const {
  size_t waiting = 0;
  for (const auto& [entry, calls] : waiting_) waiting += calls.size();
  return working_ + puts_.size() + waiting;
}

void DocumentEndpoints::cancel_all() {
  for (const PutPointer& put : puts_) place_.engine.llm().cancel(put->id);
}

void DocumentEndpoints::fail_all(const std::string& why) {
  for (const PutPointer& put : std::exchange(puts_, {})) {
    put->mailbox->close();
    put->exchange->on_closed({});
    respond(*put->exchange, ApiError(500, why));
  }
  for (const auto& [entry, waiting] : std::exchange(waiting_, {})) {
    for (const Then& then : waiting) then(ApiError(500, why));
  }
}

}  // namespace dms::serve
