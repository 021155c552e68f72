// `genflow completion`: what makes a shell ask `genflow __complete`.
#include <CLI/CLI.hpp>
#include <cstdio>
#include <memory>
#include <string>

#include "base/strings.h"
#include "cli/commands.h"
#include "cli/errors.h"

namespace genflow::cli {

namespace {

// Every word is asked of the program that is being called, so that the answer is of its version, and knows
// the runs, stages and files that there are now.
constexpr char kBash[] = R"(# bash completion for genflow
_genflow() {
  local line
  COMPREPLY=()
  while IFS= read -r line; do
    COMPREPLY+=("$line")
  done < <("${1/#\~/$HOME}" __complete bash "$COMP_LINE" "$COMP_POINT" "$COMP_WORDBREAKS" 2>/dev/null)
  # A folder or NAME= is not the end of a word.
  [[ ${COMPREPLY[0]-} != *[/=] ]] || compopt -o nospace
}
complete -o nosort -F _genflow genflow
)";

constexpr char kZsh[] = R"(#compdef genflow
# zsh completion for genflow
_genflow() {
  local -a whole open whole_shown open_shown
  local line name shown
  for line in "${(@f)$("${(Q)words[1]/#\~/$HOME}" __complete words -- "${(@Q)words[2,CURRENT]}" 2>/dev/null)}"; do
    name=${line%%$'\t'*}
    [[ -n $name ]] || continue
    shown=$name
    [[ $line == *$'\t'* ]] && shown="$name  -- ${line#*$'\t'}"
    # A folder or NAME= is not the end of a word.
    if [[ $name == *[/=] ]]; then
      open+=("$name"); open_shown+=("$shown")
    else
      whole+=("$name"); whole_shown+=("$shown")
    fi
  done
  (( $#whole )) && compadd -V genflow -d whole_shown -l -a whole
  (( $#open )) && compadd -V genflow -S '' -d open_shown -l -a open
  return 0
}
if [[ ${funcstack[1]-} == _genflow ]]; then
  _genflow "$@"
else
  compdef _genflow genflow
fi
)";

constexpr char kFish[] = R"(# fish completion for genflow
function __genflow_complete
    set -l words (commandline -opc)
    set -l current (commandline -ct)
    $words[1] __complete words -- $words[2..-1] "$current" 2>/dev/null
end
complete -c genflow -f -k -a '(__genflow_complete)'
)";

int Print(const std::string& shell) {
  const char* text = shell == "bash" ? kBash : shell == "zsh" ? kZsh : shell == "fish" ? kFish : nullptr;
  if (text == nullptr) {
    const auto near = NearestName(shell, {"bash", "zsh", "fish"});
    return Report(InvalidError("there is no completion for '" + shell + "'",
                               near ? "did you mean '" + *near + "'?" : "it is one of bash, zsh, fish"));
  }
  std::fputs(text, stdout);
  return kExitOk;
}

}  // namespace

void AddCompletionCommand(CLI::App& app, Action& action) {
  CLI::App* completion =
      app.add_subcommand("completion", "Print what makes a shell complete genflow's words");
  auto shell = std::make_shared<std::string>();
  completion->add_option("SHELL", *shell, "bash, zsh or fish")->required();
  completion->footer(
      "Examples:\n"
      "  source <(genflow completion bash)      # in ~/.bashrc\n"
      "  source <(genflow completion zsh)       # in ~/.zshrc, after compinit\n"
      "  genflow completion fish | source       # in ~/.config/fish/config.fish");
  completion->callback([&action, shell] { action = [shell] { return Print(*shell); }; });
}

}  // namespace genflow::cli
