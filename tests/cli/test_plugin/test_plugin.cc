// Stages that do on purpose what stages do by accident; the command-line tests run them.
#include <signal.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <fstream>
#include <iostream>
#include <thread>

#include "genflow/plugin.hpp"

#ifndef TEST_PLUGIN_VERSION
#define TEST_PLUGIN_VERSION "1.0.0"
#endif

namespace {

using genflow::Context;
using genflow::Outcome;

void Sleep(double seconds) { std::this_thread::sleep_for(std::chrono::duration<double>(seconds)); }

// Whole or not at all: these stages are killed at any moment.
void Write(const std::string& path, const std::string& text) {
  std::ofstream(path + ".new") << text;
  std::rename((path + ".new").c_str(), path.c_str());
}

std::string Read(const std::string& path) {
  std::ifstream in(path);
  return {std::istreambuf_iterator<char>(in), {}};
}

// Counts up to `steps` in its state folder; stops when asked, and goes on from there.
struct Count {
  static constexpr const char* kName = "test.count";
  static constexpr const char* kVersion = TEST_PLUGIN_VERSION;
  static constexpr const char* kSummary = "Counts slowly, with checkpoints.";
  int64_t steps = 0, threads = 0;
  double pause = 0;
  void Declare(genflow::Spec& s) {
    s.Param("steps", &steps, 3, "How far to count.", {.min = 1, .max = 1000000});
    s.Param("pause", &pause, 0.0, "Seconds between two steps.", {.is_volatile = true});
    s.Param("threads", &threads, 0, "Ignored.", {.is_volatile = true});
    s.Input("after", "any", "Read by nobody.", GF_PORT_OPTIONAL | GF_PORT_MANY);
    s.Output("steps", "file", "One line a step, with the attempt that took it.");
  }
  Outcome Run(Context& context) {
    const std::string state = context.StateDir() + "/steps";
    std::string text = Read(state);
    const auto taken = std::count(text.begin(), text.end(), '\n');
    context.Info("starting from step " + std::to_string(taken));
    for (int64_t step = taken; step < steps; ++step) {
      if (context.ShouldStop()) return Outcome::kInterrupted;
      Sleep(pause);
      text += "step " + std::to_string(step) + "\n";
      Write(state, text);
      context.Progress(static_cast<uint64_t>(step + 1), static_cast<uint64_t>(steps), "steps");
      context.Metric("loss", 1.0 / static_cast<double>(step + 1), step);
    }
    Write(context.OutputPath("steps"), text);
    context.Summary("| step | loss |\n|---|---:|\n| " + std::to_string(steps) + " | " +
                    std::to_string(1.0 / static_cast<double>(steps)) + " |");
    return Outcome::kOk;
  }
};

// Does one thing and writes `text`.
struct Act {
  static constexpr const char* kName = "test.act";
  static constexpr const char* kVersion = TEST_PLUGIN_VERSION;
  static constexpr const char* kSummary = "Behaves as told.";
  std::string action, text, file, token;
  std::vector<std::string> files;
  double seconds = 0;
  int64_t times = 0;
  void Declare(genflow::Spec& s) {
    s.Param("do", &action, "write", "What to do.",
            {.choices = {"write",      "sleep", "hang",    "invalid", "io",    "crash",  "kill",   "exit",
                         "garbage",    "close", "nothing", "gate",    "flaky", "talk",   "daemon", "nan",
                         "quiet-fail", "env",   "token",   "leak",    "tell",  "preempt"}});
    s.Param("text", &text, "text", "What to write.");
    s.Param("seconds", &seconds, 0.0, "How long it takes.");
    s.Param("times", &times, 2, "flaky: at which attempt it succeeds.");
    s.Param("token", &token, "", "A secret.", {.secret = true});
    s.Path("file", &file, "A file whose content is added.");
    s.Files("files", &files, "Files whose contents are added.");
    s.Input("in", "any", "What is added.", GF_PORT_OPTIONAL | GF_PORT_MANY);
    s.Output("out", "file", "The text.");
    s.Output("extra", "file", "Never written.", GF_PORT_OPTIONAL);
  }
  Outcome Run(Context& context) {
    if (action == "sleep") {
      for (double slept = 0; slept < seconds; slept += 0.02) {
        if (context.ShouldStop()) return Outcome::kInterrupted;
        Sleep(0.02);
      }
    } else if (action == "hang") {
      std::cout << "hanging" << std::endl;
      Sleep(seconds);
    } else if (action == "invalid") {
      std::cout << "about to fail" << std::endl;
      return context.Fail(GF_ERROR_INVALID, "the data has no rows", "look at the data");
    } else if (action == "io") {
      return context.Fail(GF_ERROR_IO, "the network is gone");
    } else if (action == "preempt") {  // the first time
      const std::string seen = context.StateDir() + "/seen";
      if (Read(seen).empty()) {
        Write(seen, "yes");
        return Outcome::kInterrupted;
      }
    } else if (action == "quiet-fail") {
      return Outcome::kFailed;
    } else if (action == "crash") {
      std::cerr << "about to crash" << std::endl;
      ::signal(SIGSEGV, SIG_DFL);
      ::raise(SIGSEGV);
    } else if (action == "kill") {
      ::raise(SIGKILL);
    } else if (action == "exit") {
      std::exit(5);
    } else if (action == "garbage") {
      (void)!::write(3, "not a report\n", 13);
      Sleep(30);
    } else if (action == "close") {
      ::close(3);
      Sleep(60);
    } else if (action == "nothing") {
      return Outcome::kOk;
    } else if (action == "gate") {
      Write(context.OutputPath("out"), text);
      context.Summary("quality was " + text);
      return context.Gate("quality is too low: " + text, "train longer");
    } else if (action == "flaky") {
      const std::string counter = context.StateDir() + "/attempts";
      const int64_t attempt = std::atoll(Read(counter).c_str()) + 1;
      Write(counter, std::to_string(attempt));
      if (attempt < times)
        return context.Fail(GF_ERROR_IO, "attempt " + std::to_string(attempt) + " did not work");
    } else if (action == "talk") {
      std::cout << "to stdout" << std::endl;
      std::cerr << "to stderr" << std::endl;
      context.Warn("to the log");
    } else if (action == "daemon") {
      if (::fork() == 0) {
        ::setsid();
        Write(text, std::to_string(::getpid()));
        Sleep(60);
        ::_exit(0);
      }
      while (Read(text).empty()) Sleep(0.01);
    } else if (action == "nan") {
      context.Metric("loss", std::nan(""), 0);
    } else if (action == "env") {
      for (const char* name : {"GENFLOW_THREADS", "OMP_NUM_THREADS", "COLOUR"}) {
        const char* value = std::getenv(name);
        text += std::string(name) + "=" + (value != nullptr ? value : "") + "\n";
      }
      text += "threads=" + std::to_string(context.Threads()) + "\n";
    } else if (action == "leak") {
      std::vector<std::string> kept;
      for (int64_t i = 0; i < times; ++i) kept.emplace_back(1 << 20, 'x');
      Sleep(seconds);
    } else if (action == "token") {
      text = std::to_string(token.size());
    } else if (action == "tell") {  // the secret, in every way there is
      std::cout << "output " << token << std::endl;
      std::cerr << std::string(16 * 1024 - 3, '.') << token << std::endl;
      context.Warn("log " + token);
      context.Metric("metric." + token, 1, 0);
      context.Progress(1, 2, token, "progress " + token);
      context.Summary("summary " + token);
      return context.Fail(GF_ERROR_IO, "message " + token, "hint " + token);
    }
    std::string all = text;
    for (const auto& in : context.GetInputs("in")) all += Read(in.path);
    if (!file.empty()) all += Read(file);
    for (const auto& name : files) all += Read(name);
    Write(context.OutputPath("out"), all);
    return Outcome::kOk;
  }
};

// Has a word on its parameters; notes each time it is asked in $PICKY_LOG. The first to be asked about a high
// of 99 is killed.
struct Picky {
  static constexpr const char* kName = "test.picky";
  static constexpr const char* kVersion = TEST_PLUGIN_VERSION;
  static constexpr const char* kSummary = "Wants low below high.";
  int64_t low = 0, high = 0;
  std::vector<std::string> rules;
  void Declare(genflow::Spec& s) {
    s.Param("low", &low, 0, "Not above high.");
    s.Param("high", &high, 0, "Not below low.");
    s.Param("rules", &rules, "[]", "None may end with <.");
    s.Output("out", "file", "Nothing much.");
  }
  std::string Check() const {
    const char* log = std::getenv("PICKY_LOG");
    if (log != nullptr) std::ofstream(log, std::ios::app) << "asked\n";
    if (log != nullptr && high == 99 && Read(log) == "asked\n") ::raise(SIGKILL);
    if (low < 0) std::abort();
    std::string out;
    if (high < low) {
      out += "high is less than low (" + std::to_string(high) + " < " + std::to_string(low) +
             ")\nhint: exchange them\n";
    }
    for (size_t i = 0; i < rules.size(); ++i) {
      if (const size_t at = rules[i].find('?'); at != std::string::npos) {
        out += "rules[" + std::to_string(i) + "], column " + std::to_string(at + 1) + ": a '?'\n    " +
               rules[i] + "\n    " + std::string(at, ' ') + "^\nhint: be sure\n";
      }
      if (rules[i].ends_with('<')) out += "rules[" + std::to_string(i) + "] ends with '<'\n";
    }
    return out;
  }
  Outcome Run(Context& context) {
    Write(context.OutputPath("out"), "fine");
    return Outcome::kOk;
  }
};

}  // namespace

GENFLOW_PLUGIN("test", TEST_PLUGIN_VERSION, Count, Act, Picky)
