#include "cli/help_format.h"

#include <unistd.h>

#include <CLI/CLI.hpp>
#include <algorithm>

#include "base/strings.h"
#include "cli/terminal.h"

namespace genflow::cli {

namespace {

class Format : public CLI::Formatter {
 public:
  explicit Format(size_t columns) : columns_(columns), names_(columns < 70 ? columns / 3 : 30) {}

  std::string make_description(const CLI::App* app) const override {
    const std::string text = app->get_description();
    return text.empty() ? text : Wrapped(text, 0);
  }
  std::string make_subcommand(const CLI::App* command) const override {
    return Entry(command->get_display_name(true), command->get_description());
  }
  std::string make_option(const CLI::Option* option, bool is_positional) const override {
    std::string text = make_option_desc(option);
    const std::string standard = option->get_default_str();
    if (option->get_type_size() != 0 && !standard.empty() && text.find("default") == std::string::npos)
      text += " (default: " + standard + ")";
    return Entry(make_option_name(option, is_positional) + make_option_opts(option), text);
  }
  std::string make_option_opts(const CLI::Option* option) const override {
    if (option->get_type_size() == 0) return {};
    std::string out;
    if (!option->get_type_name().empty()) out += " " + option->get_type_name();
    if (option->get_expected_max() == CLI::detail::expected_max_vector_size) out += " ...";
    if (option->get_required()) out += " REQUIRED";
    return out;
  }

 private:
  std::string Entry(const std::string& name, const std::string& text) const {
    std::string out = "  " + name;
    if (text.empty()) return out + "\n";
    const size_t used = DisplayWidth(out);
    out += used + 1 < names_ ? std::string(names_ - used, ' ') : "\n" + std::string(names_, ' ');
    return out + Wrapped(text, names_);
  }

  // The first line stands at `indent` already.
  std::string Wrapped(const std::string& text, size_t indent) const {
    std::string out;
    size_t used = indent;
    for (const auto word : Split(text, ' ')) {
      const size_t cells = DisplayWidth(word);
      if (used > indent && used + 1 + cells > columns_) {
        out += "\n" + std::string(indent, ' ');
        used = indent;
      }
      if (used > indent) {
        out += ' ';
        ++used;
      }
      out += word;
      used += cells;
    }
    return out + "\n";
  }

  size_t columns_, names_;
};

}  // namespace

std::shared_ptr<CLI::FormatterBase> HelpFormat() {
  const int columns =
      ::isatty(STDOUT_FILENO) == 1 ? std::clamp(SizeOfTerminal(STDOUT_FILENO).columns, 40, 100) : 80;
  return std::make_shared<Format>(static_cast<size_t>(columns));
}

}  // namespace genflow::cli
