// Personal data and credentials in text, by pattern and checksum. What is reserved for examples and
// documentation (example.com, 555-01xx, 192.0.2.0/24, ...) is not reported.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"

namespace genflow::guard {

struct PiiFinding {
  std::string type;  // one of PiiTypes()
  std::string text;
};

// "email", "phone", "iban", "credit_card", "ssn", "ip", "api_key".
const std::vector<std::string>& PiiTypes();

// Everything found, in the order of PiiTypes() and then of the text. `types` empty: all of them.
Result<std::vector<PiiFinding>> FindPii(std::string_view text, const std::vector<std::string>& types = {});

// Checksums, over digits and letters alone: ISO 7812 (Luhn) and ISO 13616 (mod 97).
bool LuhnValid(std::string_view digits);
bool IbanValid(std::string_view iban);

}  // namespace genflow::guard
