// What is known of one thing, as `runs show` and `artifacts show` begin: a name and a value a line.
#pragma once

#include <string>
#include <utility>

#include "cli/table.h"

namespace genflow::cli {

class Facts {
 public:
  // A fact without a value is left out. Values may hold colour escapes.
  void Add(const std::string& name, std::string value) {
    if (!value.empty()) table_.Add({name, std::move(value)});
  }
  std::string Render() const { return table_.Render(); }

 private:
  Table table_{{}};
};

}  // namespace genflow::cli
