// What could stand where the cursor is: completion for shells, from the tree of commands.
#pragma once

#include <filesystem>
#include <string>
#include <string_view>
#include <vector>

namespace CLI {
class App;
class Option;
}  // namespace CLI

namespace genflow::cli {

struct Candidate {
  std::string text;         // the whole word
  std::string description;  // one line; may be empty
};

// Candidates for the last of `words`, which follow the program's name; the last may be empty. Those that
// begin with it, in a useful order. Never prints, never fails.
std::vector<Candidate> Complete(const CLI::App& root, const std::vector<std::string>& words);

// The words of a command line up to its end, as bash splits them (quotes and backslashes taken away). The
// last one is what is being typed: empty after a blank. `raw_start`: where it begins in the line.
std::vector<std::string> ShellWords(std::string_view line, size_t* raw_start);

// Body of `genflow __complete`, of what follows that word: "words -- WORD..." or "bash LINE POINT
// WORDBREAKS". Prints a candidate a line, with a tab before its description (for bash: what bash is to put
// in, alone).
int CompleteMain(const CLI::App& root, const std::vector<std::string>& arguments);

// --- What names there are (completion_names.cc) ------------------------------------------------------------

// What is known of the line that decides which store and pipeline are meant.
struct CompletionPlace {
  std::string pipeline;  // the PIPELINE on the line; empty: pipeline.yaml here
  std::string store;     // of --store
};

// Names of a kind, by what help calls the value: "RUN", "STAGE", "ARTIFACT", "PIPELINE", "DIR", ... `command`
// is the name of the top-level command; `prefix` what has been typed of the word.
std::vector<Candidate> NamesOf(const std::string& kind, const std::string& command,
                               const CompletionPlace& place, const std::string& prefix);

// The keys of a top-level mapping of a YAML text ("stages", "params"). In a text that is no YAML, such as a
// file that is being written, they are found by indentation alone.
std::vector<std::string> KeysBelow(std::string_view yaml, std::string_view key);

}  // namespace genflow::cli
