// `genflow-session`: holds models on behalf of `genflow`, which links no libtorch. Requests come on standard
// input, a JSON object a line, and so go the answers to standard output; what libraries print goes to
// standard error. It ends with its input. SIGINT ends the answer that is being given.
//
//   {"do": "measure", "hidden", "intermediate"}  -> {"t": "rates", "fp32_gflops", "bf16_gflops",
//                                                    "multiplies_bf16"}
//   {"do": "load", "model", "adapter", "device", "dtype", "threads"}
//       -> {"t": "loading", "done", "total"} ..., {"t": "loaded", "device", "dtype", "context", "note"}
//   {"do": "answer", "messages", "messages_tuned", "temperature", "top_p", "top_k", "max_new_tokens", "seed"}
//       -> {"t": "text", "tuned", "text"} ..., {"t": "answer", "tuned", "text", "finish", "tokens",
//           "prompt_tokens", "seconds"} of each model, {"t": "done"}
//
// or {"t": "error", "code", "message", "hint"}; of an answer with "tuned", and "done" still comes.
#include <fcntl.h>
#include <unistd.h>

#include <csignal>
#include <iostream>
#include <mutex>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>

#include "base/files.h"
#include "nn/device.h"
#include "nn/guarded.h"
#include "nn/product_rate.h"
#include "session/chat.h"

namespace genflow::session {
namespace {

using nlohmann::json;

volatile std::sig_atomic_t g_stop = 0;

// The answers' end of the pipe; standard output itself becomes standard error.
class Line {
 public:
  Line() : fd_(::fcntl(STDOUT_FILENO, F_DUPFD_CLOEXEC, 3)) { ::dup2(STDERR_FILENO, STDOUT_FILENO); }

  void Say(const json& line) {
    const std::lock_guard lock(mutex_);
    // Nobody listens any more: there is nothing left to do.
    if (!WriteAll(fd_.get(), line.dump(-1, ' ', false, json::error_handler_t::replace) + "\n").ok())
      ::_exit(1);
  }
  void Fail(const Error& error, const json& more = json::object()) {
    json line = {
        {"t", "error"}, {"code", CodeName(error.code)}, {"message", error.message}, {"hint", error.hint}};
    line.update(more);
    Say(line);
  }

 private:
  std::mutex mutex_;
  Fd fd_;
};

std::vector<text::Message> MessagesOf(const json& list) {
  std::vector<text::Message> out;
  for (const auto& one : list)
    out.push_back({one.at("role").get<std::string>(), one.at("content").get<std::string>()});
  return out;
}

void Measure(const json& request, Line& line) {
  const auto rates = nn::Guarded("measuring", [&]() -> Result<nn::ProductRates> {
    return nn::MeasureProducts(request.at("hidden").get<int64_t>(),
                               request.at("intermediate").get<int64_t>());
  });
  if (!rates.ok()) return line.Fail(rates.error());
  line.Say({{"t", "rates"},
            {"fp32_gflops", rates->fp32_gflops},
            {"bf16_gflops", rates->bf16_gflops},
            {"multiplies_bf16", nn::MultipliesBf16()}});
}

std::optional<Chat> Load(const json& request, Line& line) {
  LoadRequest load;
  load.model = request.at("model").get<std::string>();
  load.adapter = request.value("adapter", "");
  load.device = request.value("device", load.device);
  load.dtype = request.value("dtype", load.dtype);
  load.threads = request.value("threads", load.threads);
  std::string note;
  auto chat = Chat::Load(
      load,
      [&](int64_t done, int64_t total) {
        line.Say({{"t", "loading"}, {"done", done}, {"total", total}});
      },
      &note);
  if (!chat.ok()) {
    line.Fail(chat.error());
    return std::nullopt;
  }
  line.Say({{"t", "loaded"},
            {"device", chat->device()},
            {"dtype", chat->dtype()},
            {"context", chat->context()},
            {"note", note}});
  return std::move(chat).value();
}

void Answer(const Chat& chat, const json& request, Line& line) {
  ChatRequest ask;
  ask.messages_base = MessagesOf(request.at("messages"));
  ask.messages_tuned = MessagesOf(request.value("messages_tuned", request.at("messages")));
  ask.sampling.temperature = request.value("temperature", 0.0);
  ask.sampling.top_p = request.value("top_p", 1.0);
  ask.sampling.top_k = request.value("top_k", int64_t{0});
  ask.sampling.seed = request.value("seed", uint64_t{0});
  ask.max_new_tokens = request.value("max_new_tokens", int64_t{512});
  g_stop = 0;
  chat.Answers(
      ask, [] { return g_stop == 0; },
      [&](bool tuned, std::string_view text) {
        line.Say({{"t", "text"}, {"tuned", tuned}, {"text", text}});
      },
      [&](bool tuned, const Result<session::Answer>& answer) {
        if (!answer.ok()) return line.Fail(answer.error(), {{"tuned", tuned}});
        line.Say({{"t", "answer"},
                  {"tuned", tuned},
                  {"text", answer->text},
                  {"finish", answer->finish},
                  {"tokens", answer->tokens},
                  {"prompt_tokens", answer->prompt_tokens},
                  {"seconds", answer->seconds}});
      });
  line.Say({{"t", "done"}});
}

int Main() {
  std::signal(SIGPIPE, SIG_IGN);
  struct sigaction stop {};
  stop.sa_handler = [](int) { g_stop = 1; };
  stop.sa_flags = SA_RESTART;  // while it waits for a request there is nothing to stop
  ::sigaction(SIGINT, &stop, nullptr);
  Line line;
  std::optional<Chat> chat;
  for (std::string text; std::getline(std::cin, text);) {
    try {
      const json request = json::parse(text);
      const auto what = request.at("do").get<std::string>();
      if (what == "measure") {
        Measure(request, line);
      } else if (what == "load") {
        chat = Load(request, line);
      } else if (what == "answer" && chat) {
        Answer(*chat, request, line);
      } else {
        line.Fail(InvalidError("'" + what + "' cannot be done now"));
      }
    } catch (const json::exception& e) {
      line.Fail(MakeError(Code::kInternal, std::string("a request that cannot be read: ") + e.what()));
    }
  }
  // Libraries' destructors have nothing to say any more.
  std::fflush(nullptr);
  ::_exit(0);
}

}  // namespace
}  // namespace genflow::session

int main() { return genflow::session::Main(); }
