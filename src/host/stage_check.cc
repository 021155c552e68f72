#include "host/stage_check.h"

#include <unistd.h>

#include <algorithm>
#include <cctype>
#include <csignal>

#include "base/strings.h"
#include "base/subprocess.h"
#include "host/plugin_file.h"

namespace genflow {

namespace {

using nlohmann::json;
using Answer = std::vector<std::vector<ParamProblem>>;

constexpr std::string_view kHint = "hint: ";

// "require[1]" of "require[1], column 3: ..." and "lora.r" of "lora.r is 0"; empty when `line` does not begin
// with a parameter of the stage.
std::string ParamAtStart(const gf_stage& stage, std::string_view line) {
  size_t end = 0;
  while (end < line.size() &&
         (std::isalnum(static_cast<unsigned char>(line[end])) != 0 || line[end] == '_' || line[end] == '.')) {
    ++end;
  }
  const std::string_view name = line.substr(0, end);
  for (const gf_param* const* p = stage.params; p != nullptr && *p != nullptr; ++p) {
    if (name != (*p)->name) continue;
    if (end < line.size() && line[end] == '[') {
      const size_t close = line.find(']', end);
      if (close != std::string_view::npos) end = close + 1;
    }
    return std::string(line.substr(0, end));
  }
  return {};
}

json ToJson(const CheckRequest& request) {
  json stages = json::array();
  for (const auto& stage : request.stages) stages.push_back({{"name", stage.name}, {"params", stage.params}});
  return {{"plugin", request.plugin.string()}, {"digest", request.plugin_digest}, {"stages", stages}};
}

json AnswerToJson(const Result<Answer>& answer) {
  if (!answer.ok()) return {{"error", answer.error().message}, {"hint", answer.error().hint}};
  json out = json::array();
  for (const auto& problems : *answer) {
    json& list = out.emplace_back(json::array());
    for (const auto& p : problems)
      list.push_back({{"param", p.param}, {"message", p.message}, {"hint", p.hint}});
  }
  return {{"problems", out}};
}

Result<Answer> AnswerFromJson(const std::string& text) {
  try {
    const json answer = json::parse(text);
    if (answer.contains("error")) return InvalidError(answer.at("error"), answer.at("hint"));
    Answer out;
    for (const auto& list : answer.at("problems")) {
      auto& problems = out.emplace_back();
      for (const auto& p : list) problems.push_back({p.at("param"), p.at("message"), p.at("hint")});
    }
    return out;
  } catch (const json::exception& e) {
    return MakeError(Code::kInternal, std::string("what the worker answered is not understood: ") + e.what());
  }
}

struct Worker {
  Process process;
  Fd answer;
};

Result<Worker> StartWorker(const CheckRequest& request) {
  GF_TRY(const Fd text, TextAsFile(ToJson(request).dump(-1, ' ', false, json::error_handler_t::replace)));
  GF_TRY(auto pipe, MakePipe());
  ProcessOptions options;
  options.file = ExecutablePath().string();
  options.argv = {"genflow", "worker", "--check"};
  options.env = EnvironmentWith({});
  options.fds = {{text.get(), 0}, {pipe.second.get(), 1}};
  GF_TRY(auto process, Process::Start(options));
  return Worker{std::move(process), std::move(pipe.first)};
}

Result<Answer> Finish(Worker worker, const CheckRequest& request) {
  std::string text = ReadToEnd(worker.answer.get());
  ExitStatus status = worker.process.Wait();
  if (status.signal == SIGKILL) {  // not the plugin's doing: somebody's, or the system's for want of memory
    GF_TRY(Worker second, StartWorker(request));
    text = ReadToEnd(second.answer.get());
    status = second.process.Wait();
  }
  if (!status.Succeeded()) {
    return MakeError(Code::kInternal, "plugin " + request.plugin.string() + " ended with " +
                                          status.ToString() + " while it checked parameters");
  }
  GF_TRY(Answer answer, AnswerFromJson(text));
  if (answer.size() != request.stages.size())
    return MakeError(Code::kInternal, "the worker answered for another number of stages");
  return answer;
}

}  // namespace

std::vector<ParamProblem> CheckParams(const gf_stage& stage, const json& params) {
  std::vector<ParamProblem> out;
  if (stage.check == nullptr) return out;
  const std::string text = params.dump(-1, ' ', false, json::error_handler_t::replace);
  const char* said = stage.check(text.c_str());
  if (said == nullptr) return out;
  for (const std::string_view line : Split(said, '\n')) {
    const std::string_view trimmed = Trim(line);
    if (trimmed.empty()) continue;
    const bool indented = line.front() == ' ' || line.front() == '\t';
    if (trimmed.starts_with(kHint) && !out.empty())
      out.back().hint = trimmed.substr(kHint.size());
    else if (indented && !out.empty())
      out.back().message += "\n" + std::string(line.substr(0, line.find_last_not_of(" \t\r") + 1));
    else
      out.push_back({ParamAtStart(stage, trimmed), std::string(trimmed), ""});
  }
  return out;
}

Result<Answer> CheckStages(const CheckRequest& request) {
  GF_TRY(const gf_plugin* plugin, OpenPlugin(request.plugin, &IdleHost(), request.plugin_digest));
  Answer out;
  for (const auto& [name, params] : request.stages) {
    const gf_stage* stage = FindStage(plugin, name);
    if (stage == nullptr)
      return InvalidError("plugin " + request.plugin.string() + " has no stage '" + name + "'");
    out.push_back(CheckParams(*stage, params));
  }
  return out;
}

std::vector<Result<Answer>> CheckInWorkers(const std::vector<CheckRequest>& requests, size_t workers) {
  std::vector<Result<Worker>> started;
  std::vector<Result<Answer>> out;
  for (size_t at = 0; at < requests.size(); ++at) {
    while (started.size() < requests.size() && started.size() < at + std::max<size_t>(1, workers))
      started.push_back(StartWorker(requests[started.size()]));
    out.push_back(started[at].ok() ? Finish(*std::move(started[at]), requests[at])
                                   : Result<Answer>(started[at].error()));
  }
  return out;
}

int CheckWorkerMain() {
  const json request = json::parse(ReadToEnd(STDIN_FILENO), nullptr, false);
  Result<Answer> answer = Answer();
  try {
    CheckRequest asked;
    asked.plugin = request.at("plugin").get<std::string>();
    asked.plugin_digest = request.at("digest");
    for (const auto& stage : request.at("stages"))
      asked.stages.push_back({stage.at("name"), stage.at("params")});
    answer = CheckStages(asked);
  } catch (const json::exception& e) {
    answer = MakeError(Code::kInternal, std::string("the request is not understood: ") + e.what());
  }
  const std::string text = AnswerToJson(answer).dump(-1, ' ', false, json::error_handler_t::replace);
  const bool written = WriteAll(STDOUT_FILENO, text).ok();
  // Plugins are never unloaded: leave without running destructors of the libraries they brought.
  ::_exit(written ? 0 : 1);
}

}  // namespace genflow
