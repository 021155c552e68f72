// The pipelines that `genflow init` writes. Pure: text from answers, no files.
#pragma once

#include <string>
#include <vector>

namespace genflow::cli {

// How the rows of the data are held; it decides whether a stage makes conversations of them.
enum class DataKind { kMessages, kText };

struct InitAnswers {
  std::string template_name;  // one of InitTemplates()
  std::string name;           // of the pipeline
  std::string base;           // the base model, relative to the pipeline's folder; empty where none is needed
  std::string data;           // files to read, as a pattern relative to the pipeline's folder; likewise
  DataKind kind = DataKind::kMessages;
};

struct InitTemplate {
  const char* name;
  const char* summary;  // one line for the question and for the help
  bool needs_base, needs_data;
};
const std::vector<InitTemplate>& InitTemplates();
const InitTemplate* FindInitTemplate(const std::string& name);  // null when there is none of that name

// The text of pipeline.yaml. `answers.template_name` is one of InitTemplates().
std::string RenderInitTemplate(const InitAnswers& answers);

// Conversations to start with, as JSON lines, for data/examples.jsonl.
std::string ExampleConversations();

// Text as a YAML scalar: bare where it reads back as the same text, else in quotes.
std::string YamlScalar(const std::string& text);

}  // namespace genflow::cli
