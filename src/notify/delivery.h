// One message to one web hook.
#pragma once

#include <string>

#include "base/result.h"

namespace genflow::notify {

struct Delivery {
  std::string url;          // http or https; part of it may be a secret
  std::string body;         // JSON
  int attempts = 5;         // at most
  double timeout = 10;      // seconds an attempt
  double backoff = 0.5;     // seconds before the second attempt; doubled each time
  double max_backoff = 30;  // also of what a server asks for with Retry-After
};

// POSTs the body until a server says 2xx. Tried again: what a network or a server may do better next time (no
// connection, a connection that breaks, a timeout, the statuses 408, 425, 429 and 5xx). Redirects are not
// followed. kIo with a message that holds nothing of the URL.
Status Deliver(const Delivery& delivery);

}  // namespace genflow::notify
