#include "cli/hub_server.h"

#include <openssl/sha.h>
#include <poll.h>

#include <algorithm>
#include <cstdlib>

#include "base/sha256.h"
#include "base/strings.h"

namespace genflow {

namespace {

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

}  // namespace

HubServer::HubServer() : thread_([this] { Serve(); }) {}

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

std::vector<HttpRequest> HubServer::Requests() {
  const std::lock_guard lock(mutex_);
  return requests_;
}

size_t HubServer::Count(const std::string& path) {
  const auto all = Requests();
  return static_cast<size_t>(
      std::count_if(all.begin(), all.end(), [&](const HttpRequest& one) { return one.path == path; }));
}

void HubServer::Serve() {
  while (!ends_) {
    if (Fd connection = listening_.Accept(20); connection.valid())
      answering_.emplace_back([this, connection = std::move(connection)] { Answer(connection); });
  }
}

void HubServer::Answer(const Fd& connection) {
  const auto read = ReadRequest(connection.get());
  if (!read) return;
  const HttpRequest& request = *read;
  const std::string range = request.Header("range");
  std::string fault;
  {
    const std::lock_guard lock(mutex_);
    requests_.push_back(request);
    if (auto& next = faults_[request.path]; !next.empty()) {
      fault = next.front();
      next.pop_front();
    }
  }
  const auto send = [&](const std::string& bytes) { (void)WriteAll(connection.get(), bytes).ok(); };
  if (!token_.empty() && request.Header("authorization") != "Bearer " + token_)
    return send(AnswerHead("401 Unauthorized", 0));
  if (fault == "hang") {
    struct pollfd entry = {connection.get(), POLLIN, 0};
    while (!ends_ && ::poll(&entry, 1, 20) == 0) {
    }
    return;
  }
  if (fault.starts_with("to "))
    return send(AnswerHead("302 Found", 0, "Location: " + fault.substr(3) + "\r\n"));
  if (!fault.empty() && fault[0] >= '1' && fault[0] <= '5') {
    const size_t end = fault.find('\n');
    return send(
        AnswerHead(fault.substr(0, end), 0, end == std::string::npos ? "" : fault.substr(end + 1) + "\r\n"));
  }
  if (request.path.starts_with("/api/models/org/tiny/revision/"))
    return send(AnswerHead("200 OK", listing_.size()) + listing_);
  const auto file = files_.find(request.path);
  if (file == files_.end()) return send(AnswerHead("404 Not Found", 0));
  std::string body = file->second, status = "200 OK", more;
  if (fault == "wrong") std::fill(body.begin(), body.end(), '?');
  if (fault == "more") body += "more than that";
  size_t from = 0;
  if (range.starts_with("bytes=") && fault != "no range") {
    from = static_cast<size_t>(std::atoll(range.c_str() + 6));
    if (from >= body.size()) return send(AnswerHead("416 Range Not Satisfiable", 0));
    status = "206 Partial Content";
    more = "Content-Range: bytes " + std::to_string(from) + "-" + std::to_string(body.size() - 1) + "/" +
           std::to_string(body.size()) + "\r\n";
  }
  body.erase(0, from);
  const std::string head = AnswerHead(status, body.size(), more);
  if (fault.starts_with("break "))
    body.resize(std::min(body.size(), static_cast<size_t>(std::atoll(fault.c_str() + 6))));
  send(head + body);
}

}  // namespace genflow
