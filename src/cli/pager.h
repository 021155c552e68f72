// Long answers on a terminal, a page at a time.
#pragma once

#include <string>

#include "base/result.h"

namespace CLI {
class App;
}

namespace genflow::cli {

// Adds --no-pager.
void AddPagerOption(CLI::App& command, bool* no_pager);

// Prints text on standard output: through $GENFLOW_PAGER, $PAGER or `less -FRX` where that is a terminal that
// the text does not fit into and `no_pager` is false; straight otherwise, or where the pager cannot be
// started.
void ShowText(const std::string& text, bool no_pager);

// Copies what an open file still holds to standard output.
Status CopyToOutput(int fd);

// ShowText for what an open file still holds, however long it is.
Status ShowFile(int fd, bool no_pager);

}  // namespace genflow::cli
