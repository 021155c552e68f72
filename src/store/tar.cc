#include "store/tar.h"

#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <charconv>
#include <cstring>
#include <map>

#include "base/files.h"

namespace genflow {

namespace {

constexpr size_t kBlock = 512;
constexpr size_t kBuffer = 1 << 20;
constexpr uint64_t kMaxPaxBytes = 1 << 20;
constexpr uint64_t kMaxOctalSize = 077777777777;

// Offsets and lengths of the header's fields.
struct Field {
  size_t at, length;
};
constexpr Field kName{0, 100}, kMode{100, 8}, kUid{108, 8}, kGid{116, 8}, kSize{124, 12}, kMtime{136, 12},
    kChecksum{148, 8}, kType{156, 1}, kLink{157, 100}, kMagic{257, 8}, kPrefix{345, 155};

void PutText(std::string& header, Field field, std::string_view text) {
  header.replace(field.at, std::min(text.size(), field.length), text.substr(0, field.length));
}

void PutOctal(std::string& header, Field field, uint64_t value) {
  for (size_t i = field.length - 1; i-- > 0; value >>= 3)
    header[field.at + i] = static_cast<char>('0' + (value & 7));
}

// As if its own field were blanks.
uint64_t Checksum(std::string_view header) {
  uint64_t sum = 0;
  for (size_t i = 0; i < kBlock; ++i) {
    const bool own = i >= kChecksum.at && i < kChecksum.at + kChecksum.length;
    sum += own ? ' ' : static_cast<unsigned char>(header[i]);
  }
  return sum;
}

std::string_view TextOf(std::string_view header, Field field) {
  const std::string_view text = header.substr(field.at, field.length);
  return text.substr(0, text.find('\0'));
}

std::optional<uint64_t> OctalOf(std::string_view header, Field field) {
  std::string_view text = TextOf(header, field);
  while (text.starts_with(' ')) text.remove_prefix(1);
  while (text.ends_with(' ')) text.remove_suffix(1);
  uint64_t value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value, 8);
  if (text.empty()) return 0;
  if (error != std::errc() || end != text.data() + text.size()) return std::nullopt;
  return value;
}

// "LENGTH NAME=VALUE\n", where LENGTH counts itself.
std::string PaxRecord(std::string_view name, std::string_view value) {
  const size_t rest = name.size() + value.size() + 3;
  size_t length = rest + 1;
  while (std::to_string(length).size() + rest != length) length = std::to_string(length).size() + rest;
  return std::to_string(length) + " " + std::string(name) + "=" + std::string(value) + "\n";
}

std::optional<std::map<std::string, std::string>> PaxRecords(std::string_view text) {
  std::map<std::string, std::string> out;
  while (!text.empty()) {
    size_t length = 0;
    const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), length);
    const auto digits = static_cast<size_t>(end - text.data());
    if (error != std::errc() || length <= digits + 2 || length > text.size() || text[digits] != ' ' ||
        text[length - 1] != '\n') {
      return std::nullopt;
    }
    const std::string_view record = text.substr(digits + 1, length - digits - 2);
    const size_t equals = record.find('=');
    if (equals == std::string_view::npos) return std::nullopt;
    out[std::string(record.substr(0, equals))] = record.substr(equals + 1);
    text.remove_prefix(length);
  }
  return out;
}

bool IsAscii(std::string_view text) {
  return std::all_of(text.begin(), text.end(), [](char c) { return c > 0; });
}

uint64_t PaddingOf(uint64_t size) { return (kBlock - size % kBlock) % kBlock; }

Error NotAnArchive(const std::string& why) {
  return MakeError(Code::kCorrupt, "the archive is damaged: " + why, "export the runs again");
}

}  // namespace

Status TarWriter::Flush() {
  const std::string bytes = std::exchange(buffer_, {});
  return WriteAll(fd_, bytes);
}

Status TarWriter::Put(std::string_view bytes) {
  buffer_ += bytes;
  return buffer_.size() >= kBuffer ? Flush() : Ok();
}

Status TarWriter::Header(const TarEntry& entry, std::string_view name, char type, uint64_t size) {
  std::string header(kBlock, '\0');
  PutText(header, kName, name);
  PutOctal(header, kMode, entry.kind == TarEntry::Kind::kFolder || entry.executable ? 0755 : 0644);
  PutOctal(header, kUid, 0);
  PutOctal(header, kGid, 0);
  PutOctal(header, kSize, std::min(size, kMaxOctalSize));
  PutOctal(header, kMtime, static_cast<uint64_t>(std::max<int64_t>(entry.mtime, 0)));
  header[kType.at] = type;
  if (type == '2') PutText(header, kLink, entry.target);
  PutText(header, kMagic, std::string_view("ustar\00000", 8));
  PutOctal(header, {kChecksum.at, 7}, Checksum(header));
  header[kChecksum.at + 7] = ' ';
  return Put(header);
}

Status TarWriter::Begin(const TarEntry& entry) {
  const bool file = entry.kind == TarEntry::Kind::kFile;
  const uint64_t size = file ? entry.size : 0;
  std::string name = entry.name;
  if (entry.kind == TarEntry::Kind::kFolder) name += '/';
  std::string pax;
  if (name.size() > kName.length || !IsAscii(name)) pax += PaxRecord("path", name);
  if (entry.target.size() > kLink.length || !IsAscii(entry.target))
    pax += PaxRecord("linkpath", entry.target);
  if (size > kMaxOctalSize) pax += PaxRecord("size", std::to_string(size));
  if (!pax.empty()) {
    GF_CHECK_OK(
        Header({TarEntry::Kind::kFile, "", false, 0, "", entry.mtime}, "pax-header", 'x', pax.size()));
    GF_CHECK_OK(Put(pax));
    GF_CHECK_OK(Put(std::string(PaddingOf(pax.size()), '\0')));
  }
  const char type = file ? '0' : entry.kind == TarEntry::Kind::kFolder ? '5' : '2';
  GF_CHECK_OK(Header(entry, name, type, size));
  left_ = size;
  padding_ = PaddingOf(size);
  return Ok();
}

Status TarWriter::Write(std::string_view bytes) {
  if (bytes.size() > left_) return MakeError(Code::kIo, "a file grew while it was read");
  left_ -= bytes.size();
  GF_CHECK_OK(Put(bytes));
  return left_ == 0 ? Put(std::string(std::exchange(padding_, 0), '\0')) : Ok();
}

Status TarWriter::Add(const TarEntry& entry, std::string_view bytes) {
  TarEntry sized = entry;
  sized.size = bytes.size();
  GF_CHECK_OK(Begin(sized));
  return Write(bytes);
}

Status TarWriter::Finish() {
  GF_CHECK_OK(Put(std::string(2 * kBlock, '\0')));
  return Flush();
}

Status TarReader::Fill(char* to, size_t count) {
  while (count > 0) {
    const ssize_t n = ::read(fd_, to, count);
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) return ErrnoError("reading the archive", errno);
    if (n == 0) return NotAnArchive("it ends in the middle");
    to += n;
    count -= static_cast<size_t>(n);
  }
  return Ok();
}

// Nothing: a block of zeros.
Result<std::optional<std::string>> TarReader::Block() {
  std::string block(kBlock, '\0');
  GF_CHECK_OK(Fill(block.data(), kBlock));
  if (block.find_first_not_of('\0') == std::string::npos) return std::optional<std::string>();
  return std::optional<std::string>(std::move(block));
}

Status TarReader::Skip() {
  return Read([](std::string_view) { return Ok(); });
}

Status TarReader::Read(const std::function<Status(std::string_view)>& take) {
  std::string buffer(static_cast<size_t>(std::min<uint64_t>(kBuffer, std::max<uint64_t>(left_, 1))), '\0');
  while (left_ > 0) {
    const auto count = static_cast<size_t>(std::min<uint64_t>(buffer.size(), left_));
    GF_CHECK_OK(Fill(buffer.data(), count));
    left_ -= count;
    GF_CHECK_OK(take({buffer.data(), count}));
  }
  std::array<char, kBlock> padding{};
  return Fill(padding.data(), static_cast<size_t>(std::exchange(padding_, 0)));
}

Result<std::string> TarReader::ReadAll(uint64_t limit) {
  if (left_ > limit) return NotAnArchive("an entry is too large");
  std::string out;
  out.reserve(static_cast<size_t>(left_));
  GF_CHECK_OK(Read([&](std::string_view bytes) {
    out += bytes;
    return Ok();
  }));
  return out;
}

Result<std::optional<TarEntry>> TarReader::Next() {
  GF_CHECK_OK(Skip());
  std::map<std::string, std::string> pax;
  while (true) {
    GF_TRY(const auto block, Block());
    if (!block) {
      GF_TRY(const auto second, Block());
      if (second) return NotAnArchive("a block of zeros stands in the middle");
      return std::optional<TarEntry>();
    }
    const std::string_view header = *block;
    const auto checksum = OctalOf(header, kChecksum), size = OctalOf(header, kSize);
    if (!TextOf(header, kMagic).starts_with("ustar")) return NotAnArchive("it is no tar archive");
    if (!checksum || *checksum != Checksum(header) || !size) return NotAnArchive("a header is wrong");
    left_ = *size;
    padding_ = PaddingOf(*size);
    const char type = header[kType.at];
    if (type == 'x') {
      GF_TRY(const std::string text, ReadAll(kMaxPaxBytes));
      auto records = PaxRecords(text);
      if (!records) return NotAnArchive("an extended header is wrong");
      pax = *std::move(records);
      continue;
    }
    TarEntry entry;
    entry.name = TextOf(header, kName);
    if (const auto prefix = TextOf(header, kPrefix); !prefix.empty())
      entry.name = std::string(prefix) + "/" + entry.name;
    entry.target = TextOf(header, kLink);
    entry.executable = (OctalOf(header, kMode).value_or(0) & 0100) != 0;
    entry.mtime = static_cast<int64_t>(OctalOf(header, kMtime).value_or(0));
    if (pax.count("path") != 0) entry.name = pax["path"];
    if (pax.count("linkpath") != 0) entry.target = pax["linkpath"];
    if (const auto found = pax.find("size"); found != pax.end()) {
      const auto& text = found->second;
      const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), left_);
      if (error != std::errc() || end != text.data() + text.size())
        return NotAnArchive("an extended header is wrong");
      padding_ = PaddingOf(left_);
    }
    switch (type) {
      case '0':
      case '\0':
        entry.kind = TarEntry::Kind::kFile;
        entry.size = left_;
        break;
      case '5':
        entry.kind = TarEntry::Kind::kFolder;
        break;
      case '2':
        entry.kind = TarEntry::Kind::kLink;
        break;
      default:
        return NotAnArchive("'" + entry.name + "' is of a kind that genflow does not write");
    }
    while (entry.kind == TarEntry::Kind::kFolder && entry.name.ends_with('/')) entry.name.pop_back();
    return std::optional<TarEntry>(std::move(entry));
  }
}

}  // namespace genflow
