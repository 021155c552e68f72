// Questions to a person at a terminal.
#pragma once

#include <optional>
#include <string>

namespace genflow::cli {

// Whether somebody can be asked: standard input and standard error are terminals.
bool CanAsk();

// Prints "QUESTION [fallback]: " on standard error and reads a line from standard input: trimmed, `fallback`
// where it is empty. Nothing at the end of the input.
std::optional<std::string> Ask(const std::string& question, const std::string& fallback);

}  // namespace genflow::cli
