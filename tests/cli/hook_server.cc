#include "cli/hook_server.h"

namespace genflow {

namespace {

constexpr int kPatience = 30'000;  // milliseconds

}  // namespace

HookServer::HookServer(std::vector<std::string> answers)
    : thread_([this, answers = std::move(answers)] { Serve(answers); }) {}

HookServer::~HookServer() {
  if (thread_.joinable()) thread_.join();
}

std::vector<HttpRequest> HookServer::Requests() {
  if (thread_.joinable()) thread_.join();
  return requests_;
}

void HookServer::Serve(const std::vector<std::string>& answers) {
  for (const auto& answer : answers) {
    const Fd connection = port_.Accept(kPatience);
    if (!connection.valid()) break;
    requests_.push_back(ReadRequest(connection.get()).value_or(HttpRequest()));
    if (answer != "drop") (void)WriteAll(connection.get(), AnswerHead(answer, 0)).ok();
  }
  port_.Close();
}

}  // namespace genflow
