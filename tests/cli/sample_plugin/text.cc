// text.cc: makes text upper case.
#include <cctype>
#include <fstream>
#include <genflow/plugin.hpp>
#include <iterator>
#include <string>

struct Upper {
  static constexpr const char* kName = "text.upper";
  static constexpr const char* kVersion = "1.0.0";
  static constexpr const char* kSummary = "Makes text upper case.";

  std::string suffix;
  int64_t copies = 1;

  void Declare(genflow::Spec& s) {
    s.Param("suffix", &suffix, "!", "Text added at the end of each copy.");
    s.Param("copies", &copies, 1, "How often the text is written.", {.min = 1, .max = 1000});
    s.Input("text", "file", "Any text file.");
    s.Output("text", "file", "The same text in upper case.");
  }

  std::string Check() const {
    if (copies > 1 && suffix.empty())
      return "suffix is empty, so copies would run into each other\nhint: give one";
    return "";
  }

  genflow::Outcome Run(genflow::Context& context) {
    std::ifstream in(context.GetInput("text").path);
    std::string text((std::istreambuf_iterator<char>(in)), {});
    for (char& c : text) c = static_cast<char>(std::toupper(static_cast<unsigned char>(c)));
    std::ofstream out(context.OutputPath("text"));
    for (int64_t i = 0; i < copies; ++i) {
      if (context.ShouldStop()) return genflow::Outcome::kInterrupted;
      out << text << suffix;
      context.Progress(i + 1, copies, "copies");
    }
    if (!out.flush()) return context.Fail(GF_ERROR_IO, "cannot write the output", "is the disk full?");
    context.Metric("bytes", static_cast<double>(text.size()));
    context.Summary("wrote " + std::to_string(text.size()) + " characters");
    return genflow::Outcome::kOk;
  }
};

GENFLOW_PLUGIN("text", "1.0.0", Upper)
