// Names inside the store's folder, and what lies under them.
#include <sys/stat.h>

#include <algorithm>
#include <cerrno>
#include <ctime>
#include <random>
#include <utility>

#include "base/files.h"
#include "base/percent.h"
#include "base/sha256.h"
#include "store/impl.h"

namespace genflow {

namespace fs = std::filesystem;

std::string TimeStamp() {
  const std::time_t now = std::time(nullptr);
  struct tm parts {};
  ::gmtime_r(&now, &parts);
  char text[32];
  std::strftime(text, sizeof text, "%Y%m%d-%H%M%S", &parts);
  return text;
}

std::string RandomName(size_t length) {
  static constexpr char kLetters[] = "0123456789abcdefghijklmnopqrstuvwxyz";
  std::random_device device;
  std::uniform_int_distribution<int> pick(0, 35);
  std::string name;
  for (size_t i = 0; i < length; ++i) name += kLetters[pick(device)];
  return name;
}

std::string SafeName(std::string_view text) {
  bool first = true;
  std::string out = PercentEncode(text, [&first](char c) {
    const bool inner = !std::exchange(first, false);
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_' ||
           c == '-' || (c == '.' && inner);
  });
  if (out.size() > 150) out = out.substr(0, 100) + "-" + Sha256Hex(text).substr(0, 32);
  return out;
}

std::string LogName(const std::string& run, const std::string& stage, int attempt) {
  return "logs/" + SafeName(run) + "/" + SafeName(stage) + "." + std::to_string(attempt) + ".log";
}

bool IsDigest(std::string_view text) {
  return text.size() == 64 && text.find_first_not_of("0123456789abcdef") == std::string_view::npos;
}

Result<std::vector<std::string>> FolderNames(const fs::path& folder) {
  std::vector<std::string> names;
  std::error_code ec;
  for (fs::directory_iterator it(folder, ec), end; !ec && it != end; it.increment(ec)) {
    names.push_back(it->path().filename().string());
  }
  if (ec && ec.value() != ENOENT) return ErrnoError(folder.string(), ec.value());
  std::sort(names.begin(), names.end());
  return names;
}

uint64_t TreeBytes(const fs::path& path) {
  std::error_code ec;
  const auto status = fs::symlink_status(path, ec);
  if (fs::is_regular_file(status)) {
    const auto size = fs::file_size(path, ec);
    return ec ? 0 : size;
  }
  uint64_t bytes = 0;
  if (fs::is_directory(status)) {
    for (fs::directory_iterator it(path, ec), end; !ec && it != end; it.increment(ec))
      bytes += TreeBytes(it->path());
  }
  return bytes;
}

double AgeOf(const fs::path& path) {
  double newest = 0;
  auto look = [&newest](const fs::path& at) {
    struct stat info {};
    if (::lstat(at.c_str(), &info) != 0) return;
    newest = std::max(newest, static_cast<double>(std::max(info.st_mtim.tv_sec, info.st_ctim.tv_sec)));
  };
  look(path);
  std::error_code ec;
  for (fs::directory_iterator it(path, ec), end; !ec && it != end; it.increment(ec)) look(it->path());
  return Now() - newest;
}

}  // namespace genflow
