#include "store/tree.h"

#include <sys/socket.h>
#include <sys/un.h>

#include "store/hashing.h"
#include "store_testing.h"

namespace genflow {
namespace {

namespace fs = std::filesystem;

class TreeTest : public StoreTest {
 protected:
  std::string DigestOf(const fs::path& path) {
    TreeListing listing = Must(ListTree(path));
    Must(HashListing(path, listing, HashMode::kRead));
    return listing.Digest();
  }
};

TEST_F(TreeTest, FileDigestIsSha256OfItsBytes) {
  Spill(folder_ / "a", "abc");
  EXPECT_EQ(DigestOf(folder_ / "a"), "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
}

TEST_F(TreeTest, TreeDigestIsSha256OfTheCanonicalListing) {
  SpillTree(folder_ / "t", {{"b.txt", "two"}, {"a/x", "one"}});
  ASSERT_EQ(::chmod((folder_ / "t/b.txt").c_str(), 0755), 0);
  fs::create_symlink("a/x", folder_ / "t/link");
  std::string listing = "genflow-tree-1\n";
  const std::string zero(1, '\0');
  listing += "d" + zero + "a" + zero;
  listing += "f " + Sha256Hex("one") + zero + "a/x" + zero;
  listing += "x " + Sha256Hex("two") + zero + "b.txt" + zero;
  listing += "l a/x" + zero + "link" + zero;
  EXPECT_EQ(DigestOf(folder_ / "t"), Sha256Hex(listing));
}

TEST_F(TreeTest, DigestDependsOnNamesNotOnTimesOrOtherModeBits) {
  SpillTree(folder_ / "t", {{"a", "one"}, {"b", "two"}});
  SpillTree(folder_ / "u", {{"a", "two"}, {"b", "one"}});
  SpillTree(folder_ / "v", {{"b", "two"}, {"a", "one"}});
  ASSERT_EQ(::chmod((folder_ / "v/a").c_str(), 0600), 0);
  EXPECT_NE(DigestOf(folder_ / "t"), DigestOf(folder_ / "u"));
  EXPECT_EQ(DigestOf(folder_ / "t"), DigestOf(folder_ / "v"));
  fs::create_directory(folder_ / "v/empty");
  EXPECT_NE(DigestOf(folder_ / "t"), DigestOf(folder_ / "v"));
}

TEST_F(TreeTest, RefusesPipesAndSockets) {
  fs::create_directory(folder_ / "t");
  ASSERT_EQ(::mkfifo((folder_ / "t/p").c_str(), 0644), 0);
  EXPECT_EQ(ListTree(folder_ / "t").error().ToString(),
            (folder_ / "t/p").string() +
                ": a pipe cannot be part of an artifact\n"
                "  hint: an artifact is a regular file, or a folder of regular files");
  const auto refused = ListTree("/dev/null");
  EXPECT_EQ(refused.error().message, "/dev/null: a device cannot be part of an artifact");
}

TEST_F(TreeTest, RefusesLinksThatLeaveTheTree) {
  const fs::path tree = folder_ / "t";
  const std::string hint = "\n  hint: write a copy, or a relative link to a file of the same output";
  SpillTree(tree, {{"a/b/file", "x"}});
  fs::create_symlink("../../outside", tree / "a/up");
  EXPECT_EQ(
      ListTree(tree).error().ToString(),
      (tree / "a/up").string() +
          ": a symbolic link to ../../outside, outside its own folder tree, cannot be part of an artifact" +
          hint);
  fs::remove(tree / "a/up");
  fs::create_symlink("/etc/passwd", tree / "abs");
  EXPECT_EQ(ListTree(tree).error().ToString(),
            (tree / "abs").string() +
                ": a symbolic link to the absolute path /etc/passwd cannot be part of an artifact" + hint);
  fs::remove(tree / "abs");
  // Each link stays inside by its text, but one through the other leaves.
  fs::create_symlink("../..", tree / "a/b/top");
  fs::create_symlink("a/b/top/..", tree / "sly");
  EXPECT_EQ(
      ListTree(tree).error().message,
      (tree / "sly").string() +
          ": a symbolic link to a/b/top/.., outside its own folder tree, cannot be part of an artifact");
}

TEST_F(TreeTest, AllowsLinksInsideAlsoDangling) {
  const fs::path tree = folder_ / "t";
  SpillTree(tree, {{"a/b/file", "x"}});
  fs::create_symlink("../b/file", tree / "a/b/again");
  fs::create_symlink("not-there", tree / "dangling");
  EXPECT_TRUE(ListTree(tree).ok());
}

TEST_F(TreeTest, RefusesNamesThatAreNotUtf8) {
  SpillTree(folder_ / "t", {{"ok-\xc3\xa4", "x"}});
  EXPECT_TRUE(ListTree(folder_ / "t").ok());
  Spill(folder_ / "t" / "bad-\xff", "x");
  EXPECT_EQ(ListTree(folder_ / "t").error().ToString(),
            (folder_ / "t").string() +
                ": holds a file whose name is not UTF-8\n"
                "  hint: rename it: an artifact's file names must be UTF-8");
}

TEST_F(TreeTest, CheckNamesTheFirstDifference) {
  const fs::path tree = folder_ / "t";
  SpillTree(tree, {{"a", "one"}, {"d/b", "two"}});
  TreeListing recorded = Must(ListTree(tree));
  Must(HashListing(tree, recorded, HashMode::kRead));
  EXPECT_EQ(Must(CheckTree(tree, recorded, CheckDepth::kStat)).problem, "");

  Spill(tree / "a", "One");
  EXPECT_EQ(Must(CheckTree(tree, recorded, CheckDepth::kStat)).problem, "the content of 'a' has changed");
  Spill(tree / "a", "on");
  EXPECT_EQ(Must(CheckTree(tree, recorded, CheckDepth::kStat)).problem, "'a' is 2 bytes instead of 3");
  Spill(tree / "a", "one");
  const TreeCheck same = Must(CheckTree(tree, recorded, CheckDepth::kStat));
  EXPECT_EQ(same.problem, "");
  EXPECT_TRUE(same.refreshed);
  Spill(tree / "c", "");
  EXPECT_EQ(Must(CheckTree(tree, recorded, CheckDepth::kStat)).problem, "'c' was added");
  fs::remove(tree / "c");
  fs::remove(tree / "d/b");
  EXPECT_EQ(Must(CheckTree(tree, recorded, CheckDepth::kStat)).problem, "'d/b' is missing");
  fs::create_directory(tree / "d/b");
  EXPECT_EQ(Must(CheckTree(tree, recorded, CheckDepth::kStat)).problem,
            "'d/b' is of another kind (file, folder or link)");
  fs::remove_all(tree);
  EXPECT_EQ(Must(CheckTree(tree, recorded, CheckDepth::kStat)).problem, "its content is missing");
}

TEST_F(TreeTest, SealGivesHardLinkedFilesBytesOfTheirOwn) {
  Spill(folder_ / "workspace", "shared");
  fs::create_directory(folder_ / "t");
  fs::create_hard_link(folder_ / "workspace", folder_ / "t/f");
  TreeListing listing = Must(ListTree(folder_ / "t"));
  Must(HashListing(folder_ / "t", listing, HashMode::kSeal));
  Spill(folder_ / "workspace", "edited");
  EXPECT_EQ(Slurp(folder_ / "t/f"), "shared");
  struct stat info {};
  ASSERT_EQ(::stat((folder_ / "workspace").c_str(), &info), 0);
  EXPECT_NE(info.st_mode & S_IWUSR, 0u);
}

}  // namespace
}  // namespace genflow
