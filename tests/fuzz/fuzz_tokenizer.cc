// Any text as a tokenizer.json: refused with a reason, or it encodes text into ids that it has, and takes
// them back.
#include <cstdlib>

#include "formats/json_text.h"
#include "text/tokenizer.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace genflow;
  const auto json = formats::ParseJson({reinterpret_cast<const char*>(data), size}, "tokenizer.json");
  if (!json.ok()) {
    if (json.error().message.empty()) std::abort();
    return 0;
  }
  const auto tokenizer = text::Tokenizer::FromJson(*json);
  if (!tokenizer.ok()) {
    if (tokenizer.error().message.empty()) std::abort();
    return 0;
  }
  for (const char* sample :
       {"", "Hello world, 12345!\n", "a  b\tc <|a|> ab", "\xc3\xa9t\xc3\xa9 \xf0\x9f\x99\x82 \xff"}) {
    const auto ids = tokenizer->Encode(sample, {});
    for (const int32_t id : ids) {
      if (id < 0 || id >= tokenizer->vocab_size()) std::abort();
    }
    (void)tokenizer->Decode(ids, {});
    (void)tokenizer->FindSpecial(sample, 0);
  }
  return 0;
}
