#include "cli/local_http.h"

#include <arpa/inet.h>
#include <gtest/gtest.h>
#include <netinet/in.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cstdlib>
#include <sstream>

#include "base/strings.h"

namespace genflow {

namespace {

constexpr int kPatience = 30'000;  // milliseconds

bool Readable(int fd, int milliseconds) {
  struct pollfd entry = {fd, POLLIN, 0};
  return ::poll(&entry, 1, milliseconds) > 0;
}

}  // namespace

LocalPort::LocalPort() : listening_(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0)) {
  struct sockaddr_in address {};
  address.sin_family = AF_INET;
  address.sin_addr.s_addr = ::htonl(INADDR_LOOPBACK);
  socklen_t size = sizeof address;
  auto* generic = reinterpret_cast<struct sockaddr*>(&address);
  EXPECT_EQ(::bind(listening_.get(), generic, size), 0);
  EXPECT_EQ(::listen(listening_.get(), 64), 0);
  EXPECT_EQ(::getsockname(listening_.get(), generic, &size), 0);
  port_ = ::ntohs(address.sin_port);
}

Fd LocalPort::Accept(int milliseconds) const {
  if (!Readable(listening_.get(), milliseconds)) return Fd();
  return Fd(::accept4(listening_.get(), nullptr, nullptr, SOCK_CLOEXEC));
}

std::optional<HttpRequest> ReadRequest(int connection) {
  HttpRequest request;
  std::string text;
  size_t body_at = std::string::npos, wanted = 0;
  while (body_at == std::string::npos || text.size() < body_at + wanted) {
    char buffer[4096];
    if (!Readable(connection, kPatience)) break;
    const ssize_t n = ::read(connection, buffer, sizeof buffer);
    if (n <= 0) break;
    text.append(buffer, static_cast<size_t>(n));
    if (body_at != std::string::npos) continue;
    const size_t end = text.find("\r\n\r\n");
    if (end == std::string::npos) continue;
    body_at = end + 4;
    std::istringstream lines(text.substr(0, end));
    std::string line;
    std::getline(lines, line);
    std::istringstream(line) >> request.method >> request.path;
    while (std::getline(lines, line)) {
      const size_t colon = line.find(':');
      if (colon != std::string::npos)
        request.headers[ToLowerAscii(line.substr(0, colon))] = Trim(line.substr(colon + 1));
    }
    wanted = static_cast<size_t>(std::atoll(request.Header("content-length").c_str()));
  }
  if (body_at == std::string::npos) return std::nullopt;
  request.body = text.substr(body_at);
  return request;
}

std::string AnswerHead(const std::string& status, size_t length, const std::string& more) {
  return "HTTP/1.1 " + status + "\r\nContent-Length: " + std::to_string(length) +
         "\r\nConnection: close\r\n" + more + "\r\n";
}

}  // namespace genflow
