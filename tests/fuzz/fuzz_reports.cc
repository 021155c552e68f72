// Any bytes on a worker's report pipe, in pieces of any size: each line is an event, and nothing in it can
// steer a terminal.
#include <cstdlib>

#include "engine/report_lines.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace genflow;
  if (size == 0) return 0;
  const size_t piece = 1 + data[0] % 64;
  std::string_view bytes(reinterpret_cast<const char*>(data) + 1, size - 1);
  LineBuffer buffer(256);
  std::optional<int> outcome;
  std::string all;
  const auto take = [&](const std::string& line) {
    all += line;
    if (line.size() > 256) std::abort();
    const auto event = ParseReportLine(7, line, &outcome);
    if (!event) return;
    const auto check = [](const std::string& text) {
      if (CleanText(text) != text) std::abort();
    };
    if (const auto* progress = std::get_if<event::Progress>(&*event))
      check(progress->unit + progress->message);
    if (const auto* metric = std::get_if<event::Metric>(&*event)) check(metric->name);
    if (const auto* fail = std::get_if<event::Fail>(&*event)) check(fail->error.message + fail->error.hint);
    if (const auto* broken = std::get_if<event::Broken>(&*event)) check(broken->what);
  };
  std::string expected;
  for (const char c : bytes) {
    if (c != '\n') expected += c;
  }
  while (!bytes.empty()) {
    for (const std::string& line : buffer.Add(bytes.substr(0, piece))) take(line);
    bytes.remove_prefix(std::min(piece, bytes.size()));
  }
  if (const auto rest = buffer.Rest()) take(*rest);
  if (all != expected) std::abort();
  return 0;
}
