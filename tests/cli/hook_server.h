// A web hook on this machine that does what a test says.
#pragma once

#include <string>
#include <thread>
#include <vector>

#include "base/files.h"

namespace genflow {

struct HookRequest {
  std::string method, path, content_type, user_agent, body;
};

class HookServer {
 public:
  // One word for each connection in turn: "drop" closes it without an answer, everything else is the status
  // line's end, "200 OK". Connections after the last word are refused.
  explicit HookServer(std::vector<std::string> answers);
  ~HookServer();

  // "http://127.0.0.1:PORT"
  std::string Url() const { return "http://127.0.0.1:" + std::to_string(port_); }
  // All requests, once every answer has been given.
  std::vector<HookRequest> Requests();

 private:
  void Serve(const std::vector<std::string>& answers);

  Fd listening_;
  int port_ = 0;
  std::vector<HookRequest> requests_;
  std::thread thread_;
};

}  // namespace genflow
