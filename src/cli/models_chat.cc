// `genflow models chat`: talks with a model, and with its tuned self beside it.
#include <unistd.h>

#include <CLI/CLI.hpp>
#include <array>
#include <cerrno>
#include <csignal>
#include <cstdio>
#include <memory>
#include <optional>
#include <thread>

#include "base/strings.h"
#include "cli/chat_columns.h"
#include "cli/commands.h"
#include "cli/errors.h"
#include "cli/json_output.h"
#include "cli/model_names.h"
#include "cli/pipeline_options.h"
#include "cli/session.h"
#include "cli/terminal.h"

namespace genflow::cli {

namespace {

using nlohmann::json;

struct Options {
  std::string model, adapter, store, prompt, system, device = "auto", dtype = "auto";
  double temperature = 0, top_p = 1;
  int64_t top_k = 0, max_tokens = 512;
  uint64_t seed = 0;
  int threads = 0;
  bool json = false;
};

volatile std::sig_atomic_t g_interrupts = 0;

// Lines of standard input. Ctrl-C gives up the line.
class Input {
 public:
  enum class Kind { kLine, kEnd, kInterrupted };
  Kind Read(std::string* line) {
    while (true) {
      if (const size_t end = pending_.find('\n'); end != std::string::npos) {
        *line = pending_.substr(0, end);
        pending_.erase(0, end + 1);
        return Kind::kLine;
      }
      char buffer[4096];
      const ssize_t n = ::read(STDIN_FILENO, buffer, sizeof buffer);
      if (n < 0 && errno == EINTR) {
        if (g_interrupts > 0) return Kind::kInterrupted;
        continue;
      }
      if (n <= 0) {
        *line = std::exchange(pending_, "");
        return line->empty() ? Kind::kEnd : Kind::kLine;
      }
      pending_.append(buffer, static_cast<size_t>(n));
    }
  }

 private:
  std::string pending_;
};

// How an answer, or two, get to standard output as they come.
class Show {
 public:
  Show(bool two, bool json, TerminalTraits traits) : two_(two), quiet_(json), traits_(traits) {
    const TerminalSize size = SizeOfTerminal(STDOUT_FILENO);
    const auto cells = static_cast<size_t>(std::max(1, size.columns));
    if (two && !json && traits.interactive && ChatColumns::Fits(cells)) {
      columns_.emplace(std::array<std::string, 2>{Head("base"), Head("tuned")}, cells,
                       static_cast<size_t>(std::max(1, size.rows)), traits.unicode);
    }
  }

  void Begin() {
    if (!quiet_ && two_ && !columns_) Write(Head("base") + "\n");
    if (columns_) Write(columns_->Draw());
  }
  void Text(bool tuned, std::string_view text) {
    if (quiet_) return;
    if (columns_) {
      columns_->Add(tuned ? 1 : 0, text);
      Write(columns_->Draw());
    } else if (!tuned) {
      Write(Clean(text));
    } else {
      waiting_ += text;
      // Once the base has had its word, the tuned model's comes as it is.
      if (base_ended_) Write(Clean(std::exchange(waiting_, "")));
    }
  }
  // The one answer is whole; `figures` is shown where a person looks.
  void End(bool tuned, const std::string& figures) {
    if (quiet_) return;
    if (columns_) {
      columns_->Add(tuned ? 1 : 0, "\n" + figures);
      columns_->End(tuned ? 1 : 0);
      Write(columns_->Draw());
      return;
    }
    if (tuned && !base_ended_) {
      tuned_figures_ = figures;
      return;
    }
    Close(figures);
    if (tuned || !two_) return;
    base_ended_ = true;
    Write(Head("tuned") + "\n" + Clean(std::exchange(waiting_, "")));
    if (tuned_figures_) Close(*tuned_figures_);
  }

 private:
  std::string Head(const char* name) const {
    return traits_.interactive ? Styled(name, Style::kBold, traits_.color) : std::string(name) + ":";
  }
  // What goes to a file or a program is as the model said it.
  std::string Clean(std::string_view text) const {
    return traits_.interactive ? Harmless(text) : std::string(text);
  }
  void Close(const std::string& figures) {
    Write("\n");
    if (traits_.interactive) Write(Styled(figures, Style::kDim, traits_.color) + "\n");
  }
  static void Write(const std::string& text) {
    std::fputs(text.c_str(), stdout);
    std::fflush(stdout);
  }

  bool two_, quiet_, base_ended_ = false;
  TerminalTraits traits_;
  std::optional<ChatColumns> columns_;
  std::string waiting_;
  std::optional<std::string> tuned_figures_;
};

std::string Figures(const json& answer) {
  const double seconds = answer.value("seconds", 0.0);
  const auto tokens = answer.value("tokens", int64_t{0});
  std::string text = Counted(static_cast<uint64_t>(tokens), "token") + ", ";
  if (seconds > 0) text += WithCommas(static_cast<int64_t>(static_cast<double>(tokens) / seconds)) + "/s, ";
  const std::string finish = answer.value("finish", "");
  return text + (finish == "length" ? "cut short" : finish);
}

class Conversation {
 public:
  Conversation(const Options& options, Session session, bool two)
      : options_(options), session_(std::move(session)), two_(two), traits_(DetectTerminal(STDOUT_FILENO)) {
    SetSystem(options.system);
  }

  void SetSystem(const std::string& text) {
    system_ = text;
    Reset();
  }
  void Reset() {
    for (auto& messages : messages_) {
      messages = json::array();
      if (!system_.empty()) messages.push_back({{"role", "system"}, {"content", system_}});
    }
  }
  const std::string& system() const { return system_; }

  // One turn. An error of an answer leaves the conversation as it was before.
  Status Say(const std::string& text) {
    const auto before = messages_;
    for (auto& messages : messages_) messages.push_back({{"role", "user"}, {"content", text}});
    Show show(two_, options_.json, traits_);
    g_interrupts = 0;
    GF_CHECK_OK(session_.Ask({{"do", "answer"},
                              {"messages", messages_[0]},
                              {"messages_tuned", messages_[1]},
                              {"temperature", options_.temperature},
                              {"top_p", options_.top_p},
                              {"top_k", options_.top_k},
                              {"max_new_tokens", options_.max_tokens},
                              {"seed", options_.seed}}));
    show.Begin();
    json out = {{"prompt", text}};
    Status failed;
    bool told = false;
    while (true) {
      auto line = session_.Next([&] { return g_interrupts > (told ? 1 : 0); });
      if (!line.ok() && line.error().code == Code::kInterrupted && !told) {
        told = true;  // the answers end with what they have
        session_.Stop();
        continue;
      }
      if (!line.ok()) {
        if (line.error().code == Code::kInterrupted) session_.Kill();  // it does not listen
        return line.error();
      }
      const std::string t = (*line)["t"];
      const bool tuned = line->value("tuned", false);
      if (t == "done") break;
      if (t == "text") show.Text(tuned, line->value("text", ""));
      if (t == "answer") {
        show.End(tuned, Figures(*line));
        messages_[tuned ? 1 : 0].push_back({{"role", "assistant"}, {"content", line->value("text", "")}});
        line->erase("t");
        line->erase("tuned");
        out[tuned ? "tuned" : "base"] = std::move(*line);
      }
      if (t == "error") {
        show.End(tuned, "no answer");
        failed = SaidError(*line);
      }
    }
    if (!failed.ok()) {
      messages_ = before;
      return failed;
    }
    if (options_.json) {
      std::printf("%s\n", Dump(out).c_str());
      std::fflush(stdout);
    }
    return Ok();
  }

 private:
  const Options& options_;
  Session session_;
  bool two_;
  TerminalTraits traits_;
  std::string system_;
  std::array<json, 2> messages_;  // of the base, and of the tuned model
};

// Until the model is there; how far it is goes to a terminal alone.
Status Load(const Options& options, const std::string& model, const std::string& adapter, Session& session) {
  const bool shown = DetectTerminal(STDERR_FILENO).interactive && !options.json;
  const int cores = static_cast<int>(std::max(1u, std::thread::hardware_concurrency()));
  GF_CHECK_OK(session.Ask({{"do", "load"},
                           {"model", model},
                           {"adapter", adapter},
                           {"device", options.device},
                           {"dtype", options.dtype},
                           {"threads", options.threads > 0 ? options.threads : cores}}));
  while (true) {
    GF_TRY(const auto line, session.Next([] { return g_interrupts > 0; }));
    if (shown) std::fputs("\r\x1b[K", stderr);
    if (line["t"] == "error") return SaidError(line);
    if (line["t"] == "loaded") {
      if (const std::string note = line.value("note", ""); !note.empty())
        std::fprintf(stderr, "notice: %s\n", note.c_str());
      return Ok();
    }
    if (shown) {
      std::fprintf(stderr, "loading %d%%",
                   static_cast<int>(100 * line.value("done", int64_t{0}) /
                                    std::max<int64_t>(1, line.value("total", int64_t{1}))));
    }
  }
}

// Commands that begin with a slash. False: it is the end.
bool Command(const std::string& line, Conversation& conversation) {
  const size_t blank = line.find(' ');
  const std::string name = line.substr(0, blank);
  const std::string rest(Trim(blank == std::string::npos ? "" : line.substr(blank)));
  if (name == "/quit" || name == "/exit") return false;
  if (name == "/reset") {
    conversation.Reset();
    std::fputs("the conversation begins anew\n", stderr);
  } else if (name == "/system" && !rest.empty()) {
    conversation.SetSystem(rest);
    std::fputs("the conversation begins anew with that system message\n", stderr);
  } else if (name == "/system") {
    std::fprintf(stderr, "%s\n",
                 conversation.system().empty() ? "there is no system message"
                                               : Harmless(conversation.system()).c_str());
  } else {
    const std::vector<std::string> known = {"/reset", "/system", "/quit"};
    const auto near = NearestName(name, known);
    if (name != "/help") {
      std::fprintf(stderr, "unknown command '%s'%s\n", Harmless(name).c_str(),
                   near ? (": did you mean '" + *near + "'?").c_str() : "");
    }
    std::fputs(
        "/reset begins anew, /system TEXT does so with a system message, /quit or Ctrl-D ends; Ctrl-C stops "
        "an "
        "answer; a line that begins with // is said with one /\n",
        stderr);
  }
  return true;
}

int Talk(const Options& options, Conversation& conversation) {
  const bool person = ::isatty(STDIN_FILENO) != 0 && DetectTerminal(STDERR_FILENO).interactive;
  const TerminalTraits traits = DetectTerminal(STDERR_FILENO);
  if (person && !options.json) std::fputs("/help says what can be done\n", stderr);
  Input input;
  while (true) {
    if (person) std::fputs((Styled(">", Style::kCyan, traits.color) + " ").c_str(), stderr);
    std::string line;
    g_interrupts = 0;
    const auto kind = input.Read(&line);
    if (kind == Input::Kind::kEnd) {
      if (person) std::fputs("\n", stderr);
      return kExitOk;
    }
    if (kind == Input::Kind::kInterrupted) {
      if (!person) return 128 + SIGINT;
      std::fputs("\n/quit or Ctrl-D ends\n", stderr);
      continue;
    }
    std::string text(Trim(line));
    if (text.empty()) continue;
    if (text.starts_with("//")) {
      text.erase(0, 1);
    } else if (text.starts_with('/')) {
      if (!Command(text, conversation)) return kExitOk;
      continue;
    }
    if (const auto said = conversation.Say(text); !said.ok()) {
      if (said.error().code == Code::kInterrupted) return 128 + SIGINT;
      const int code = Report(said.error());
      // Only a message that is too long leaves a model to talk to.
      if (said.error().code != Code::kInvalid || !person) return code;
    }
  }
}

int Chat(const Options& options) {
  const auto model = ModelPath(options.model, options.store, "model");
  if (!model.ok()) return Report(model.error());
  std::string adapter;
  if (!options.adapter.empty()) {
    const auto found = ModelPath(options.adapter, options.store, "adapter");
    if (!found.ok()) return Report(found.error());
    adapter = found->string();
  }
  struct sigaction interrupt {};
  interrupt.sa_handler = [](int) { g_interrupts = g_interrupts + 1; };
  ::sigaction(SIGINT, &interrupt, nullptr);  // without SA_RESTART: a line that is being typed is given up
  auto session = Session::Start();
  if (!session.ok()) return Report(session.error());
  if (const auto loaded = Load(options, model->string(), adapter, *session); !loaded.ok()) {
    return loaded.error().code == Code::kInterrupted ? 128 + SIGINT : Report(loaded.error());
  }
  Conversation conversation(options, *std::move(session), !adapter.empty());
  if (options.prompt.empty()) return Talk(options, conversation);
  const auto said = conversation.Say(options.prompt);
  if (said.ok()) return kExitOk;
  return said.error().code == Code::kInterrupted ? 128 + SIGINT : Report(said.error());
}

}  // namespace

void AddModelsChatCommand(CLI::App& models, Action& action) {
  CLI::App* chat = models.add_subcommand("chat", "Talk with a model, and with its tuned self beside it");
  auto options = std::make_shared<Options>();
  chat->add_option("MODEL", options->model, "A Hugging Face folder, a GGUF file, or a registered model")
      ->required();
  chat->add_option("--adapter", options->adapter, "A PEFT adapter of it, or a registered one: both answer");
  chat->add_option("--prompt", options->prompt, "Say this, show the answer, and end")->type_name("TEXT");
  chat->add_option("--system", options->system, "A system message")->type_name("TEXT");
  chat->add_option("--temperature", options->temperature, "0 takes the most probable token")
      ->check(CLI::Range(0.0, 100.0))
      ->capture_default_str();
  chat->add_option("--top-p", options->top_p, "Draw from the tokens that make up this probability")
      ->check(CLI::Range(0.0, 1.0))
      ->capture_default_str();
  chat->add_option("--top-k", options->top_k, "Draw from this many tokens; 0 is off")
      ->check(NotNegative())
      ->capture_default_str();
  chat->add_option("--max-tokens", options->max_tokens, "Tokens of an answer")
      ->check(AtLeastOne())
      ->capture_default_str();
  chat->add_option("--seed", options->seed, "Decides what is drawn")->capture_default_str();
  chat->add_option("--device", options->device, "auto, cpu, cuda or cuda:N")->capture_default_str();
  chat->add_option("--dtype", options->dtype, "auto, fp32 or bf16")
      ->check(CLI::IsMember({"auto", "fp32", "bf16"}))
      ->capture_default_str();
  chat->add_option("--threads", options->threads, "CPU threads (default: all)")->check(AtLeastOne());
  AddStoreOption(*chat, options->store);
  chat->add_flag("--json", options->json, "A JSON object for each answer, a line each, on stdout");
  chat->footer(
      "Lines of standard input are said one after the other. /reset, /system TEXT\n"
      "and /quit are commands; Ctrl-C stops an answer.\n\n"
      "Examples:\n  genflow models chat models/smollm2-135m-instruct.gguf --adapter out/adapter\n"
      "  genflow models chat helper@production --prompt 'What does tar do?'");
  chat->callback([&action, options] { action = [options] { return Chat(*options); }; });
}

}  // namespace genflow::cli
