// Text tables: columns as wide as their widest cell, two spaces between.
#pragma once

#include <string>
#include <vector>

namespace genflow::cli {

enum class Align { kLeft, kRight };

class Table {
 public:
  // `columns`: headings; an empty list prints none.
  explicit Table(std::vector<std::string> columns, std::vector<Align> alignment = {})
      : columns_(std::move(columns)), alignment_(std::move(alignment)) {}

  // Cells may hold colour escapes; missing cells are empty.
  void Add(std::vector<std::string> cells) { rows_.push_back(std::move(cells)); }
  bool empty() const { return rows_.empty(); }

  // Each line starts with `indent` and ends in a newline, without trailing spaces.
  std::string Render(const std::string& indent = "", bool color = false) const;
  // To standard output, in colour where that is a terminal; `otherwise` and a newline when it is empty.
  void Print(const std::string& otherwise = {}) const;

 private:
  std::vector<std::string> columns_;
  std::vector<Align> alignment_;
  std::vector<std::vector<std::string>> rows_;
};

}  // namespace genflow::cli
