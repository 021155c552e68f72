#include "hub/listing.h"

#include <fnmatch.h>

#include <algorithm>
#include <nlohmann/json.hpp>
#include <set>

#include "base/strings.h"
#include "hub/checksum.h"

namespace genflow::hub {
namespace {

using nlohmann::json;

constexpr size_t kLongestName = 255;  // of one piece, as file systems have it
constexpr size_t kLongestPath = 1024;
constexpr size_t kMostFiles = 100'000;

Error Unreadable(const std::string& what) {
  return MakeError(Code::kCorrupt, "the list of files that the server sent cannot be used: " + what,
                   "does the endpoint speak the hub's interface?");
}

std::string TextOf(const json& object, const char* key) {
  const auto found = object.find(key);
  return found != object.end() && found->is_string() ? found->get<std::string>() : "";
}

int64_t SizeOf(const json& object) {
  const auto found = object.find("size");
  return found != object.end() && found->is_number_unsigned() &&
                 found->get<uint64_t>() <= static_cast<uint64_t>(INT64_MAX)
             ? found->get<int64_t>()
             : -1;
}

bool MatchesAny(const std::string& name, const std::vector<std::string>& patterns) {
  return std::any_of(patterns.begin(), patterns.end(), [&](const std::string& pattern) {
    return ::fnmatch(pattern.c_str(), name.c_str(), 0) == 0;
  });
}

}  // namespace

Status CheckFileName(std::string_view name) {
  const auto refused = [&](const char* why) {
    return MakeError(Code::kCorrupt,
                     "the server lists a file under " +
                         json(name).dump(-1, ' ', true, json::error_handler_t::replace) + ", which " + why,
                     "nothing was written; do you trust this endpoint?");
  };
  if (name.empty() || name.size() > kLongestPath || !IsUtf8(name)) return refused("is no usable file name");
  for (const char c : name) {
    if (static_cast<unsigned char>(c) < 0x20 || c == 0x7f || c == '\\')
      return refused("holds characters that no file name should");
  }
  for (const auto piece : Split(name, '/')) {
    if (piece.empty() || piece == "." || piece == ".." || piece.size() > kLongestName)
      return refused("is no path below the model's folder");
  }
  return Ok();
}

Result<Listing> ParseListing(std::string_view body) {
  const json root = json::parse(body, nullptr, /*allow_exceptions=*/false);
  if (!root.is_object()) return Unreadable("it is no JSON object");
  const auto siblings = root.find("siblings");
  if (siblings == root.end() || !siblings->is_array()) return Unreadable("it has no list 'siblings'");
  if (siblings->size() > kMostFiles) return Unreadable("it names more than 100,000 files");
  Listing listing;
  listing.commit = TextOf(root, "sha");
  if (!listing.commit.empty() && !Checksum::IsDigest(listing.commit))
    return Unreadable("its 'sha' is no commit");
  std::set<std::string> names, folders;
  for (const auto& entry : *siblings) {
    if (!entry.is_object()) return Unreadable("an entry of 'siblings' is no object");
    RemoteFile file;
    file.name = TextOf(entry, "rfilename");
    GF_CHECK_OK(CheckFileName(file.name));
    file.size = SizeOf(entry);
    file.digest = TextOf(entry, "blobId");
    if (const auto lfs = entry.find("lfs"); lfs != entry.end() && lfs->is_object()) {
      file.digest = TextOf(*lfs, "sha256");
      if (const int64_t size = SizeOf(*lfs); size >= 0) file.size = size;
    }
    if (!file.digest.empty() && !Checksum::IsDigest(file.digest))
      return Unreadable("the digest of '" + file.name + "' is none");
    if (!names.insert(file.name).second) return Unreadable("it names '" + file.name + "' twice");
    for (size_t slash = file.name.find('/'); slash != std::string::npos;
         slash = file.name.find('/', slash + 1))
      folders.insert(file.name.substr(0, slash));
    listing.files.push_back(std::move(file));
  }
  for (const auto& file : listing.files) {
    if (folders.count(file.name) != 0) return Unreadable("'" + file.name + "' is a file and a folder");
    // The name that the file has while it comes.
    const std::string part = file.name + kPartSuffix;
    if (names.count(part) != 0) return Unreadable("it names '" + file.name + "' and '" + part + "'");
  }
  return listing;
}

std::vector<RemoteFile> Selected(const std::vector<RemoteFile>& files,
                                 const std::vector<std::string>& include,
                                 const std::vector<std::string>& exclude) {
  std::vector<RemoteFile> out;
  for (const auto& file : files) {
    if ((include.empty() || MatchesAny(file.name, include)) && !MatchesAny(file.name, exclude))
      out.push_back(file);
  }
  return out;
}

}  // namespace genflow::hub
