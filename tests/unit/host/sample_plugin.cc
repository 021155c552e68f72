// A plugin that exercises every entry of the SDK; loaded by host_test.
#include <fstream>
#include <thread>

#include "genflow/plugin.hpp"

namespace {

struct Upper {
  static constexpr const char* kName = "sample.upper";
  static constexpr const char* kVersion = "1.2.0";
  static constexpr const char* kSummary = "Makes text upper case.";

  std::string suffix, mode, mood;
  int64_t times = 0, limit = 0;
  double rate = 0, patience = 0;
  bool loud = false;
  std::optional<int64_t> seed;
  std::vector<std::string> words, files;
  std::string path, token;
  genflow::json::Value extra;

  void Declare(genflow::Spec& s) {
    s.Doc("Long text.");
    s.Param("suffix", &suffix, "!", "Text added at the end.");
    s.Param("nested.times", &times, 1, "How often.", {.min = 1, .max = 10});
    s.Param("nested.rate", &rate, 0.1, "A rate.");
    s.Param("loud", &loud, true, "Whether to shout.");
    s.Param("mode", &mode, "copy", "What to do.",
            {.choices = {"copy", "fail", "throw", "gate", "interrupt", "silent"}});
    s.Param("words", &words, "[\"a\"]", "Some words.");
    s.Param("seed", &seed, "Seed; random when absent.");
    s.Required("mood", &mood, "How it feels.");
    s.Path("path", &path, "A file.");
    s.Files("files", &files, "Some files.");
    s.Size("limit", &limit, 1024, "Bytes at most.");
    s.Duration("patience", &patience, 60, "Seconds to wait.", {.is_volatile = true});
    s.Param("token", &token, "", "A key.", {.secret = true});
    s.Json("extra", &extra, "{}", "Anything.");
    s.Input("text", "file", "Any text file.");
    s.Input("more", "file", "More of them.", GF_PORT_OPTIONAL | GF_PORT_MANY);
    s.Output("text", "file", "The result.");
  }

  std::string Check() const { return limit == 13 ? "limit must not be 13" : ""; }

  genflow::Outcome Run(genflow::Context& context) {
    if (mode == "fail") return context.Fail(GF_ERROR_IO, "the disk said no", "buy another");
    if (mode == "throw") throw genflow::StageError(GF_ERROR_INVALID, "thrown", "catch it");
    if (mode == "gate") return context.Gate("too small");
    if (mode == "interrupt") return genflow::Outcome::kInterrupted;
    if (mode == "silent") return genflow::Outcome::kFailed;
    std::ifstream in(context.GetInput("text").path);
    std::string text((std::istreambuf_iterator<char>(in)), {});
    for (char& c : text) c = static_cast<char>(std::toupper(static_cast<unsigned char>(c)));
    std::vector<std::thread> threads;
    for (int i = 0; i < 4; ++i) threads.emplace_back([&context, i] { context.Metric("loss", i, i); });
    for (auto& thread : threads) thread.join();
    context.Progress(3, 3, "lines");
    context.Info("done \xff");
    context.Summary("# ok");
    std::ofstream(context.OutputPath("text")) << text << suffix << times << mood << (seed ? *seed : -1);
    return genflow::Outcome::kOk;
  }
};

}  // namespace

GENFLOW_PLUGIN("sample", "1.0.0", Upper)
