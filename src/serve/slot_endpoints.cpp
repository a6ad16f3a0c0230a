#include "serve/slot_endpoints.h"

#include <charconv>
#include <chrono>
#include <utility>

#include "serve/fields.h"
#include "serve/kept_file.h"
#include "serve/responses.h"
#include "serve/routes.h"

namespace dms::serve {
namespace {

using Clock = std::chrono::steady_clock;

double ms_since(Clock::time_point begin) {
  return std::chrono::duration<double, std::milli>(Clock::now() - begin).count();
}

OutJson slot_json(int64_t id, const std::optional<Document>& held, const Workplace& place) {
  OutJson slot{{"id", id}, {"n_tokens", held ? held->tokens() : 0}};
  if (!held) return slot;
  slot["held_tokens"] = held->kv().held_tokens;
  slot["bytes"] = held->held_bytes();
  slot["policy"] = place.policy_of(held->cache());
  return slot;
}

}  // namespace

HttpResponse SlotEndpoints::list() const {
  OutJson all = OutJson::array();
  for (int64_t id = 0; id < slots_.count(); ++id) {
    all.push_back(slot_json(id, slots_.at(id), place_));
  }
  return json_response(all);
}

int64_t SlotEndpoints::slot_of(const std::string& id) const {
  int64_t slot = -1;
  const char* end = id.data() + id.size();
  const bool is_number = std::from_chars(id.data(), end, slot).ptr == end;
  if (is_number && slot >= 0 && slot < slots_.count()) return slot;
  throw ApiError(404,
                 "there is no such slot; they are 0 to " + std::to_string(slots_.count() - 1) +
                     ", see --slots",
                 "id_slot");
}

void SlotEndpoints::act(const std::shared_ptr<Exchange>& exchange, const std::string& id) {
  const std::string action = query_value(exchange->head().query, "action");
  const auto slot = attempt([&] {
    if (action != "save" && action != "restore" && action != "erase") {
      refuse_value("action", action, "save, restore or erase");
    }
    if (action != "erase" && settings_.folder.empty()) {
      throw ApiError(501, "start the server with --slot-save-path to save and restore slots");
    }
    return slot_of(id);
  });
  if (const auto* error = std::get_if<ApiError>(&slot)) return respond(*exchange, *error);
  const int64_t number = std::get<int64_t>(slot);
  if (action == "save") return save(exchange, number);
  action == "restore" ? restore(exchange, number) : erase(exchange, number);
}

/// Of {"filename": "name"}.
std::filesystem::path SlotEndpoints::file_of(const std::string& body, std::string& name) const {
  const OrderedJson json = parse_body(body, place_.model.facts.limits);
  const Fields fields(json, "");
  name = fields.text("filename").value_or("");
  return kept_file(settings_.folder, name, "filename");
}

void SlotEndpoints::save(const std::shared_ptr<Exchange>& exchange, int64_t slot) {
  const std::optional<Document> held = slots_.at(slot);
  if (!held) return respond(*exchange, ApiError(400, "the slot is empty", "id_slot"));
  ++working_;
  place_.to_files([this, exchange, slot, held = *held, body = exchange->take_body()]() mutable {
    const auto begin = Clock::now();
    const auto saved = attempt([&] {
      Saved done{.tokens = held.tokens()};
      const std::filesystem::path file = file_of(body, done.name);
      done.bytes = place_.write([&] { return held.save(file); });
      done.ms = ms_since(begin);
      return done;
    });
    place_.to_io([this, exchange = std::move(exchange), slot, saved] {
      --working_;
      if (const auto* error = std::get_if<ApiError>(&saved)) return respond(*exchange, *error);
      const auto& done = std::get<Saved>(saved);
      slots_.count_save();
      respond(*exchange,
              json_response({{"id_slot", slot},
                             {"filename", done.name},
                             {"n_saved", done.tokens},
                             {"n_written", done.bytes},
                             {"timings", {{"save_ms", done.ms}}}}));
    });
  });
}

Attempt<DocumentFile> SlotEndpoints::open(const std::string& body, std::string& name) const {
  return attempt([&] {
    const std::filesystem::path path = file_of(body, name);
    return place_.read(path, "filename");
  });
}

void SlotEndpoints::restore(const std::shared_ptr<Exchange>& exchange, int64_t slot) {
  ++working_;
  place_.to_files([this, exchange, slot, body = exchange->take_body()]() mutable {
    Saved restored{.ms = 0};
    const auto begin = Clock::now();
    const auto file = open(body, restored.name);
    restored.ms = ms_since(begin);
    place_.to_io([this, exchange = std::move(exchange), slot, restored, file] {
      --working_;
      if (const auto* error = std::get_if<ApiError>(&file)) return respond(*exchange, *error);
      load(exchange, slot, std::get<DocumentFile>(file), restored);
    });
  });
}

void SlotEndpoints::load(const std::shared_ptr<Exchange>& exchange,
                         int64_t slot,
                         const DocumentFile& file,
                         Saved restored) {
  loading_.insert(exchange);
  restored.tokens = std::ssize(file.ids());
  restored.bytes = file.bytes();
  place_.load(file,
              [this, exchange, slot, restored](const Attempt<Document>& loaded, double ms) mutable {
                if (loading_.erase(exchange) == 0) return;
                if (const auto* error = std::get_if<ApiError>(&loaded))
                  return respond(*exchange, *error);
                if (!slots_.keep(slot, std::get<Document>(loaded))) {
                  return respond(
                      *exchange,
                      ApiError(507, "no room for it in --slot-memory", {}, "insufficient_storage"));
                }
                slots_.count_restore();
                respond(*exchange,
                        json_response({{"id_slot", slot},
                                       {"filename", restored.name},
                                       {"n_restored", restored.tokens},
                                       {"n_read", restored.bytes},
                                       {"timings", {{"restore_ms", restored.ms + ms}}}}));
              });
}

void SlotEndpoints::fail_all(const std::string& why) {
  for (const auto& exchange : std::exchange(loading_, {})) respond(*exchange, ApiError(500, why));
}

void SlotEndpoints::erase(const std::shared_ptr<Exchange>& exchange, int64_t slot) {
  const std::optional<Document>& held = slots_.at(slot);
  const int64_t tokens = held ? held->tokens() : 0;
  slots_.erase(slot);
  respond(*exchange, json_response({{"id_slot", slot}, {"n_erased", tokens}}));
}

}  // namespace dms::serve
