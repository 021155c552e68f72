// What servers on this machine, which do what a test says, share: a port, and requests.
#pragma once

#include <map>
#include <optional>
#include <string>

#include "base/files.h"

namespace genflow {

// A port of the loopback interface that takes connections.
class LocalPort {
 public:
  LocalPort();

  // "http://127.0.0.1:PORT"
  std::string Url() const { return "http://127.0.0.1:" + std::to_string(port_); }
  // The next connection; none where there is none within so many milliseconds.
  Fd Accept(int milliseconds) const;
  // Connections are refused from now on.
  void Close() { listening_.Reset(); }

 private:
  Fd listening_;
  int port_ = 0;
};

struct HttpRequest {
  std::string method, path, body;
  std::map<std::string, std::string> headers;  // names in lower case

  std::string Header(const std::string& name) const {
    const auto found = headers.find(name);
    return found == headers.end() ? "" : found->second;
  }
};

// The request that comes on a connection, with what Content-Length says. What is missing when the connection
// ends, or after half a minute, is left out; nothing where not even the headers are whole.
std::optional<HttpRequest> ReadRequest(int connection);

// The beginning of an answer, up to its body. `more`: lines of headers.
std::string AnswerHead(const std::string& status, size_t length, const std::string& more = {});

}  // namespace genflow
