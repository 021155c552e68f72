// A model hub on this machine, which does what a test says, well or badly.
#pragma once

#include <atomic>
#include <deque>
#include <map>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

#include "cli/local_http.h"

namespace genflow {

class HubServer {
 public:
  HubServer();
  ~HubServer();

  std::string Url() const { return listening_.Url(); }

  // The model org/tiny, at commit Commit(), holds this file; `lfs`: listed with its SHA-256, else with git's
  // name of the blob. Before the first request.
  void Add(const std::string& name, const std::string& bytes, bool lfs);
  static std::string Commit() { return std::string(40, 'c'); }
  // The list itself, instead of the one of the files added.
  void SetListing(const std::string& text) { listing_ = text; }
  // What happens to the next requests for a path, in turn, instead of a good answer:
  //   "break N"       the connection ends after N bytes of the body
  //   "wrong"         as many bytes as there should be, other ones
  //   "more"          a body that is longer than what was listed
  //   "no range"      the whole file with 200, whatever was asked for
  //   "STATUS"        "503 Service Unavailable"; a line more is a header
  //   "to URL"        a redirect
  //   "hang"          nothing, until the client goes or the test ends
  void Do(const std::string& path, std::deque<std::string> what) { faults_[path] = std::move(what); }
  // Requests without this token are refused with 401.
  void WantToken(const std::string& token) { token_ = token; }

  std::vector<HttpRequest> Requests();
  size_t Count(const std::string& path);

 private:
  void Serve();
  void Answer(const Fd& connection);

  LocalPort listening_;
  std::atomic<bool> ends_{false};
  std::map<std::string, std::string> files_;
  std::string entries_, listing_, token_;
  std::mutex mutex_;
  std::map<std::string, std::deque<std::string>> faults_;
  std::vector<HttpRequest> requests_;
  std::vector<std::thread> answering_;
  std::thread thread_;
};

}  // namespace genflow
