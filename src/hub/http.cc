#include "hub/http.h"

#include <curl/curl.h>

#include <algorithm>
#include <charconv>
#include <mutex>

#include "base/strings.h"

namespace genflow::hub {
namespace {

constexpr long kConnectSeconds = 15;
constexpr long kSilentSeconds = 30;  // without a byte
constexpr long kRedirects = 10;

std::string TransportProblem(CURLcode code) {
  switch (code) {
    case CURLE_COULDNT_RESOLVE_HOST:
      return "the host's name is not known";
    case CURLE_COULDNT_CONNECT:
      return "no connection to the server";
    case CURLE_OPERATION_TIMEDOUT:
      return "the server is silent";
    case CURLE_PARTIAL_FILE:
    case CURLE_RECV_ERROR:
    case CURLE_GOT_NOTHING:
      return "the server broke off";
    default:
      return ::curl_easy_strerror(code);
  }
}

bool TransportMayHelp(CURLcode code) {
  return code != CURLE_URL_MALFORMAT && code != CURLE_UNSUPPORTED_PROTOCOL && code != CURLE_OUT_OF_MEMORY &&
         code != CURLE_PEER_FAILED_VERIFICATION && code != CURLE_TOO_MANY_REDIRECTS;
}

int64_t NumberOf(std::string_view text) {
  int64_t value = -1;
  std::from_chars(text.data(), text.data() + text.size(), value);
  return value;
}

// "W/\"abc\"" -> "abc"
std::string Etag(std::string_view text) {
  if (text.starts_with("W/")) text.remove_prefix(2);
  if (text.size() >= 2 && text.front() == '"' && text.back() == '"') text = text.substr(1, text.size() - 2);
  return std::string(text);
}

// One transfer, as libcurl's callbacks see it.
struct Transfer {
  const Get* get = nullptr;
  CURL* curl = nullptr;
  Response head;
  std::string linked_etag;
  bool said_head = false;
  Status status;

  void Header(std::string_view line) {
    line = Trim(line);
    if (line.starts_with("HTTP/")) {  // another answer, after a redirect
      head = {};
      const size_t space = line.find(' ');
      if (space != std::string_view::npos) head.status = static_cast<long>(NumberOf(line.substr(space + 1)));
      return;
    }
    const size_t colon = line.find(':');
    if (colon == std::string_view::npos) return;
    const std::string name = ToLowerAscii(line.substr(0, colon));
    const std::string_view value = Trim(line.substr(colon + 1));
    if (name == "etag") head.etag = Etag(value);
    if (name == "x-linked-etag") linked_etag = Etag(value);
    if (name == "content-length") head.length = NumberOf(value);
    if (name == "content-range" && value.starts_with("bytes ")) head.range_begin = NumberOf(value.substr(6));
  }

  // Before the first byte of the body, and after an empty one.
  bool SayHead() {
    if (said_head) return true;
    said_head = true;
    if (!linked_etag.empty()) head.etag = linked_etag;
    if (get->on_head) status = get->on_head(head);
    return status.ok();
  }

  bool Body(std::string_view bytes) {
    if (head.status >= 300 && head.status < 400) return true;
    if (!SayHead()) return false;
    if (head.status >= 200 && head.status < 300 && get->on_body) status = get->on_body(bytes);
    return status.ok();
  }
};

size_t OnHeader(char* data, size_t size, size_t count, void* transfer) {
  static_cast<Transfer*>(transfer)->Header({data, size * count});
  return size * count;
}
size_t OnBody(char* data, size_t size, size_t count, void* transfer) {
  return static_cast<Transfer*>(transfer)->Body({data, size * count}) ? size * count : 0;
}
int OnProgress(void* transfer, curl_off_t, curl_off_t, curl_off_t, curl_off_t) {
  const auto* stop = static_cast<Transfer*>(transfer)->get->stop;
  return stop != nullptr && *stop ? 1 : 0;
}

}  // namespace

struct Client::Impl {
  std::unique_ptr<CURL, decltype(&::curl_easy_cleanup)> curl{nullptr, ::curl_easy_cleanup};
};

Client::Client() : impl_(std::make_unique<Impl>()) {
  static std::once_flag once;
  std::call_once(once, [] { ::curl_global_init(CURL_GLOBAL_DEFAULT); });
  impl_->curl.reset(::curl_easy_init());
}
Client::~Client() = default;

std::optional<Problem> Client::Perform(const Get& get, Response* response) {
  CURL* const curl = impl_->curl.get();
  if (curl == nullptr) return Problem{MakeError(Code::kInternal, "libcurl does not start")};
  Transfer transfer;
  transfer.get = &get;
  transfer.curl = curl;
  ::curl_easy_reset(curl);  // keeps connections
  std::unique_ptr<curl_slist, decltype(&::curl_slist_free_all)> headers(nullptr, ::curl_slist_free_all);
  // As sent a header of this name goes to the first host alone.
  if (!get.token.empty())
    headers.reset(::curl_slist_append(nullptr, ("Authorization: Bearer " + get.token).c_str()));
  ::curl_easy_setopt(curl, CURLOPT_URL, get.url.c_str());
  ::curl_easy_setopt(curl, CURLOPT_PROTOCOLS_STR, "http,https");
  ::curl_easy_setopt(curl, CURLOPT_REDIR_PROTOCOLS_STR,
                     get.url.starts_with("https:") ? "https" : "http,https");
  ::curl_easy_setopt(curl, CURLOPT_FOLLOWLOCATION, 1L);
  ::curl_easy_setopt(curl, CURLOPT_MAXREDIRS, kRedirects);
  ::curl_easy_setopt(curl, CURLOPT_HTTPHEADER, headers.get());
  ::curl_easy_setopt(curl, CURLOPT_USERAGENT, "genflow/" GENFLOW_VERSION);
  ::curl_easy_setopt(curl, CURLOPT_CONNECTTIMEOUT, kConnectSeconds);
  ::curl_easy_setopt(curl, CURLOPT_LOW_SPEED_LIMIT, 1L);
  ::curl_easy_setopt(curl, CURLOPT_LOW_SPEED_TIME, kSilentSeconds);
  ::curl_easy_setopt(curl, CURLOPT_NOSIGNAL, 1L);
  ::curl_easy_setopt(curl, CURLOPT_HEADERFUNCTION, OnHeader);
  ::curl_easy_setopt(curl, CURLOPT_HEADERDATA, &transfer);
  ::curl_easy_setopt(curl, CURLOPT_WRITEFUNCTION, OnBody);
  ::curl_easy_setopt(curl, CURLOPT_WRITEDATA, &transfer);
  ::curl_easy_setopt(curl, CURLOPT_NOPROGRESS, 0L);
  ::curl_easy_setopt(curl, CURLOPT_XFERINFOFUNCTION, OnProgress);
  ::curl_easy_setopt(curl, CURLOPT_XFERINFODATA, &transfer);
  const std::string range = std::to_string(get.from) + "-";
  if (get.from > 0) ::curl_easy_setopt(curl, CURLOPT_RANGE, range.c_str());
  const CURLcode code = ::curl_easy_perform(curl);
  if (transfer.status.ok() && code == CURLE_OK) (void)transfer.SayHead();
  *response = transfer.head;
  if (!transfer.status.ok()) return Problem{transfer.status.error()};
  if (code == CURLE_ABORTED_BY_CALLBACK) return Problem{MakeError(Code::kInterrupted, "stopped")};
  if (code != CURLE_OK) return Problem{MakeError(Code::kIo, TransportProblem(code)), TransportMayHelp(code)};
  const long status = transfer.head.status;
  if (status == 408 || status == 425 || status == 429 || (status >= 500 && status <= 599)) {
    curl_off_t wait = 0;
    ::curl_easy_getinfo(curl, CURLINFO_RETRY_AFTER, &wait);
    return Problem{MakeError(Code::kIo, "the server answers with status " + std::to_string(status)), true,
                   static_cast<double>(wait)};
  }
  return std::nullopt;
}

std::string Escaped(std::string_view text) {
  static constexpr char kHex[] = "0123456789ABCDEF";
  std::string out;
  for (const char c : text) {
    const bool plain = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
                       c == '-' || c == '.' || c == '_' || c == '~';
    if (plain) {
      out += c;
      continue;
    }
    const auto byte = static_cast<unsigned char>(c);
    out += {'%', kHex[byte >> 4], kHex[byte & 15]};
  }
  return out;
}

}  // namespace genflow::hub
