// `genflow-notify`: delivers one message. `genflow run --notify` starts it; what to send where comes on
// standard input as {"url", "body", "attempts", "timeout", "backoff"}, so that no list of processes shows it.
// Exit code 0: delivered; 1: not, and standard output says why in one line; 2: it was asked wrongly.
#include <unistd.h>

#include <cstdio>
#include <nlohmann/json.hpp>

#include "base/subprocess.h"
#include "notify/delivery.h"

namespace genflow::notify {
namespace {

int Main() {
  Delivery delivery;
  try {
    const auto request = nlohmann::json::parse(ReadToEnd(STDIN_FILENO));
    delivery.url = request.at("url").get<std::string>();
    delivery.body = request.at("body").get<std::string>();
    delivery.attempts = request.value("attempts", delivery.attempts);
    delivery.timeout = request.value("timeout", delivery.timeout);
    delivery.backoff = request.value("backoff", delivery.backoff);
  } catch (const nlohmann::json::exception&) {
    std::puts("standard input is not a request");
    return 2;
  }
  const Status delivered = Deliver(delivery);
  if (delivered.ok()) return 0;
  std::puts(delivered.error().message.c_str());
  return 1;
}

}  // namespace
}  // namespace genflow::notify

int main() { return genflow::notify::Main(); }
