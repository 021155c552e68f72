#include "base/sha256.h"

#include <fcntl.h>
#include <gtest/gtest.h>

#include "base/files.h"
#include "testing/no_threads.h"
#include "testing/scratch.h"

namespace genflow {
namespace {

// FIPS 180-4 examples.
TEST(Sha256, KnownDigests) {
  EXPECT_EQ(Sha256Hex(""), "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
  EXPECT_EQ(Sha256Hex("abc"), "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
}

TEST(Sha256, FileAndPiecesGiveTheSame) {
  const ScratchFolder scratch;
  const auto path = scratch / "bytes";
  const std::string bytes(3'000'001, 'x');
  ASSERT_TRUE(WriteFileAtomic(path, bytes).ok());
  Sha256 pieces;
  pieces.Update(std::string_view(bytes).substr(0, 17));
  pieces.Update(std::string_view(bytes).substr(17));
  const std::string expected = Sha256Hex(bytes);
  EXPECT_EQ(pieces.Finish(), expected);
  EXPECT_EQ(*Sha256File(path), expected);
  EXPECT_EQ(Sha256File("/no/such/file").error().message, "/no/such/file: No such file or directory");
}

TEST(Sha256, ALargeFileIsReadWithoutAThreadWhereThereIsNone) {
  const ScratchFolder scratch;
  const auto path = scratch / "bytes";
  const std::string bytes(70 << 20, 'x');
  ASSERT_TRUE(WriteFileAtomic(path, bytes).ok());
  const std::string expected = *Sha256File(path);
  EXPECT_EQ(expected, Sha256Hex(bytes));
  const NoThreads no_threads;
  EXPECT_EQ(*Sha256File(path), expected);
}

TEST(Sha256, ReadAheadGivesTheSame) {
  const ScratchFolder scratch;
  std::string bytes(3 * (1 << 20) + 17, 'x');
  for (size_t i = 0; i < bytes.size(); i += 97) bytes[i] = static_cast<char>(i);
  for (const size_t size : {size_t{0}, size_t{1}, size_t{1} << 20, size_t{2} << 20, bytes.size()}) {
    const auto path = scratch / std::to_string(size);
    ASSERT_TRUE(WriteFileAtomic(path, bytes.substr(0, size)).ok());
    const Fd fd(::open(path.c_str(), O_RDONLY));
    Sha256 hash;
    uint64_t told = 0;
    ASSERT_TRUE(hash.UpdateFrom(fd.get(), 1ull << 30, [&](uint64_t n) { told += n; }));
    EXPECT_EQ(told, size);
    EXPECT_EQ(hash.Finish(), Sha256Hex(bytes.substr(0, size)));
  }
  const Fd folder(::open(scratch.path().c_str(), O_RDONLY));
  for (const uint64_t expected : {uint64_t{0}, uint64_t{1} << 30}) {
    EXPECT_FALSE(Sha256().UpdateFrom(folder.get(), expected));
    EXPECT_EQ(errno, EISDIR);
  }
}

}  // namespace
}  // namespace genflow
