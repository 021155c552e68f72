// A web hook on this machine that does what a test says.
#pragma once

#include <string>
#include <thread>
#include <vector>

#include "cli/local_http.h"

namespace genflow {

class HookServer {
 public:
  // One word for each connection in turn: "drop" closes it without an answer, everything else is the status
  // line's end, "200 OK". Connections after the last word are refused.
  explicit HookServer(std::vector<std::string> answers);
  ~HookServer();

  std::string Url() const { return port_.Url(); }
  // All requests, once every answer has been given.
  std::vector<HttpRequest> Requests();

 private:
  void Serve(const std::vector<std::string>& answers);

  LocalPort port_;
  std::vector<HttpRequest> requests_;
  std::thread thread_;
};

}  // namespace genflow
