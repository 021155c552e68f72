#include "eval/model_card.h"

#include <algorithm>
#include <cstdio>

#include "base/strings.h"
#include "eval/markdown.h"
#include "text/numbers.h"

namespace genflow::eval {
namespace {

// "134.5M".
std::string Millions(int64_t count) {
  char text[32];
  if (count >= 1'000'000'000)
    std::snprintf(text, sizeof text, "%.2fB", static_cast<double>(count) / 1e9);
  else if (count >= 1'000'000)
    std::snprintf(text, sizeof text, "%.1fM", static_cast<double>(count) / 1e6);
  else
    return WithCommas(count);
  return text;
}

// A report about safety belongs under its own heading.
bool IsGuard(const Report& report) {
  return !report.metrics.empty() && report.metrics.front().name.starts_with("guard.");
}

// A gate's report says how it judged; its metrics are no measurements.
bool IsOfGate(const std::string& metric) {
  return metric.starts_with("gate.") || metric.starts_with("change.");
}

std::string Metrics(const std::vector<NamedReport>& reports) {
  // A metric and its baseline stand in one row.
  Table table{"", {"metric", "this model", "base model", "n", "from"}, {}};
  for (const auto& [stage, report, source, baseline, samples] : reports) {
    if (IsGuard(report)) continue;
    for (const auto& metric : report.metrics) {
      if (metric.name.starts_with("baseline.") || IsOfGate(metric.name)) continue;
      const Metric* base = report.Find("baseline." + metric.name);
      table.rows.push_back({metric.name, FormatMetric(metric), base == nullptr ? "" : FormatMetric(*base),
                            metric.n == 0 ? "" : std::to_string(metric.n), stage});
    }
  }
  return table.rows.empty() ? "" : "\n## Metrics\n\n" + MarkdownTable(table);
}

std::string TablesOf(const std::vector<NamedReport>& reports, bool guard) {
  std::string out;
  for (const auto& [stage, report, source, baseline, samples] : reports) {
    if (IsGuard(report) != guard) continue;
    for (const auto& table : report.tables) {
      if (table.title == "Base and tuned model") continue;  // its numbers stand under Metrics
      out +=
          "\n### " + table.title + (stage.empty() ? "" : " (" + stage + ")") + "\n\n" + MarkdownTable(table);
    }
  }
  return out;
}

std::string Guard(const std::vector<NamedReport>& reports) {
  std::string out;
  for (const auto& [stage, report, source, baseline, samples] : reports) {
    if (!IsGuard(report)) continue;
    if (const Metric* rate = report.Find("guard.pass_rate")) {
      out += "\n" + FormatMetric(*rate) + " of " + std::to_string(rate->n) + " probes passed";
      const Metric *low = report.Find("guard.pass_rate_low"), *high = report.Find("guard.pass_rate_high");
      if (low != nullptr && high != nullptr) {
        out += " (95% interval " + FormatMetric(*low) + " to " + FormatMetric(*high) + ")";
      }
      out += ".\n";
    }
  }
  if (out.empty())
    return "\n## Guard results\n\nNo guard report was given: how this model answers to attacks is not "
           "known.\n";
  return "\n## Guard results\n" + out + TablesOf(reports, true);
}

std::string Usage(const ModelCard& card) {
  std::string out = "\n## How to use it\n";
  if (!card.merged_dtype.empty()) {
    out += "\nTransformers, the merged model (" + card.merged_dtype +
           "):\n\n"
           "```python\n"
           "from transformers import AutoModelForCausalLM, AutoTokenizer\n\n"
           "tokenizer = AutoTokenizer.from_pretrained(\"merged\")\n"
           "model = AutoModelForCausalLM.from_pretrained(\"merged\")\n"
           "messages = [{\"role\": \"user\", \"content\": \"...\"}]\n"
           "ids = tokenizer.apply_chat_template(messages, add_generation_prompt=True, return_tensors=\"pt\", "
           "return_dict=True)\n"
           "print(tokenizer.decode(model.generate(**ids, max_new_tokens=64)[0], skip_special_tokens=True))\n"
           "```\n";
  }
  out +=
      "\nPEFT, the adapter on its base model:\n\n"
      "```python\n"
      "from peft import PeftModel\n"
      "from transformers import AutoModelForCausalLM\n\n"
      "base = AutoModelForCausalLM.from_pretrained(\"" +
      card.base_name +
      "\")\n"
      "model = PeftModel.from_pretrained(base, \"adapter\")\n"
      "```\n";
  if (!card.gguf_file.empty()) {
    out += "\nllama.cpp:\n\n```sh\nllama-cli -m " + card.gguf_file + " -p \"...\"\n```\n";
  }
  const std::string model = !card.merged_dtype.empty() ? "merged" : card.gguf_file;
  if (!model.empty()) {
    out +=
        "\ngenflow, on a dataset of messages:\n\n"
        "```sh\ngenflow stages run eval.generate --in model=" +
        model + " --in dataset=DATASET --out answers\n```\n";
  }
  return out + "\n`sha256sum -c SHA256SUMS` proves that the files are whole.\n";
}

std::string License(const ModelCard& card) {
  std::string out = "\n## License\n\n";
  out += card.license.empty() ? "The license of this package was not stated.\n"
                              : "This package: " + card.license + ".\n";
  out += card.base_license.empty()
             ? "The base model's files state no license; its terms apply to this model too.\n"
             : "The base model: " + card.base_license + ", as its files state.\n";
  for (const auto& file : card.license_files) out += "- " + file + "\n";
  return out;
}

using Rows = std::vector<std::pair<std::string, std::string>>;

// transformers' names, as people write them.
std::string NameOfOptimizer(const std::string& optim) {
  if (optim.starts_with("adamw_8bit")) return "AdamW with moments of 8 bits";
  if (optim.starts_with("adamw")) return "AdamW";
  return optim == "adafactor" ? "Adafactor" : optim;
}

void AddArgs(const formats::TrainingArgs& args, Rows* rows) {
  std::string schedule = args.lr_scheduler_type;
  if (args.warmup_steps > 0)
    schedule += ", warm-up over " + WithCommas(args.warmup_steps) + " steps";
  else if (args.warmup_ratio > 0)
    schedule += ", warm-up over " + text::Number(args.warmup_ratio * 100) + "% of the steps";
  std::string optimizer = NameOfOptimizer(args.optim) + ", weight decay " + text::Number(args.weight_decay);
  if (args.max_grad_norm > 0) optimizer += ", gradients clipped to norm " + text::Number(args.max_grad_norm);
  const std::string batch =
      std::to_string(args.per_device_train_batch_size) + (args.packing ? " packed rows" : " examples") +
      (args.gradient_accumulation_steps > 1
           ? ", " + std::to_string(args.gradient_accumulation_steps) + " times an update"
           : "");
  rows->insert(rows->end(), {{"learning rate", text::Number(args.learning_rate)},
                             {"schedule", schedule},
                             {"optimizer", optimizer},
                             {"batch", batch},
                             {"sequence length", WithCommas(args.max_length)},
                             {"number format", args.bf16 ? "base weights bf16, adapter fp32" : "fp32"},
                             {"seed", std::to_string(args.seed)}});
}

void AddState(const formats::TrainerState& state, Rows* rows) {
  char epochs[40];
  std::snprintf(epochs, sizeof epochs, "%.4g", state.epoch);
  rows->push_back({"epochs", epochs});
  rows->push_back({"steps", WithCommas(state.global_step)});
  if (state.num_input_tokens_seen > 0) {
    rows->push_back({"tokens seen",
                     WithCommas(state.num_input_tokens_seen) +
                         (state.num_labelled_tokens_seen > 0
                              ? ", of which " + WithCommas(state.num_labelled_tokens_seen) + " were learned"
                              : "")});
  }
  const auto add = [rows](const char* name, const std::optional<double>& loss) {
    char text[40];
    if (!loss) return;
    std::snprintf(text, sizeof text, "%.4f", *loss);
    rows->push_back({name, text});
  };
  add("final loss", state.loss);
  add("mean loss", state.train_loss);
  add("held-out loss", state.eval_loss);
}

}  // namespace

std::vector<std::pair<std::string, std::string>> TrainingRows(const formats::TrainingRecord& record) {
  Rows rows;
  if (record.args) AddArgs(*record.args, &rows);
  if (record.state) AddState(*record.state, &rows);
  return rows;
}

std::string RenderModelCard(const ModelCard& card) {
  std::string out = "# " + card.name + "\n\n";
  if (!card.about.empty()) out += card.about + "\n\n";
  out += "- base model: " + card.base_name + " (" + card.architecture + ", " + Millions(card.parameters) +
         " parameters, stored as " + card.base_type + ")\n";
  if (!card.training.empty()) {
    Table table{"", {"parameter", "value"}, {}};
    for (const auto& [key, value] : card.training) table.rows.push_back({key, value});
    out += "\n## Training\n\n" + MarkdownTable(table);
  }
  out += "\n## Data\n\n";
  if (card.datasets.empty()) {
    out += "No dataset was given to the packaging stage.\n";
  } else {
    Table table{"", {"dataset", "kind", "rows", "characters"}, {}};
    for (const auto& dataset : card.datasets) {
      table.rows.push_back(
          {dataset.name, dataset.kind, WithCommas(dataset.rows), WithCommas(dataset.characters)});
    }
    out += MarkdownTable(table);
  }
  out += Metrics(card.reports) + TablesOf(card.reports, false) + Guard(card.reports);
  Table lineage{"", {"input", "made by", "digest"}, {}};
  for (const auto& input : card.lineage) lineage.rows.push_back({input.role, input.source, input.digest});
  out += "\n## Lineage\n\n" + MarkdownTable(lineage);
  return out + Usage(card) + License(card);
}

}  // namespace genflow::eval
