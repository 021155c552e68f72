#include "base/sha256.h"

#include <gtest/gtest.h>

#include "base/files.h"
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

}  // namespace
}  // namespace genflow
