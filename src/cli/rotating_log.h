// A log that does not fill the disk: `path`, and the older `path.1` to `path.4`, of a megabyte each.
#pragma once

#include <filesystem>
#include <string_view>

#include "base/files.h"
#include "base/result.h"

namespace genflow::cli {

class RotatingLog {
 public:
  static constexpr uint64_t kLimit = 1 << 20;  // bytes a file
  static constexpr int kFiles = 5;

  // Goes on with the file that is there; makes its folders.
  static Result<RotatingLog> Open(const std::filesystem::path& path, uint64_t limit = kLimit,
                                  int files = kFiles);

  // Appends, after moving a file that would grow over the limit out of the way. Several processes may write
  // to one log; what one of them writes at once stays together.
  Status Write(std::string_view bytes);

 private:
  RotatingLog(std::filesystem::path path, uint64_t limit, int files)
      : path_(std::move(path)), limit_(limit), files_(files) {}
  Status Reopen();
  Status Shift();

  std::filesystem::path path_;
  uint64_t limit_;
  int files_;
  Fd fd_;
};

}  // namespace genflow::cli
