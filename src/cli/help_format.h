// How --help is laid out: two columns that fit the terminal.
#pragma once

#include <memory>

namespace CLI {
class FormatterBase;
}

namespace genflow::cli {

// As wide as the terminal, from 40 to 100 columns; 80 where standard output is none.
std::shared_ptr<CLI::FormatterBase> HelpFormat();

}  // namespace genflow::cli
