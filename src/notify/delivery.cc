#include "notify/delivery.h"

#include <curl/curl.h>

#include <algorithm>
#include <chrono>
#include <memory>
#include <thread>

namespace genflow::notify {

namespace {

struct Outcome {
  std::string problem;  // empty: delivered
  bool may_help = false;
  double wait = 0;  // that the server asked for, in seconds
};

size_t Discard(char*, size_t size, size_t count, void*) { return size * count; }

// What everybody meets, in words that do not depend on libcurl's version.
std::string TransportProblem(CURLcode code) {
  switch (code) {
    case CURLE_COULDNT_RESOLVE_HOST:
      return "the host's name is not known";
    case CURLE_COULDNT_CONNECT:
      return "no connection to the server";
    case CURLE_OPERATION_TIMEDOUT:
      return "no answer in time";
    default:
      return ::curl_easy_strerror(code);
  }
}

bool TransportMayHelp(CURLcode code) {
  return code != CURLE_URL_MALFORMAT && code != CURLE_UNSUPPORTED_PROTOCOL && code != CURLE_OUT_OF_MEMORY;
}

bool StatusMayHelp(long status) {
  return status == 408 || status == 425 || status == 429 || (status >= 500 && status <= 599);
}

Outcome Attempt(CURL* curl) {
  const CURLcode code = ::curl_easy_perform(curl);
  if (code != CURLE_OK) return {TransportProblem(code), TransportMayHelp(code), 0};
  long status = 0;
  ::curl_easy_getinfo(curl, CURLINFO_RESPONSE_CODE, &status);
  if (status >= 200 && status <= 299) return {};
  curl_off_t wait = 0;
  ::curl_easy_getinfo(curl, CURLINFO_RETRY_AFTER, &wait);
  return {"the server answers with status " + std::to_string(status), StatusMayHelp(status),
          static_cast<double>(wait)};
}

}  // namespace

Status Deliver(const Delivery& delivery) {
  ::curl_global_init(CURL_GLOBAL_DEFAULT);
  const std::unique_ptr<CURL, decltype(&::curl_easy_cleanup)> curl(::curl_easy_init(), ::curl_easy_cleanup);
  if (curl == nullptr) return MakeError(Code::kInternal, "libcurl does not start");
  const std::unique_ptr<curl_slist, decltype(&::curl_slist_free_all)> headers(
      ::curl_slist_append(nullptr, "Content-Type: application/json"), ::curl_slist_free_all);
  const auto milliseconds = static_cast<long>(delivery.timeout * 1000);
  ::curl_easy_setopt(curl.get(), CURLOPT_URL, delivery.url.c_str());
  ::curl_easy_setopt(curl.get(), CURLOPT_PROTOCOLS_STR, "http,https");
  ::curl_easy_setopt(curl.get(), CURLOPT_HTTPHEADER, headers.get());
  ::curl_easy_setopt(curl.get(), CURLOPT_USERAGENT, "genflow/" GENFLOW_VERSION);
  ::curl_easy_setopt(curl.get(), CURLOPT_POSTFIELDS, delivery.body.c_str());
  ::curl_easy_setopt(curl.get(), CURLOPT_POSTFIELDSIZE_LARGE, static_cast<curl_off_t>(delivery.body.size()));
  ::curl_easy_setopt(curl.get(), CURLOPT_TIMEOUT_MS, milliseconds);
  ::curl_easy_setopt(curl.get(), CURLOPT_CONNECTTIMEOUT_MS, milliseconds);
  ::curl_easy_setopt(curl.get(), CURLOPT_NOSIGNAL, 1L);
  ::curl_easy_setopt(curl.get(), CURLOPT_WRITEFUNCTION, Discard);
  double pause = delivery.backoff;
  for (int attempt = 1;; ++attempt) {
    const Outcome outcome = Attempt(curl.get());
    if (outcome.problem.empty()) return Ok();
    if (!outcome.may_help || attempt >= delivery.attempts) {
      return MakeError(
          Code::kIo,
          outcome.problem + (attempt > 1 ? " (tried " + std::to_string(attempt) + " times)" : std::string()));
    }
    const double wait = std::min(std::max(pause, outcome.wait), delivery.max_backoff);
    std::this_thread::sleep_for(std::chrono::duration<double>(wait));
    pause *= 2;
  }
}

}  // namespace genflow::notify
