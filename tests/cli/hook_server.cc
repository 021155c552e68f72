#include "cli/hook_server.h"

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

// A request with Content-Length; what is missing at the end of the connection is left out.
HookRequest ReadRequest(int fd) {
  std::string text;
  size_t body_at = std::string::npos, wanted = 0;
  while (body_at == std::string::npos || text.size() < body_at + wanted) {
    char buffer[4096];
    const ssize_t n = ::read(fd, buffer, sizeof buffer);
    if (n <= 0) break;
    text.append(buffer, static_cast<size_t>(n));
    if (body_at != std::string::npos) continue;
    const size_t end = text.find("\r\n\r\n");
    if (end == std::string::npos) continue;
    body_at = end + 4;
    const std::string head = ToLowerAscii(text.substr(0, body_at));
    const size_t length = head.find("content-length:");
    if (length != std::string::npos) wanted = static_cast<size_t>(std::atoll(head.c_str() + length + 15));
  }
  HookRequest request;
  std::istringstream lines(text.substr(0, body_at));
  std::string line;
  std::getline(lines, line);
  std::istringstream(line) >> request.method >> request.path;
  while (std::getline(lines, line)) {
    const size_t colon = line.find(':');
    if (colon == std::string::npos) continue;
    const std::string name = ToLowerAscii(line.substr(0, colon)), value(Trim(line.substr(colon + 1)));
    if (name == "content-type") request.content_type = value;
    if (name == "user-agent") request.user_agent = value;
  }
  if (body_at != std::string::npos) request.body = text.substr(body_at);
  return request;
}

}  // namespace

HookServer::HookServer(std::vector<std::string> answers)
    : listening_(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0)) {
  struct sockaddr_in address {};
  address.sin_family = AF_INET;
  address.sin_addr.s_addr = ::htonl(INADDR_LOOPBACK);
  socklen_t size = sizeof address;
  auto* generic = reinterpret_cast<struct sockaddr*>(&address);
  EXPECT_EQ(::bind(listening_.get(), generic, size), 0);
  EXPECT_EQ(::listen(listening_.get(), 16), 0);
  EXPECT_EQ(::getsockname(listening_.get(), generic, &size), 0);
  port_ = ::ntohs(address.sin_port);
  thread_ = std::thread([this, answers = std::move(answers)] { Serve(answers); });
}

HookServer::~HookServer() {
  if (thread_.joinable()) thread_.join();
}

std::vector<HookRequest> HookServer::Requests() {
  if (thread_.joinable()) thread_.join();
  return requests_;
}

void HookServer::Serve(const std::vector<std::string>& answers) {
  for (const auto& answer : answers) {
    struct pollfd entry = {listening_.get(), POLLIN, 0};
    if (::poll(&entry, 1, kPatience) <= 0) break;
    const Fd connection(::accept4(listening_.get(), nullptr, nullptr, SOCK_CLOEXEC));
    if (!connection.valid()) break;
    requests_.push_back(ReadRequest(connection.get()));
    if (answer == "drop") continue;
    const std::string text = "HTTP/1.1 " + answer + "\r\nContent-Length: 0\r\nConnection: close\r\n\r\n";
    (void)WriteAll(connection.get(), text).ok();
  }
  listening_.Reset();
}

}  // namespace genflow
