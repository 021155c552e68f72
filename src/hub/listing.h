// What a hub says a model's repository holds.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"

namespace genflow::hub {

// Of a file, and of a folder, while it comes.
inline constexpr char kPartSuffix[] = ".part";

struct RemoteFile {
  std::string name;    // a path below the model's folder: CheckFileName() holds
  int64_t size = -1;   // -1: not said
  std::string digest;  // see Checksum; "" not said
};

struct Listing {
  std::string commit;  // what the revision stands for; "" not said
  std::vector<RemoteFile> files;
};

// The answer of GET {endpoint}/api/models/{id}/revision/{revision}?blobs=true. Refuses names that could reach
// outside of the folder, and two files in one place.
Result<Listing> ParseListing(std::string_view body);

// That a name from a server is a path below a folder, of names that mean nothing else.
Status CheckFileName(std::string_view name);

// Those whose whole name matches one of `include` (all where there is none) and none of `exclude`: shell
// patterns, whose * takes slashes, too.
std::vector<RemoteFile> Selected(const std::vector<RemoteFile>& files,
                                 const std::vector<std::string>& include,
                                 const std::vector<std::string>& exclude);

}  // namespace genflow::hub
