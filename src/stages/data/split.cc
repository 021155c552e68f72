#include "stages/data/split.h"

#include <cmath>
#include <vector>

#include "base/strings.h"
#include "data/split.h"
#include "stages/data/run_helpers.h"

namespace genflow::stages {
namespace {

constexpr double kRounding = 1e-9;  // of a sum of shares

}  // namespace

void DataSplit::Declare(Spec& spec) {
  spec.Doc(
      "A size of 1 or more is a number of rows, a smaller one a share of all rows. Rows with the same value "
      "of "
      "`group_by` are never parted. Which part a group falls into depends on the seed, the sizes asked for, "
      "and the "
      "keys and sizes of all groups, but not on the order of rows: a dataset with other groups may be dealt "
      "out "
      "otherwise. A part that would be empty, or sizes beyond all rows, fail the stage.");
  spec.Param("train", &train, 0.0, "Size of the training part; 0: what the other parts leave.",
             {.min = 0, .max = 1e12});
  spec.Param("test", &test, 0.1, "Size of the test part.", {.min = 0, .max = 1e12});
  spec.Param("validation", &validation, 0.0, "Size of the validation part; 0: none.",
             {.min = 0, .max = 1e12});
  spec.Param(
      "group_by", &group_by, "id",
      "Field whose equal values stay together: id, content, text, or a path below meta such as meta.name.");
  spec.Param("seed", &seed, 0, "Another seed deals the groups out anew.", {.min = 0, .max = 9e15});
  spec.Input("dataset", "dataset", "Rows of any kind.");
  spec.Output("train", "dataset", "The training part.");
  spec.Output("test", "dataset", "The test part.");
  spec.Output("validation", "dataset", "The validation part, when it has a size.", GF_PORT_OPTIONAL);
}

std::string DataSplit::Check() const {
  std::vector<std::string> problems;
  if (test == 0) problems.emplace_back("test must be more than 0");
  double shares = 0;
  for (const auto& [name, size] :
       {std::pair("train", train), std::pair("test", test), std::pair("validation", validation)}) {
    if (size >= 1 && size != std::floor(size)) {
      problems.push_back(std::string(name) + " must be a whole number of rows, or a share below 1");
    }
    if (size < 1) shares += size;
  }
  if (shares > 1 + kRounding)
    problems.emplace_back("train, test and validation are shares that add up to more than 1");
  return Join(problems, "\n");
}

Outcome DataSplit::Run(Context& context) {
  std::vector<data::SplitPart> parts = {{"train", context.OutputPath("train"), train},
                                        {"test", context.OutputPath("test"), test}};
  if (validation > 0) parts.push_back({"validation", context.OutputPath("validation"), validation});
  const auto stats = ValueUnlessStopped(data::SplitDataset(context.GetInput("dataset").path, parts,
                                                           {group_by, static_cast<uint64_t>(seed)},
                                                           ProgressOf(context, "rows")));
  if (!stats) return Outcome::kInterrupted;
  std::vector<std::string> words;
  for (size_t i = 0; i < parts.size(); ++i) {
    context.Metric("rows." + parts[i].name, static_cast<double>(stats->part_rows[i]));
    words.push_back(parts[i].name + " " + WithCommas(static_cast<int64_t>(stats->part_rows[i])));
  }
  context.Metric("unused", static_cast<double>(stats->unused));
  std::string summary = WithCommas(static_cast<int64_t>(stats->rows)) + " rows in " +
                        WithCommas(static_cast<int64_t>(stats->groups)) + " groups of " + group_by + ": " +
                        Join(words, ", ");
  if (stats->unused > 0) summary += ", " + WithCommas(static_cast<int64_t>(stats->unused)) + " left over";
  context.Info(summary);
  context.Summary(summary + ".");
  return Outcome::kOk;
}

}  // namespace genflow::stages
