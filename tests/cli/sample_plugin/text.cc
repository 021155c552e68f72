// The example of the plugin guide: makes text upper case.
#include <cctype>
#include <fstream>
#include <genflow/plugin.hpp>
#include <iterator>

struct Upper {
  static constexpr const char* kName = "text.upper";
  static constexpr const char* kVersion = "1.0.0";
  static constexpr const char* kSummary = "Makes text upper case.";

  std::string suffix;

  void Declare(genflow::Spec& s) {
    s.Param("suffix", &suffix, "!", "Text added at the end.");
    s.Input("text", "file", "Any text file.");
    s.Output("text", "file", "The same text in upper case.");
  }

  genflow::Outcome Run(genflow::Context& context) {
    std::ifstream in(context.GetInput("text").path);
    std::string text((std::istreambuf_iterator<char>(in)), {});
    for (char& c : text) c = static_cast<char>(std::toupper(static_cast<unsigned char>(c)));
    std::ofstream(context.OutputPath("text")) << text << suffix;
    context.Summary("wrote " + std::to_string(text.size()) + " characters");
    return genflow::Outcome::kOk;
  }
};

GENFLOW_PLUGIN("text", "1.0.0", Upper)
