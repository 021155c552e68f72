#include "data/byte_source.h"

#include <fcntl.h>
#include <unistd.h>
#include <zlib.h>
#include <zstd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <utility>
#include <vector>

#include "base/files.h"
#include "base/strings.h"

namespace genflow::data {
namespace {

constexpr size_t kInputSize = 256 << 10;

class PlainSource : public ByteSource {
 public:
  PlainSource(Fd fd, std::string name) : fd_(std::move(fd)), name_(std::move(name)) {}

  Result<size_t> Read(char* to, size_t size) override {
    while (true) {
      const ssize_t n = ::read(fd_.get(), to, size);
      if (n >= 0) {
        consumed_ += static_cast<uint64_t>(n);
        return static_cast<size_t>(n);
      }
      if (errno != EINTR) return ErrnoError("cannot read '" + name_ + "'", errno);
    }
  }
  uint64_t consumed() const override { return consumed_; }
  const std::string& name() const { return name_; }

 private:
  Fd fd_;
  std::string name_;
  uint64_t consumed_ = 0;
};

// Input side of the decompressors: a buffer that is refilled from the file.
class CompressedSource : public ByteSource {
 public:
  explicit CompressedSource(std::unique_ptr<PlainSource> file) : file_(std::move(file)), input_(kInputSize) {}
  uint64_t consumed() const override { return file_->consumed() - (filled_ - at_); }

 protected:
  // False at the end of the file.
  Result<bool> Refill() {
    if (at_ < filled_) return true;
    GF_TRY(filled_, file_->Read(input_.data(), input_.size()));
    at_ = 0;
    return filled_ > 0;
  }
  Error Damaged(const std::string& reason) const {
    return MakeError(Code::kCorrupt, "cannot decompress '" + file_->name() + "': " + reason,
                     "the file is damaged or was cut short");
  }

  std::unique_ptr<PlainSource> file_;
  std::vector<char> input_;
  size_t at_ = 0, filled_ = 0;
};

class GzipSource : public CompressedSource {
 public:
  explicit GzipSource(std::unique_ptr<PlainSource> file) : CompressedSource(std::move(file)) {
    inflateInit2(&z_, 15 + 16);
  }
  ~GzipSource() override { inflateEnd(&z_); }

  Result<size_t> Read(char* to, size_t size) override {
    if (size == 0) return size_t{0};
    z_.next_out = reinterpret_cast<Bytef*>(to);
    z_.avail_out = static_cast<uInt>(std::min<size_t>(size, 1u << 30));
    const uInt wanted = z_.avail_out;
    while (z_.avail_out == wanted) {
      GF_TRY(const bool more, Refill());
      if (!more) {
        if (member_done_) return size_t{0};
        return Damaged("it ends in the middle of the compressed data");
      }
      if (member_done_) {  // another gzip member follows
        inflateReset(&z_);
        member_done_ = false;
      }
      z_.next_in = reinterpret_cast<Bytef*>(input_.data() + at_);
      z_.avail_in = static_cast<uInt>(filled_ - at_);
      const int code = inflate(&z_, Z_NO_FLUSH);
      at_ = filled_ - z_.avail_in;
      if (code == Z_STREAM_END) {
        member_done_ = true;
      } else if (code != Z_OK && code != Z_BUF_ERROR) {
        return Damaged(z_.msg != nullptr ? z_.msg : "invalid gzip data");
      }
    }
    return static_cast<size_t>(wanted - z_.avail_out);
  }

 private:
  z_stream z_{};
  bool member_done_ = false;
};

class ZstdSource : public CompressedSource {
 public:
  explicit ZstdSource(std::unique_ptr<PlainSource> file)
      : CompressedSource(std::move(file)), z_(ZSTD_createDCtx()) {}
  ~ZstdSource() override { ZSTD_freeDCtx(z_); }

  Result<size_t> Read(char* to, size_t size) override {
    ZSTD_outBuffer out{to, size, 0};
    while (out.pos == 0 && size > 0) {
      GF_TRY(const bool more, Refill());
      // Data may still be held inside the decoder once the input is used up.
      if (!more && pending_ == 0) return size_t{0};
      ZSTD_inBuffer in{input_.data(), filled_, at_};
      const size_t code = ZSTD_decompressStream(z_, &out, &in);
      at_ = in.pos;
      if (ZSTD_isError(code)) return Damaged(ZSTD_getErrorName(code));
      pending_ = code;
      if (!more && out.pos == 0) return Damaged("it ends in the middle of the compressed data");
    }
    return out.pos;
  }

 private:
  ZSTD_DCtx* z_;
  size_t pending_ = 0;
};

}  // namespace

Result<std::unique_ptr<ByteSource>> ByteSource::Open(const std::filesystem::path& file) {
  Fd fd(::open(file.c_str(), O_RDONLY | O_CLOEXEC));
  if (!fd.valid()) return ErrnoError("cannot open '" + file.string() + "'", errno);
  unsigned char magic[4] = {};
  const ssize_t n = ::pread(fd.get(), magic, sizeof magic, 0);
  if (n < 0) return ErrnoError("cannot read '" + file.string() + "'", errno);
#ifdef POSIX_FADV_SEQUENTIAL
  ::posix_fadvise(fd.get(), 0, 0, POSIX_FADV_SEQUENTIAL);
#endif
  auto plain = std::make_unique<PlainSource>(std::move(fd), file.string());
  if (n >= 2 && magic[0] == 0x1f && magic[1] == 0x8b) {
    return std::unique_ptr<ByteSource>(std::make_unique<GzipSource>(std::move(plain)));
  }
  if (n == 4 && std::memcmp(magic, "\x28\xb5\x2f\xfd", 4) == 0) {
    return std::unique_ptr<ByteSource>(std::make_unique<ZstdSource>(std::move(plain)));
  }
  return std::unique_ptr<ByteSource>(std::move(plain));
}

Result<std::string> ReadAll(const std::filesystem::path& file, uint64_t limit) {
  GF_TRY(auto source, ByteSource::Open(file));
  std::string out;
  size_t size = 0;
  while (true) {
    if (out.size() - size < kInputSize) out.resize(std::max(out.size() * 2, size + kInputSize));
    GF_TRY(const size_t n, source->Read(out.data() + size, out.size() - size));
    size += n;
    if (size > limit) {
      return InvalidError("'" + file.string() + "' is larger than " + std::to_string(limit >> 20) +
                          " MiB, the most that is read as one piece");
    }
    if (n == 0) break;
  }
  out.resize(size);
  return out;
}

LineReader::LineReader(ByteSource* source, std::string name, size_t max_line)
    : source_(source), name_(std::move(name)), max_line_(max_line) {
  buffer_.resize((1 << 20) + kPadding);
}

Result<bool> LineReader::Next(std::string_view* line) {
  size_t searched = 0;
  while (true) {
    const char* start = buffer_.data() + begin_;
    const void* found = std::memchr(start + searched, '\n', end_ - begin_ - searched);
    if (found != nullptr || (at_end_ && begin_ < end_)) {
      size_t size =
          found != nullptr ? static_cast<size_t>(static_cast<const char*>(found) - start) : end_ - begin_;
      begin_ += size + (found != nullptr ? 1 : 0);
      if (size > 0 && start[size - 1] == '\r') --size;
      *line = {start, size};
      ++line_;
      return true;
    }
    if (at_end_) return false;
    searched = end_ - begin_;
    if (searched > max_line_) {
      return MakeError(Code::kCorrupt, name_ + ":" + std::to_string(line_ + 1) +
                                           ": the line is longer than " + HumanBytes(max_line_));
    }
    if (begin_ > 0) {
      std::memmove(buffer_.data(), buffer_.data() + begin_, searched);
      begin_ = 0;
      end_ = searched;
    }
    if (buffer_.size() - end_ <= kPadding) buffer_.resize(buffer_.size() * 2);
    GF_TRY(const size_t n, source_->Read(buffer_.data() + end_, buffer_.size() - kPadding - end_));
    end_ += n;
    at_end_ = n == 0;
  }
}

}  // namespace genflow::data
