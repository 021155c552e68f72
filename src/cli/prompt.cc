#include "cli/prompt.h"

#include <unistd.h>

#include <cstdio>
#include <iostream>

#include "base/strings.h"

namespace genflow::cli {

bool CanAsk() { return ::isatty(STDIN_FILENO) == 1 && ::isatty(STDERR_FILENO) == 1; }

std::optional<std::string> Ask(const std::string& question, const std::string& fallback) {
  std::fprintf(stderr, "%s%s: ", question.c_str(), fallback.empty() ? "" : (" [" + fallback + "]").c_str());
  std::string line;
  if (!std::getline(std::cin, line)) {
    std::fputs("\n", stderr);
    return std::nullopt;
  }
  const std::string answer(Trim(line));
  return answer.empty() ? fallback : answer;
}

}  // namespace genflow::cli
