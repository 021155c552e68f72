#include "cli/start_note.h"

#include <algorithm>
#include <nlohmann/json.hpp>

#include "base/files.h"
#include "base/sha256.h"
#include "cli/json_output.h"

namespace genflow::cli {

namespace fs = std::filesystem;

namespace {

constexpr uint64_t kNoteLimit = 1 << 20;

fs::path NoteFolder(const fs::path& root) { return root / "starts"; }

std::optional<StartNote> ReadNote(const fs::path& path) {
  const auto text = ReadFile(path, kNoteLimit);
  if (!text.ok()) return std::nullopt;
  const auto json = nlohmann::json::parse(*text, nullptr, false);
  if (!json.is_object()) return std::nullopt;
  try {
    StartNote note;
    note.file = json.value("file", "");
    note.pipeline = json.value("pipeline", "");
    note.time = json.value("time", 0.0);
    note.outcome = json.value("outcome", "");
    note.exit_code = json.value("exit_code", 0);
    note.message = json.value("message", "");
    return note;
  } catch (const nlohmann::json::exception&) {  // a member of another type
    return std::nullopt;
  }
}

}  // namespace

std::string PipelineIdentity(const fs::path& file) {
  std::error_code ec;
  return fs::weakly_canonical(fs::absolute(file, ec), ec).string();
}

Status WriteStartNote(const fs::path& root, const StartNote& note) {
  std::error_code ec;
  if (!fs::is_directory(root, ec)) return Ok();
  GF_CHECK_OK(MakeDirectories(NoteFolder(root)));
  return WriteFileAtomic(NoteFolder(root) / (Sha256Hex(note.file).substr(0, 16) + ".json"),
                         DumpPretty({{"file", note.file},
                                     {"pipeline", note.pipeline},
                                     {"time", note.time},
                                     {"outcome", note.outcome},
                                     {"exit_code", note.exit_code},
                                     {"message", note.message}}));
}

std::optional<StartNote> ReadStartNote(const fs::path& root, const std::string& file) {
  return ReadNote(NoteFolder(root) / (Sha256Hex(file).substr(0, 16) + ".json"));
}

std::vector<StartNote> ReadStartNotes(const fs::path& root) {
  std::vector<StartNote> out;
  std::error_code ec;
  for (fs::directory_iterator it(NoteFolder(root), ec), end; !ec && it != end; it.increment(ec)) {
    if (it->path().extension() != ".json") continue;
    if (auto note = ReadNote(it->path())) out.push_back(*std::move(note));
  }
  std::sort(out.begin(), out.end(), [](const auto& a, const auto& b) { return a.file < b.file; });
  return out;
}

}  // namespace genflow::cli
