// The functions below OpenSSL's providers, deprecated but kept: the providers cost every process a
// millisecond at its first hash.
#define OPENSSL_SUPPRESS_DEPRECATED

#include "base/sha256.h"

#include <fcntl.h>
#include <openssl/sha.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <condition_variable>
#include <mutex>
#include <optional>
#include <system_error>
#include <thread>
#include <utility>
#include <vector>

#include "base/files.h"

namespace genflow {

struct Sha256::Impl {
  SHA256_CTX context;
  Impl() { SHA256_Init(&context); }
};

Sha256::Sha256() : impl_(std::make_unique<Impl>()) {}
Sha256::~Sha256() = default;
Sha256::Sha256(Sha256&&) noexcept = default;
Sha256& Sha256::operator=(Sha256&&) noexcept = default;

void Sha256::Update(const void* data, size_t size) { SHA256_Update(&impl_->context, data, size); }

std::string Sha256::Finish() {
  unsigned char digest[SHA256_DIGEST_LENGTH];
  SHA256_Final(digest, &impl_->context);
  static const char kHex[] = "0123456789abcdef";
  std::string out;
  out.reserve(2 * sizeof digest);
  for (const unsigned char byte : digest) {
    out.push_back(kHex[byte >> 4]);
    out.push_back(kHex[byte & 15]);
  }
  return out;
}

std::string Sha256Hex(std::string_view bytes) {
  Sha256 hash;
  hash.Update(bytes);
  return hash.Finish();
}

namespace {

// Reads up to `size` bytes, less at the end of the file. Negative: errno says why.
ssize_t ReadBlock(int fd, char* to, size_t size) {
  ssize_t n;
  do {
    n = ::read(fd, to, size);
  } while (n < 0 && errno == EINTR);
  return n;
}

// Two blocks that a reader fills ahead of the one who hashes.
class ReadAhead {
 public:
  // Throws std::system_error, before anything is read, where no more threads are to be had.
  ReadAhead(int fd, size_t block) : fd_(fd), block_(block), reader_([this] { Read(); }) {}
  ~ReadAhead() {
    {
      const std::lock_guard<std::mutex> guard(mutex_);
      ended_ = true;
    }
    changed_.notify_all();
    reader_.join();
  }

  // The next block, valid until the next call; as read() returns them.
  std::pair<const char*, ssize_t> Next() {
    std::unique_lock<std::mutex> guard(mutex_);
    if (taken_) {
      taken_ = false;
      full_[at_] = false;
      at_ = 1 - at_;
      changed_.notify_all();
    }
    changed_.wait(guard, [this] { return full_[at_]; });
    taken_ = true;
    errno = error_;
    return {blocks_[at_].data(), sizes_[at_]};
  }

 private:
  void Read() {
    for (int at = 0;; at = 1 - at) {
      {
        std::unique_lock<std::mutex> guard(mutex_);
        changed_.wait(guard, [&] { return ended_ || !full_[at]; });
        if (ended_) return;
      }
      blocks_[at].resize(block_);
      const ssize_t n = ReadBlock(fd_, blocks_[at].data(), block_);
      const int error = n < 0 ? errno : 0;
      {
        const std::lock_guard<std::mutex> guard(mutex_);
        sizes_[at] = n;
        error_ = error;
        full_[at] = true;
      }
      changed_.notify_all();
      if (n <= 0) return;
    }
  }

  const int fd_;
  const size_t block_;
  std::mutex mutex_;
  std::condition_variable changed_;
  std::vector<char> blocks_[2];
  ssize_t sizes_[2] = {0, 0};
  bool full_[2] = {false, false};
  bool taken_ = false, ended_ = false;
  int at_ = 0, error_ = 0;
  std::thread reader_;  // last: it uses all of the above
};

}  // namespace

bool Sha256::UpdateFrom(int fd, uint64_t expected, const std::function<void(uint64_t)>& progress) {
  constexpr size_t kBlock = 1 << 20;
  constexpr uint64_t kReadAheadFrom = 64 << 20;
  std::optional<ReadAhead> blocks;
  if (expected >= kReadAheadFrom) {
    try {
      blocks.emplace(fd, kBlock);
    } catch (const std::system_error&) {  // read and hashed in turns, then
    }
  }
  if (blocks) {
    while (true) {
      const auto [data, size] = blocks->Next();
      if (size <= 0) return size == 0;
      Update(data, static_cast<size_t>(size));
      if (progress) progress(static_cast<uint64_t>(size));
    }
  }
  const size_t block = std::clamp<size_t>(static_cast<size_t>(expected) + 1, 4096, kBlock);
  const std::unique_ptr<char[]> buffer(new char[block]);
  while (true) {
    const ssize_t n = ReadBlock(fd, buffer.get(), block);
    if (n <= 0) return n == 0;
    Update(buffer.get(), static_cast<size_t>(n));
    if (progress) progress(static_cast<uint64_t>(n));
  }
}

Result<std::string> Sha256File(const std::filesystem::path& path) {
  Fd fd(::open(path.c_str(), O_RDONLY | O_CLOEXEC));
  if (!fd.valid()) return ErrnoError(path.string(), errno);
  struct stat info {};
  if (::fstat(fd.get(), &info) != 0) return ErrnoError(path.string(), errno);
  ::posix_fadvise(fd.get(), 0, 0, POSIX_FADV_SEQUENTIAL);
  Sha256 hash;
  if (!hash.UpdateFrom(fd.get(), static_cast<uint64_t>(info.st_size)))
    return ErrnoError(path.string(), errno);
  return hash.Finish();
}

}  // namespace genflow
