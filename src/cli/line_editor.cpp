#include "cli/line_editor.h"

#include <clocale>
#include <csignal>
#include <cstdio>
#include <cstring>
#include <string_view>

#include <histedit.h>
#include <langinfo.h>

#include "cli/output.h"
#include "dms/error.h"

namespace dms::cli {
namespace {

constexpr int kHistoryEntries = 1000;
// Bracketed paste: the terminal marks where a paste begins and ends. Those that cannot, ignore it.
constexpr const char* kPasteOn = "\x1b[?2004h";
constexpr const char* kPasteOff = "\x1b[?2004l";
constexpr std::wstring_view kPasteEnd = L"\x1b[201~";

/// libedit reads characters of the locale; outside of UTF-8 it would drop all but ASCII.
void use_utf8() {
  std::setlocale(LC_CTYPE, "");
  if (std::strcmp(nl_langinfo(CODESET), "UTF-8") != 0) std::setlocale(LC_CTYPE, "C.UTF-8");
}

/// What the keys' functions share with the editor.
struct Line {
  FILE* out = stdout_is_terminal() ? stdout : stderr;
  std::string prompt = {};
  std::string cleared = {};
  bool interrupted = false;

  void put(const char* text) const {
    std::fputs(text, out);
    std::fflush(out);
  }
};

Line& line_of(EditLine* editor) {
  void* line = nullptr;
  el_get(editor, EL_CLIENTDATA, &line);
  return *static_cast<Line*>(line);
}

char* prompt_of(EditLine* editor) { return line_of(editor).prompt.data(); }

/// Ends the line by a newline of its own, so that the cursor is left where libedit expects it.
unsigned char interrupt(EditLine* editor, int) {
  Line& line = line_of(editor);
  const LineInfo* info = el_line(editor);
  line.cleared.assign(info->buffer, info->lastchar);
  line.interrupted = true;
  el_cursor(editor, static_cast<int>(info->lastchar - info->cursor));
  el_insertstr(editor, "^C");
  el_push(editor, "\n");
  return CC_REFRESH;
}

unsigned char suspend(EditLine*, int) {
  kill(0, SIGTSTP);
  return CC_REDISPLAY;
}

/// Takes what is pasted as it is, line ends included.
unsigned char paste(EditLine* editor, int) {
  std::wstring text;
  wchar_t c = 0;
  while (!text.ends_with(kPasteEnd) && el_wgetc(editor, &c) == 1) text += c == L'\r' ? L'\n' : c;
  if (text.ends_with(kPasteEnd)) text.resize(text.size() - kPasteEnd.size());
  return el_winsertstr(editor, text.c_str()) == 0 ? CC_REFRESH : CC_ERROR;
}

}  // namespace

struct LineEditor::State {
  Line line = {};
  EditLine* editor = nullptr;
  History* history = nullptr;

  void add_key(const char* key,
               const char* name,
               const char* help,
               unsigned char (*run)(EditLine*, int)) const {
    el_set(editor, EL_ADDFN, name, help, run);
    el_set(editor, EL_BIND, key, name, nullptr);
  }
};

LineEditor::LineEditor() : state_(std::make_unique<State>()) {
  use_utf8();
  State& state = *state_;
  state.editor = el_init("dms", stdin, state.line.out, stderr);
  state.history = history_init();
  if (state.editor == nullptr || state.history == nullptr) {
    throw RunError({.where = "terminal", .what = "the line editor cannot be started"});
  }
  HistEvent event;
  history(state.history, &event, H_SETSIZE, kHistoryEntries);
  history(state.history, &event, H_SETUNIQUE, 1);
  el_set(state.editor, EL_CLIENTDATA, static_cast<void*>(&state.line));
  el_set(state.editor, EL_PROMPT, prompt_of);
  el_set(state.editor, EL_EDITOR, "emacs");
  el_set(state.editor, EL_SIGNAL, 1);
  el_set(state.editor, EL_HIST, history, state.history);
  el_set(state.editor, EL_BIND, "^R", "em-inc-search-prev", nullptr);
  el_source(state.editor, nullptr);  // the user's ~/.editrc
  el_set(state.editor, EL_SETTY, "-d", "-isig", nullptr);
  state.add_key("^C", "dms-interrupt", "Clear the line, or leave", interrupt);
  state.add_key("^Z", "dms-suspend", "Suspend the program", suspend);
  state.add_key("\x1b[200~", "dms-paste", "Insert what is pasted", paste);
}

LineEditor::~LineEditor() {
  if (state_->editor != nullptr) el_end(state_->editor);
  if (state_->history != nullptr) history_end(state_->history);
}

Reading LineEditor::read(const std::string& prompt) {
  State& state = *state_;
  state.line.prompt = prompt;
  state.line.interrupted = false;
  // Before the prompt is seen: libedit itself waits until it reads, and what is typed between would
  // be cut or, as Ctrl-C, end the program.
  el_set(state.editor, EL_PREP_TERM, 1);
  state.line.put(kPasteOn);
  int count = 0;
  const char* text = el_gets(state.editor, &count);
  state.line.put(kPasteOff);
  if (state.line.interrupted)
    return {.kind = Reading::Kind::kInterrupt, .text = state.line.cleared};
  if (text == nullptr || count <= 0) return {};
  std::string typed(text, static_cast<size_t>(count));
  if (typed.ends_with('\n')) typed.pop_back();
  return {.kind = Reading::Kind::kText, .text = std::move(typed)};
}

void LineEditor::remember(const std::string& text) {
  HistEvent event;
  history(state_->history, &event, H_ENTER, text.c_str());
}

}  // namespace dms::cli
