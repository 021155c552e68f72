#include "cli/hub_server.h"

#include <arpa/inet.h>
#include <gtest/gtest.h>
#include <netinet/in.h>
#include <openssl/sha.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <cstdlib>
#include <sstream>

#include "base/sha256.h"
#include "base/strings.h"

namespace genflow {

namespace {

constexpr int kPatience = 30'000;  // milliseconds

std::string GitBlob(const std::string& bytes) {
  std::string text = "blob " + std::to_string(bytes.size());
  text += '\0';
  text += bytes;
  unsigned char digest[SHA_DIGEST_LENGTH];
  ::SHA1(reinterpret_cast<const unsigned char*>(text.data()), text.size(), digest);
  std::string out;
  for (const unsigned char byte : digest) {
    char hex[3];
    std::snprintf(hex, sizeof hex, "%02x", byte);
    out += hex;
  }
  return out;
}

std::string Head(const std::string& status, size_t length, const std::string& more) {
  return "HTTP/1.1 " + status + "\r\nContent-Length: " + std::to_string(length) +
         "\r\nConnection: close\r\n" + more + "\r\n";
}

}  // namespace

HubServer::HubServer() : listening_(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0)) {
  struct sockaddr_in address {};
  address.sin_family = AF_INET;
  address.sin_addr.s_addr = ::htonl(INADDR_LOOPBACK);
  socklen_t size = sizeof address;
  auto* generic = reinterpret_cast<struct sockaddr*>(&address);
  EXPECT_EQ(::bind(listening_.get(), generic, size), 0);
  EXPECT_EQ(::listen(listening_.get(), 64), 0);
  EXPECT_EQ(::getsockname(listening_.get(), generic, &size), 0);
  port_ = ::ntohs(address.sin_port);
  thread_ = std::thread([this] { Serve(); });
}

HubServer::~HubServer() {
  ends_ = true;
  thread_.join();
  for (auto& thread : answering_) thread.join();
}

void HubServer::Add(const std::string& name, const std::string& bytes, bool lfs) {
  files_["/org/tiny/resolve/" + Commit() + "/" + name] = bytes;
  if (!entries_.empty()) entries_ += ", ";
  entries_ += R"({"rfilename": ")" + name + R"(", "size": )" + std::to_string(bytes.size()) +
              R"(, "blobId": ")" + GitBlob(lfs ? "pointer" : bytes) + R"(")";
  if (lfs)
    entries_ +=
        R"(, "lfs": {"sha256": ")" + Sha256Hex(bytes) + R"(", "size": )" + std::to_string(bytes.size()) + "}";
  entries_ += "}";
  listing_ = R"({"id": "org/tiny", "sha": ")" + Commit() + R"(", "siblings": [)" + entries_ + "]}";
}

std::vector<HubRequest> HubServer::Requests() {
  const std::lock_guard lock(mutex_);
  return requests_;
}

size_t HubServer::Count(const std::string& path) {
  const auto all = Requests();
  return static_cast<size_t>(
      std::count_if(all.begin(), all.end(), [&](const HubRequest& one) { return one.path == path; }));
}

void HubServer::Serve() {
  while (!ends_) {
    struct pollfd entry = {listening_.get(), POLLIN, 0};
    if (::poll(&entry, 1, 20) <= 0) continue;
    const int connection = ::accept4(listening_.get(), nullptr, nullptr, SOCK_CLOEXEC);
    if (connection >= 0) answering_.emplace_back([this, connection] { Answer(connection); });
  }
}

void HubServer::Answer(int fd) {
  const Fd connection(fd);
  std::string text;
  while (text.find("\r\n\r\n") == std::string::npos) {
    struct pollfd entry = {fd, POLLIN, 0};
    char buffer[4096];
    if (::poll(&entry, 1, kPatience) <= 0) return;
    const ssize_t n = ::read(fd, buffer, sizeof buffer);
    if (n <= 0) return;
    text.append(buffer, static_cast<size_t>(n));
  }
  HubRequest request;
  std::istringstream lines(text);
  std::string line, method, fault;
  std::getline(lines, line);
  std::istringstream(line) >> method >> request.path;
  while (std::getline(lines, line)) {
    const size_t colon = line.find(':');
    if (colon == std::string::npos) continue;
    const std::string name = ToLowerAscii(line.substr(0, colon)), value(Trim(line.substr(colon + 1)));
    if (name == "range") request.range = value;
    if (name == "authorization") request.authorization = value;
  }
  {
    const std::lock_guard lock(mutex_);
    requests_.push_back(request);
    if (auto& next = faults_[request.path]; !next.empty()) {
      fault = next.front();
      next.pop_front();
    }
  }
  const auto send = [&](const std::string& bytes) { (void)WriteAll(fd, bytes).ok(); };
  if (!token_.empty() && request.authorization != "Bearer " + token_)
    return send(Head("401 Unauthorized", 0, ""));
  if (fault == "hang") {
    struct pollfd entry = {fd, POLLIN, 0};
    while (!ends_ && ::poll(&entry, 1, 20) == 0) {
    }
    return;
  }
  if (fault.starts_with("to ")) return send(Head("302 Found", 0, "Location: " + fault.substr(3) + "\r\n"));
  if (!fault.empty() && fault[0] >= '1' && fault[0] <= '5') {
    const size_t end = fault.find('\n');
    return send(
        Head(fault.substr(0, end), 0, end == std::string::npos ? "" : fault.substr(end + 1) + "\r\n"));
  }
  if (request.path.starts_with("/api/models/org/tiny/revision/"))
    return send(Head("200 OK", listing_.size(), "") + listing_);
  const auto file = files_.find(request.path);
  if (file == files_.end()) return send(Head("404 Not Found", 0, ""));
  std::string body = file->second, status = "200 OK", more;
  if (fault == "wrong") std::fill(body.begin(), body.end(), '?');
  if (fault == "more") body += "more than that";
  size_t from = 0;
  if (request.range.starts_with("bytes=") && fault != "no range") {
    from = static_cast<size_t>(std::atoll(request.range.c_str() + 6));
    if (from >= body.size()) return send(Head("416 Range Not Satisfiable", 0, ""));
    status = "206 Partial Content";
    more = "Content-Range: bytes " + std::to_string(from) + "-" + std::to_string(body.size() - 1) + "/" +
           std::to_string(body.size()) + "\r\n";
  }
  body.erase(0, from);
  const std::string head = Head(status, body.size(), more);
  if (fault.starts_with("break "))
    body.resize(std::min(body.size(), static_cast<size_t>(std::atoll(fault.c_str() + 6))));
  send(head + body);
}

}  // namespace genflow
