// Patterns of personal data and credentials: the one table behind data.clean's redaction and guard.probe's
// detector of personal data.
#pragma once

#include <span>

namespace genflow::text {

struct PersonalDataPattern {
  const char* type;     // "email", "phone", "iban", "credit_card", "ssn", "ip", "api_key"
  const char* pattern;  // PCRE2; checksums and reserved values are the caller's to look at
  const char* needs;    // characters of which a match has at least one, to pass over most texts
  bool whole = true;  // false: a match is a part of the secret, so that to replace it would not hide the rest
};

// Ordered by type, as listed above.
std::span<const PersonalDataPattern> PersonalDataPatterns();

}  // namespace genflow::text
