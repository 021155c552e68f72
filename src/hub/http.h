// GET over HTTP by libcurl: the only file that calls it here.
#pragma once

#include <atomic>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

#include "base/result.h"

namespace genflow::hub {

struct Response {
  long status = 0;
  std::string etag;          // without quotes and weakness; of what was linked to, where the server says
  int64_t range_begin = -1;  // of a 206, from Content-Range
  int64_t length = -1;       // Content-Length of the body
};

// Why a request gave no whole answer.
struct Problem {
  Error error;
  bool may_help = false;  // to try again
  double wait = 0;        // seconds that the server asked for
};

struct Get {
  std::string url;
  std::string token;  // sent to the URL's own host alone; "" none
  int64_t from = 0;   // > 0: asks for the rest from that byte on
  // The head of the last answer, before its body; an error ends the transfer with it.
  std::function<Status(const Response&)> on_head;
  std::function<Status(std::string_view)> on_body;
  const std::atomic<bool>* stop = nullptr;  // ends the transfer: kInterrupted
};

// One connection that is kept. Follows redirects; from https never to http.
class Client {
 public:
  Client();
  ~Client();
  // The answer's head, whatever its status, or what went wrong on the way. `on_body` gets the body of 2xx
  // alone.
  std::optional<Problem> Perform(const Get& get, Response* response);

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

// A piece of a path for a URL: everything but unreserved characters as %XX.
std::string Escaped(std::string_view text);

}  // namespace genflow::hub
