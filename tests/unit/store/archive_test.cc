// The manifest of exported runs, and archives that were made to do harm.
#include "store/archive.h"

#include <nlohmann/json.hpp>

#include "store_testing.h"

namespace genflow {
namespace {

using nlohmann::json;

class ArchiveTest : public StoreTest {
 protected:
  std::filesystem::path Tar() const { return folder_ / "a.tar"; }
  std::string MadeRun(Store& store) {
    const std::string run = NewRun(store);
    Must(RunStage(store, run, "a", "k1", {{"x", Tree{{"d/one", "1"}, {"two", "2"}}}}));
    Must(store.FinishRun(run, RunStatus::kOk));
    return run;
  }
  void Export(Store& store, const std::string& run) {
    const Fd fd(::open(Tar().c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644));
    Must(store.ExportRuns({run}, fd.get()));
  }
  Result<ImportReport> Import(Store& store) {
    const Fd fd(::open(Tar().c_str(), O_RDONLY | O_CLOEXEC));
    return store.ImportRuns(fd.get());
  }
  // Files and folders of objects in the staging folder of the store "other".
  int Staged() const {
    int count = 0;
    for (const auto& entry : std::filesystem::recursive_directory_iterator(folder_ / "other/staging"))
      count += entry.path().filename() == "data" ? 1 : 0;
    return count;
  }
  json Manifest() {
    const Fd fd(::open(Tar().c_str(), O_RDONLY | O_CLOEXEC));
    TarReader tar(fd.get());
    Must(tar.Next());
    return json::parse(Must(tar.ReadAll(1 << 20)));
  }
  static std::string Refusal(const json& manifest) {
    auto archive = ArchiveFromJson(manifest.dump());
    if (archive.ok()) return "";
    EXPECT_EQ(archive.error().code, Code::kCorrupt);
    return archive.error().message;
  }
};

TEST_F(ArchiveTest, TheManifestIsReadAsItWasWritten) {
  Store store = Open();
  Export(store, MadeRun(store));
  const json manifest = Manifest();
  EXPECT_EQ(Refusal(manifest), "");
  EXPECT_EQ(json::parse(ArchiveToJson(Must(ArchiveFromJson(manifest.dump())))), manifest);
}

TEST_F(ArchiveTest, TagsThatWouldHideARunStayBehind) {
  Store store = Open();
  const std::string run = MadeRun(store);
  for (const std::string& tag : {std::string("kept"), std::string("latest"), run.substr(run.size() - 4)})
    Must(store.TagRun(run, tag));
  Export(store, run);
  Store other = Must(Store::Open(folder_ / "other"));
  Must(Import(other));
  EXPECT_EQ(Must(other.GetRun(run)).tags, std::vector<std::string>{"kept"});
}

TEST_F(ArchiveTest, ManifestsThatCannotBeAreRefused) {
  Store store = Open();
  Export(store, MadeRun(store));
  const json good = Manifest();
  const std::string begin = "the archive is damaged: its manifest ";
  EXPECT_EQ(Refusal(json::array()), begin + "is not what genflow writes");
  json bad = good;
  bad["runs"][0].erase("params");
  EXPECT_EQ(Refusal(bad), begin + "is not what genflow writes");
  bad = good;
  bad["runs"][0]["id"] = "../../etc";
  EXPECT_EQ(Refusal(bad), begin + "names a run that cannot be: ../../etc");
  bad = good;
  bad["runs"][0]["status"] = "running";
  EXPECT_EQ(Refusal(bad), begin + "holds a run that is running");
  bad = good;
  bad["objects"] = json::array();
  EXPECT_EQ(Refusal(bad), begin + "names an object that is not in the archive");
  bad = good;
  bad["objects"][0]["entries"][2]["sha256"] = std::string(64, '0');
  EXPECT_EQ(Refusal(bad), begin + "lists an object whose digest is another: " +
                              good["objects"][0]["digest"].get<std::string>());
  bad = good;
  bad["objects"][0]["digest"] = "../x";
  EXPECT_EQ(Refusal(bad), begin + "names a digest that is none");
  bad = good;
  bad["genflow_export"] = 99;
  const auto newer = ArchiveFromJson(bad.dump());
  ASSERT_FALSE(newer.ok());
  EXPECT_EQ(newer.error().code, Code::kUnsupported);
  EXPECT_EQ(newer.error().message,
            "the archive was made by a newer genflow (format 99, this one knows up to 1)");
}

TEST_F(ArchiveTest, PathsThatLeadOutOfTheirObjectAreRefused) {
  Store store = Open();
  Export(store, MadeRun(store));
  const json good = Manifest();
  const auto with_path = [&](const std::string& path) {
    json bad = good;
    auto& object = bad["objects"][0];
    TreeListing listing = Must(ArchiveFromJson(good.dump())).objects[0].listing;
    auto& entries = object["entries"];
    entries.back()["path"] = path;
    listing.entries.back().path = path;
    const std::string digest = listing.Digest();  // as if the tree had been so
    std::string text = bad.dump();
    const std::string old = object["digest"];
    if (digest == old) return Refusal(bad);
    for (size_t at; (at = text.find(old)) != std::string::npos;) text.replace(at, old.size(), digest);
    return Refusal(json::parse(text));
  };
  EXPECT_EQ(with_path("two"), "");
  const std::string begin = "the archive is damaged: its manifest lists an object that cannot be: ";
  for (const char* path : {"z/../../../x", "/etc/x", "z//x", "z/./x", "../x", "z/not-listed", ".", ""})
    EXPECT_EQ(with_path(path).substr(0, begin.size()), begin) << path;
}

TEST_F(ArchiveTest, WhatComesThroughALinkIsRefused) {
  Store store = Open();
  Export(store, MadeRun(store));
  json bad = Manifest();
  // "d" becomes a link to a folder outside, through which "d/one" would be written.
  TreeListing listing = Must(ArchiveFromJson(bad.dump())).objects[0].listing;
  const std::string old = bad["objects"][0]["digest"];
  for (size_t i = 0; i < listing.entries.size(); ++i) {
    if (listing.entries[i].path != "d") continue;
    listing.entries[i].kind = EntryKind::kLink;
    listing.entries[i].target = "/tmp";
    bad["objects"][0]["entries"][i]["kind"] = "l";
    bad["objects"][0]["entries"][i]["target"] = "/tmp";
  }
  std::string text = bad.dump();
  const std::string digest = listing.Digest();
  for (size_t at; (at = text.find(old)) != std::string::npos;) text.replace(at, old.size(), digest);
  EXPECT_EQ(Refusal(json::parse(text)),
            "the archive is damaged: its manifest lists an object that cannot be: " + digest);
}

TEST_F(ArchiveTest, ADamagedObjectIsNotExported) {
  Store store = Open();
  const std::string run = MadeRun(store);
  const auto artifact = Must(store.ResolveArtifact("a.x"));
  FlipByte(artifact.path() / "two", 0);
  const Fd fd(::open("/dev/null", O_WRONLY | O_CLOEXEC));
  const auto report = store.ExportRuns({run}, fd.get());
  ASSERT_FALSE(report.ok());
  EXPECT_EQ(report.error().code, Code::kCorrupt);
  EXPECT_EQ(report.error().message, "the stored dataset " + artifact.digest.substr(0, 12) +
                                        " of a.x is damaged: the content of 'two' has changed");
}

TEST_F(ArchiveTest, ImportIntoAReadOnlyStoreIsRefused) {
  Store store = Open();
  Export(store, MadeRun(store));
  StoreOptions options;
  options.read_only = true;
  Store reader = Must(Store::Open(root_, options));
  const auto report = Import(reader);
  ASSERT_FALSE(report.ok());
  EXPECT_EQ(report.error().code, Code::kIo);
}

TEST_F(ArchiveTest, ImportLeavesNothingInTheStagingFolder) {
  Store store = Open();
  Export(store, MadeRun(store));
  const std::string whole = Slurp(Tar());
  Store other = Must(Store::Open(folder_ / "other"));
  Spill(Tar(), whole.substr(0, whole.size() / 2));
  EXPECT_FALSE(Import(other).ok());
  EXPECT_EQ(Staged(), 0);
  EXPECT_TRUE(std::filesystem::is_empty(folder_ / "other/objects"));
  Spill(Tar(), whole);
  const ImportReport report = Must(Import(other));
  EXPECT_EQ(report.runs.size(), 1u);
  EXPECT_EQ(report.objects, 1u);
  EXPECT_EQ(Staged(), 0);
  ASSERT_TRUE(Must(other.Lookup("k1")).hit);
  EXPECT_EQ(Slurp(Must(other.ResolveArtifact("a.x")).path() / "d/one"), "1");
}

}  // namespace
}  // namespace genflow
