// Any text between ${{ and }}: it has a value, or a problem that lies inside the text.
#include <cstdlib>

#include "config/expr.h"

namespace {

class Names : public genflow::ExprNames {
 public:
  genflow::NameValue Param(const std::string& name) override {
    static const nlohmann::json params = {
        {"n", 3}, {"half", 0.5}, {"text", "Abc"}, {"list", {1, "b", 3}}, {"map", {{"k", {{"x", 9}}}}}};
    if (params.contains(name)) return {.value = params[name]};
    return {.state = genflow::NameValue::State::kRefused, .message = "no " + name};
  }
  genflow::NameValue Env(const std::string& name) override {
    if (name == "HOME") return {.value = "/home/u"};
    return {.state = genflow::NameValue::State::kUnset, .message = name + " is not set"};
  }
  genflow::NameValue Secret(const std::string&) override { return {.value = "${{ secrets.T#1 }}"}; }
  genflow::NameValue Output(const std::string& stage, const std::string& port) override {
    return {.value = "${{ stages." + stage + ".outputs." + port + " }}"};
  }
};

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  (void)genflow::FindExpressionEnd(text, 0);
  Names names;
  const auto result = genflow::EvaluateExpression(text, names);
  if (const auto* problem = std::get_if<genflow::ExprProblem>(&result)) {
    if (problem->message.empty() || problem->offset > size) std::abort();
    return 0;
  }
  const auto& value = std::get<genflow::ExprValue>(result);
  std::string shown;
  (void)genflow::ScalarToText(value.value, &shown);
  (void)genflow::IsTruthy(value.value);
  return 0;
}
