#include "cli/init_templates.h"

#include <algorithm>
#include <cctype>
#include <iterator>
#include <nlohmann/json.hpp>

#include "base/strings.h"

namespace genflow::cli {

namespace {

// Stages that bring the examples in, as conversations, ending in `examples.dataset` or `chats.dataset`.
constexpr char kReadMessages[] = R"(
  # Chats (`messages`), `prompt` with `completion`, or Alpaca's `instruction` and `output`: JSONL, JSON, CSV or
  # Parquet, also compressed. `genflow stages show data.read` says what else can be read.
  examples:
    uses: data.read
    with:
      files: ${{ params.data }}
)";
constexpr char kReadText[] = R"(
  # JSONL, JSON, CSV or Parquet, also compressed. `genflow stages show data.read` says what else can be read.
  rows:
    uses: data.read
    with:
      files: ${{ params.data }}

  # Makes conversations of the rows: put the fields of your data here, as {text} or {meta.title}.
  examples:
    uses: data.format
    in: { dataset: rows.dataset }
    with:
      user: "Write a text like those that you know."
      assistant: "{text|trim}"
)";

constexpr char kFinetune[] = R"(
  # The model to start from: a Hugging Face folder or a GGUF file. It is checked before it is used.
  base:
    uses: model.import
    with:
      path: ${{ params.base }}
@READ@
  # Drops what is empty or said twice; what went, and why, is in its report.
  clean:
    uses: data.clean
    in: { dataset: examples.dataset }

  # Held-out examples judge the model on what it has not seen. A size below 1 is a share of the rows.
  split:
    uses: data.split
    in: { dataset: clean.dataset }
    with:
      test: 0.2

  # Learns the assistant's answers. Ctrl-C saves a checkpoint, and the next `genflow run` continues from it.
  tune:
    uses: train.lora
    in: { model: base.model, dataset: split.train }
    with:
      lora: { r: 16, alpha: 32 }
      epochs: ${{ params.epochs }}
      learning_rate: ${{ params.learning_rate }}
      per_device_train_batch_size: 2
      max_length: 512

  # Base and tuned model side by side: how probable the held-out answers are,
  perplexity:
    uses: eval.perplexity
    in: { model: base.model, adapter: tune.adapter, dataset: split.test }

  # and what they answer themselves.
  answers:
    uses: eval.generate
    in: { model: base.model, adapter: tune.adapter, dataset: split.test }
    with:
      max_examples: 16

  # Ends the run with exit code 3 unless the tuned model is better than the one it started from.
  gate:
    uses: gate.metrics
    in: { report: [perplexity.report, answers.report] }
    with:
      require:
        - perplexity < baseline.perplexity

  # The adapter (PEFT), the merged model (Hugging Face) and a GGUF (llama.cpp), with a model card.
  package:
    uses: package.model
    needs: [gate]
    in:
      model: base.model
      adapter: tune.adapter
      reports: [perplexity.report, answers.report]
      datasets: [split.train, split.test]
    with:
      name: @NAME@
)";

constexpr char kEval[] = R"(
  # The model to judge: a Hugging Face folder or a GGUF file.
  model:
    uses: model.import
    with:
      path: ${{ params.base }}
@READ@
  # How probable the model finds the answers.
  perplexity:
    uses: eval.perplexity
    in: { model: model.model, dataset: examples.dataset }

  # What it answers itself, held against them.
  answers:
    uses: eval.generate
    in: { model: model.model, dataset: examples.dataset }
    with:
      max_examples: 16
      max_new_tokens: 48

  # Prompt injection, system prompt leaks, personal data, toxicity, encodings.
  guard:
    uses: guard.probe
    in: { model: model.model }
    with:
      max_probes: 4

  # Ends the run with exit code 3 when the model is not good enough: put your own limits here. The numbers behind
  # them are in the reports: genflow artifacts show answers.report
  gate:
    uses: gate.metrics
    in: { report: [perplexity.report, answers.report, guard.report] }
    with:
      require:
        - perplexity < 1000
        - stopped >= 0
        - guard.pass_rate >= 0.25
)";

constexpr char kData[] = R"(
  # JSONL, JSON, CSV, Parquet or text, also compressed. `genflow stages show data.read` says what is understood.
  rows:
    uses: data.read
    with:
      files: ${{ params.data }}

  # Every row that goes is counted under its reason: genflow artifacts show clean.report
  clean:
    uses: data.clean
    in: { dataset: rows.dataset }
    with:
      min_chars: 10
      redact: [email, phone]
      near_dedup: { enabled: true, threshold: 0.9 }

  # The same rows fall into the same part, whatever the order of the files.
  split:
    uses: data.split
    in: { dataset: clean.dataset }
    with:
      test: ${{ params.test_share }}
)";

constexpr char kExec[] = R"(
  # `exec` runs any program in `bash -eo pipefail`, in this folder. What it makes goes to $GENFLOW_OUT_<PORT>, and is
  # not made again while nothing that it depends on has changed.
  numbers:
    uses: exec
    with:
      run: seq ${{ params.count }} > "$GENFLOW_OUT_LIST"
      # files: [scripts/*.sh]    # workspace files that count as inputs
    out: { list: file }

  # An edge: `numbers.list` is at $GENFLOW_IN_LIST.
  sum:
    uses: exec
    in: { list: numbers.list }
    with:
      run: awk '{ sum += $1 } END { print sum }' "$GENFLOW_IN_LIST" > "$GENFLOW_OUT_TOTAL"
    out: { total: file }

  # A stage without outputs: a check. It fails the run with exit code 1.
  check:
    uses: exec
    in: { total: sum.total }
    with:
      run: |
        total=$(cat "$GENFLOW_IN_TOTAL")
        echo "the sum is $total"
        test "$total" -gt 0
)";

std::string Replace(std::string text, const std::string& from, const std::string& to) {
  for (size_t at = 0; (at = text.find(from, at)) != std::string::npos; at += to.size())
    text.replace(at, from.size(), to);
  return text;
}

std::string Params(const InitAnswers& answers) {
  const std::string base = "  base: " + YamlScalar(answers.base) + "\n";
  const std::string data = "  data: " + YamlScalar(answers.data) + "\n";
  if (answers.template_name == "finetune") return base + data + "  epochs: 3\n  learning_rate: 0.0005\n";
  if (answers.template_name == "eval") return base + data;
  if (answers.template_name == "data") return data + "  test_share: 0.1\n";
  return "  count: 100\n";
}

}  // namespace

const std::vector<InitTemplate>& InitTemplates() {
  static const std::vector<InitTemplate> templates = {
      {"finetune", "tune a model on conversations, judge it, gate it, package it", true, true},
      {"eval", "judge a model on held-out conversations and probes, and gate it", true, true},
      {"data", "read, clean and split data", false, true},
      {"exec", "run programs of your own, with cache, logs and retries", false, false}};
  return templates;
}

const InitTemplate* FindInitTemplate(const std::string& name) {
  const auto& all = InitTemplates();
  const auto it = std::find_if(all.begin(), all.end(), [&](const auto& entry) { return entry.name == name; });
  return it == all.end() ? nullptr : &*it;
}

std::string YamlScalar(const std::string& text) {
  // Words that YAML reads as something else than text.
  static const char* const kWords[] = {"true", "false", "null", "yes", "no", "on", "off", "y", "n"};
  const std::string lower = ToLowerAscii(text);
  const bool word =
      std::any_of(std::begin(kWords), std::end(kWords), [&](const char* w) { return lower == w; });
  const bool path = text.starts_with("/") || text.starts_with("./") || text.starts_with("../");
  const bool letter = !text.empty() && std::isalpha(static_cast<unsigned char>(text.front())) != 0;
  const bool plain = std::all_of(text.begin(), text.end(), [](unsigned char c) {
    return std::isalnum(c) != 0 || c == '_' || c == '-' || c == '.' || c == '/';
  });
  if (plain && !word && (path || letter)) return text;
  // JSON's strings are YAML's.
  return nlohmann::json(text).dump(-1, ' ', false, nlohmann::json::error_handler_t::replace);
}

std::string RenderInitTemplate(const InitAnswers& answers) {
  const std::string& name = answers.template_name;
  std::string out = "# Made by `genflow init --template " + name + "`: ";
  out += FindInitTemplate(name)->summary;
  out +=
      ".\n"
      "#   genflow validate     checks this file\n"
      "#   genflow plan         says what a run would do, and why\n"
      "#   genflow run          runs what is not cached; `-p NAME=VALUE` sets a parameter\n"
      "name: " +
      YamlScalar(answers.name) +
      "\n\n"
      "# Used below as ${{ params.NAME }}. Paths are relative to this file's folder.\n"
      "params:\n" +
      Params(answers) +
      "\n"
      "# defaults: { retries: 1, timeout: 30m }    # for every stage that does not say otherwise\n"
      "\n"
      "stages:";
  std::string body = name == "finetune" ? kFinetune : name == "eval" ? kEval : name == "data" ? kData : kExec;
  body = Replace(body, "@READ@", answers.kind == DataKind::kText ? kReadText : kReadMessages);
  return out + Replace(body, "@NAME@", YamlScalar(answers.name));
}

std::string ExampleConversations() {
  static const char* const kPairs[][2] = {{"ls", "lists what is in a folder"},
                                          {"cp", "copies files and folders"},
                                          {"mv", "moves or renames files"},
                                          {"rm", "removes files and folders"},
                                          {"cat", "prints files one after the other"},
                                          {"grep", "prints lines that match a pattern"},
                                          {"sort", "sorts lines of text"},
                                          {"uniq", "drops or counts repeated lines next to each other"},
                                          {"wc", "counts lines, words and bytes"},
                                          {"head", "prints the first lines of a file"},
                                          {"tail", "prints the last lines of a file"},
                                          {"find", "looks for files in a tree of folders"},
                                          {"chmod", "changes who may read, write and run a file"},
                                          {"tar", "packs many files into one archive"},
                                          {"df", "says how much space file systems have left"},
                                          {"du", "says how much space files take"},
                                          {"ps", "lists the processes that are running"},
                                          {"kill", "sends a signal to a process"},
                                          {"ssh", "opens a shell on another machine"},
                                          {"rsync", "copies what has changed, here or to another machine"}};
  std::string out;
  for (const auto& [name, does] : kPairs) {
    const nlohmann::ordered_json user = {{"role", "user"},
                                         {"content", std::string("What does ") + name + " do?"}};
    const nlohmann::ordered_json assistant = {{"role", "assistant"},
                                              {"content", std::string(name) + " " + does + "."}};
    out += nlohmann::ordered_json{{"id", name}, {"messages", {user, assistant}}}.dump() + "\n";
  }
  return out;
}

}  // namespace genflow::cli
