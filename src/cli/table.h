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

  // Makes it at most `cells` wide (0: any width) where that can be done by leaving out columns, in the order
  // of `least`, their headings, and then by shortening the cells of the columns `shorten`, the widest first,
  // which hold no escapes (the first column's, names, in their middle). Returns how many columns were left
  // out.
  size_t Fit(size_t cells, const std::vector<std::string>& least,
             const std::vector<std::string>& shorten = {});

  // Each line starts with `indent` and ends in a newline, without trailing spaces.
  std::string Render(const std::string& indent = "", bool color = false) const;
  // To standard output, in colour where that is a terminal; `otherwise` and a newline when it is empty.
  void Print(const std::string& otherwise = {}) const;

 private:
  std::vector<size_t> Widths() const;
  size_t Width() const;

  std::vector<std::string> columns_;
  std::vector<Align> alignment_;
  std::vector<std::vector<std::string>> rows_;
};

// The cells that a table on standard output has; 0 where that is no terminal, which means any number.
size_t RoomForTables();

}  // namespace genflow::cli
