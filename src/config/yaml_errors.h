// Syntax errors of YAML in the words of this program. Internal to src/config.
#pragma once

#include <cstddef>
#include <string_view>
#include <vector>

#include "config/diagnostic.h"

namespace genflow {

// Adds a diagnostic for what yaml-cpp says, `message`, about a place: a line, from 1, and a byte.
void ReportSyntaxError(const SourceText& source, int line, size_t offset, std::string_view message,
                       std::vector<Diagnostic>* diagnostics);

}  // namespace genflow
