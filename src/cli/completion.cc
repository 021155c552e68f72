#include "cli/completion.h"

#include <CLI/CLI.hpp>
#include <algorithm>
#include <cstdio>
#include <cstdlib>

#include "base/strings.h"
#include "cli/errors.h"

namespace genflow::cli {

namespace {

const CLI::Option* FindOption(const CLI::App& app, const std::string& word) {
  const std::string name = word.substr(0, word.find('='));
  for (const CLI::Option* option : app.get_options()) {
    if (!option->get_positional() && option->check_name(name)) return option;
  }
  return nullptr;
}

const CLI::App* FindCommand(const CLI::App& app, const std::string& name) {
  const auto found = app.get_subcommands([&](const CLI::App* command) { return command->check_name(name); });
  return found.empty() ? nullptr : found.front();
}

bool TakesValue(const CLI::Option& option) { return option.get_items_expected_max() > 0; }
bool NeedsValue(const CLI::Option& option) { return option.get_items_expected_min() > 0; }

// Where the walk over the words before the last one has come to.
struct Position {
  const CLI::App* app;
  std::string command;                    // the top-level command
  size_t positionals = 0;                 // given to `app`
  const CLI::Option* pending = nullptr;   // an option whose value comes next
  bool only_positionals = false;          // after "--"
  bool lost = false;                      // a word that is no command where one was needed
  std::vector<const CLI::Option*> given;  // options on the line
  CompletionPlace place;

  void Value(const CLI::Option& option, const std::string& value) {
    if (option.check_name("--store")) place.store = value;
  }
};

// The positional that the n-th word without a dash belongs to; the last one may take the rest.
const CLI::Option* Positional(const CLI::App& app, size_t n) {
  size_t at = 0;
  for (const CLI::Option* option : app.get_options()) {
    if (!option->get_positional()) continue;
    const auto most = static_cast<size_t>(std::max(1, option->get_items_expected_max()));
    if (n < at + most) return option;
    at += most;
  }
  return nullptr;
}

std::string PositionalName(const CLI::Option& option) { return option.get_name(true, false); }

void Step(Position* at, const std::string& word) {
  const bool dashed = word.size() > 1 && word[0] == '-' && !at->only_positionals;
  if (at->pending != nullptr && (NeedsValue(*at->pending) || !dashed)) {
    at->Value(*at->pending, word);
    at->pending = nullptr;
    return;
  }
  at->pending = nullptr;
  if (word == "--") {
    at->only_positionals = true;
    return;
  }
  if (dashed) {
    const CLI::Option* option = FindOption(*at->app, word);
    if (option == nullptr) return;
    at->given.push_back(option);
    const size_t equals = word.find('=');
    if (equals != std::string::npos)
      at->Value(*option, word.substr(equals + 1));
    else if (TakesValue(*option))
      at->pending = option;
    return;
  }
  if (!at->only_positionals) {
    if (const CLI::App* next = FindCommand(*at->app, word)) {
      if (at->command.empty()) at->command = word;
      at->app = next;
      at->positionals = 0;
      at->given.clear();
      return;
    }
  }
  const CLI::Option* option = Positional(*at->app, at->positionals++);
  if (option == nullptr)
    at->lost = true;
  else if (PositionalName(*option) == "PIPELINE")
    at->place.pipeline = word;
}

void KeepWhatBegins(std::vector<Candidate>* candidates, const std::string& with) {
  candidates->erase(std::remove_if(candidates->begin(), candidates->end(),
                                   [&](const Candidate& c) { return !c.text.starts_with(with); }),
                    candidates->end());
}

std::vector<Candidate> ValuesOf(const CLI::Option& option, const Position& at, const std::string& prefix) {
  const std::string kind = option.get_positional()          ? PositionalName(option)
                           : option.check_name("--profile") ? "PROFILE"
                                                            : option.get_type_name();
  auto out = NamesOf(kind, at.command, at.place, prefix);
  KeepWhatBegins(&out, prefix);
  return out;
}

std::vector<Candidate> OptionNames(const Position& at) {
  std::vector<Candidate> out;
  for (const CLI::Option* option : at.app->get_options()) {
    if (option->get_positional() || option->get_group().empty() || option->get_lnames().empty()) continue;
    const bool again = option->get_items_expected_max() > 1 ||
                       option->get_multi_option_policy() == CLI::MultiOptionPolicy::TakeAll;
    if (!again && std::find(at.given.begin(), at.given.end(), option) != at.given.end()) continue;
    out.push_back({"--" + option->get_lnames().front(), option->get_description()});
  }
  return out;
}

// Characters that mean something to a shell get a backslash. A '~' in front stays, for home.
std::string Quoted(const std::string& text) {
  std::string out;
  for (const char c : text) {
    if (std::string_view(" \t\n\"'\\$`!*?[](){}<>|&;#").find(c) != std::string_view::npos) out += '\\';
    out += c;
  }
  return out;
}

std::string OneLine(std::string text) {
  std::replace_if(
      text.begin(), text.end(), [](char c) { return c == '\n' || c == '\t'; }, ' ');
  return text;
}

// bash puts in what follows the last of its word breaks (":" and "=" are) in the word that is being typed.
int CompleteForBash(const CLI::App& root, const std::string& line, size_t point, const std::string& breaks) {
  const std::string typed = line.substr(0, std::min(point, line.size()));
  size_t start = 0;
  auto words = ShellWords(typed, &start);
  if (words.size() < 2) return kExitOk;  // the program's own name
  words.erase(words.begin());
  const std::string raw = typed.substr(start);
  const bool in_quotes = raw.find_first_of("\"'") != std::string::npos;
  size_t cut = 0, plain = 0;  // in characters of the word without its backslashes
  for (size_t i = 0; i < raw.size() && !in_quotes; ++i) {
    ++plain;
    if (raw[i] == '\\')
      ++i;  // what it escapes breaks no word
    else if (breaks.find(raw[i]) != std::string::npos)
      cut = plain;
  }
  for (const auto& candidate : Complete(root, words)) {
    const std::string text = candidate.text.substr(std::min(cut, candidate.text.size()));
    std::printf("%s\n", in_quotes ? text.c_str() : Quoted(text).c_str());
  }
  return kExitOk;
}

}  // namespace

std::vector<std::string> ShellWords(std::string_view line, size_t* raw_start) {
  std::vector<std::string> words;
  std::string word;
  bool inside = false;
  char quote = 0;
  *raw_start = line.size();
  for (size_t i = 0; i < line.size(); ++i) {
    const char c = line[i];
    if (quote == 0 && (c == ' ' || c == '\t' || c == '\n')) {
      if (inside) words.push_back(std::exchange(word, {}));
      inside = false;
      *raw_start = line.size();
      continue;
    }
    if (!std::exchange(inside, true)) *raw_start = i;
    if (quote == 0 && (c == '"' || c == '\'')) {
      quote = c;
    } else if (c == quote) {
      quote = 0;
    } else if (c == '\\' && quote != '\'' && i + 1 < line.size()) {
      word += line[++i];
    } else {
      word += c;
    }
  }
  words.push_back(word);
  return words;
}

std::vector<Candidate> Complete(const CLI::App& root, const std::vector<std::string>& words) {
  if (words.empty()) return {};
  Position at{&root, {}, 0, nullptr, false, false, {}, {}};
  for (size_t i = 0; i + 1 < words.size(); ++i) Step(&at, words[i]);
  if (at.lost) return {};
  const std::string& last = words.back();
  const bool dashed = !last.empty() && last[0] == '-' && !at.only_positionals;
  if (at.pending != nullptr && (NeedsValue(*at.pending) || !dashed)) return ValuesOf(*at.pending, at, last);
  if (const size_t equals = last.find('='); dashed && equals != std::string::npos) {
    const CLI::Option* option = FindOption(*at.app, last);
    if (option == nullptr || !TakesValue(*option)) return {};
    auto out = ValuesOf(*option, at, last.substr(equals + 1));
    for (auto& candidate : out) candidate.text = last.substr(0, equals + 1) + candidate.text;
    return out;
  }
  std::vector<Candidate> out;
  if (dashed) {
    out = OptionNames(at);
  } else {
    if (!at.only_positionals) {
      for (const CLI::App* command : at.app->get_subcommands([](const CLI::App*) { return true; })) {
        if (!command->get_group().empty()) out.push_back({command->get_name(), command->get_description()});
      }
    }
    if (const CLI::Option* option = Positional(*at.app, at.positionals)) {
      for (auto& candidate : ValuesOf(*option, at, last)) out.push_back(std::move(candidate));
    }
  }
  KeepWhatBegins(&out, last);
  return out;
}

int CompleteMain(const CLI::App& root, const std::vector<std::string>& arguments) {
  if (arguments.size() == 4 && arguments[0] == "bash")
    return CompleteForBash(root, arguments[1], std::strtoul(arguments[2].c_str(), nullptr, 10), arguments[3]);
  if (arguments.size() < 3 || arguments[0] != "words" || arguments[1] != "--") return kExitUsage;
  for (const auto& candidate : Complete(root, {arguments.begin() + 2, arguments.end()})) {
    std::printf("%s%s%s\n", OneLine(candidate.text).c_str(), candidate.description.empty() ? "" : "\t",
                OneLine(candidate.description).c_str());
  }
  return kExitOk;
}

}  // namespace genflow::cli
