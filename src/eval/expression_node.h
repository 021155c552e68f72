// The tree of an expression. Internal to expression.cc and expression_parser.cc.
#pragma once

#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"

namespace genflow::eval {

// kind decides which members count. Truth values: kOr, kAnd, kNot, kCompare; all others are numbers.
struct ExpressionNode {
  enum class Kind {
    kOr,
    kAnd,
    kNot,
    kCompare,
    kAdd,
    kSubtract,
    kMultiply,
    kDivide,
    kNegate,
    kCall,
    kName,
    kNumber
  };
  Kind kind = Kind::kNumber;
  size_t begin = 0, end = 0;  // bytes in the text
  std::string word;           // name of a metric or function, or the comparison's operator
  double number = 0;
  double level = 0;     // of a comparison: "at 95%" is 0.95; 0: not written
  bool proven = false;  // of a comparison: "proven at 95%"
  std::vector<std::unique_ptr<ExpressionNode>> parts;

  bool IsTruth() const { return kind <= Kind::kCompare; }
};

// An error at bytes begin..end of an expression: "column 3: WHAT", the text, and a caret below it.
Error ExpressionError(std::string_view text, size_t begin, size_t end, const std::string& what,
                      std::string hint = {}, Code code = Code::kInvalid);

Result<std::unique_ptr<ExpressionNode>> ParseExpression(std::string_view text);

}  // namespace genflow::eval
