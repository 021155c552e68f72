#include "store_testing.h"

namespace genflow {
namespace {

namespace fs = std::filesystem;

class ArtifactsTest : public StoreTest {};

TEST_F(ArtifactsTest, CommitMakesOutputsVisibleReadOnlyAndDescribed) {
  Store store = Open();
  const std::string run = NewRun(store);
  const auto outputs =
      Must(RunStage(store, run, "clean", std::string(64, 'a'),
                    {{"test", File("hold-out")}, {"train", {{"part-0", "rows"}, {"m/x", "y"}}}}));
  ASSERT_EQ(outputs.size(), 2u);
  EXPECT_EQ(outputs[0].port, "test");
  EXPECT_EQ(outputs[0].artifact.digest, Sha256Hex("hold-out"));
  EXPECT_EQ(outputs[0].artifact.type, "file");
  EXPECT_FALSE(outputs[0].artifact.is_tree);
  EXPECT_EQ(outputs[0].artifact.bytes, 8u);
  EXPECT_EQ(outputs[0].artifact.path(), root_ / "objects" / outputs[0].artifact.digest.substr(0, 2) /
                                            outputs[0].artifact.digest / "data");
  EXPECT_EQ(Slurp(outputs[0].artifact.path()), "hold-out");
  const Artifact& train = outputs[1].artifact;
  EXPECT_TRUE(train.is_tree);
  EXPECT_EQ(train.files, 2u);
  EXPECT_EQ(train.bytes, 5u);
  EXPECT_EQ(Slurp(train.path() / "part-0"), "rows");
  struct stat info {};
  ASSERT_EQ(::stat((train.path() / "m/x").c_str(), &info), 0);
  EXPECT_EQ(info.st_mode & 07777, 0444u);
  ASSERT_EQ(::stat((train.path() / "m").c_str(), &info), 0);
  EXPECT_EQ(info.st_mode & 07777, 0555u);
  EXPECT_THAT(Slurp(train.path().parent_path() / "object.json"), testing::HasSubstr("\"stage\": \"clean\""));
  EXPECT_THAT(Leftovers(), testing::IsEmpty());
  EXPECT_TRUE(Must(store.Fsck()).problems.empty());
}

TEST_F(ArtifactsTest, SameContentIsStoredOnceAlsoWithinACommit) {
  Store store = Open();
  const std::string run = NewRun(store);
  const auto first = Must(RunStage(store, run, "a", "k1", {{"x", File("same")}, {"y", File("same")}}));
  EXPECT_EQ(first[0].artifact.path(), first[1].artifact.path());
  const auto second = Must(RunStage(store, run, "b", "k2", {{"z", File("same")}}));
  EXPECT_EQ(second[0].artifact.path(), first[0].artifact.path());
  EXPECT_EQ(second[0].artifact.maker->stage, "a");  // who made it first
  EXPECT_EQ(Must(store.ListArtifacts()).size(), 3u);
  EXPECT_EQ(Must(store.Fsck()).objects, 1u);
}

TEST_F(ArtifactsTest, DamagedObjectIsReplacedByACommitOfTheSameContent) {
  Store store = Open();
  const std::string run = NewRun(store);
  const auto first = Must(RunStage(store, run, "a", "k1", {{"x", File("content")}}));
  FlipByte(first[0].artifact.path(), 2);
  const auto second = Must(RunStage(store, run, "b", "k2", {{"x", File("content")}}));
  EXPECT_EQ(Slurp(second[0].artifact.path()), "content");
  EXPECT_TRUE(Must(store.Fsck()).problems.empty());
  EXPECT_EQ(std::distance(fs::directory_iterator(root_ / "quarantine"), fs::directory_iterator()), 1);
}

TEST_F(ArtifactsTest, UnregisteredObjectIsAdoptedByACommitOfTheSameContent) {
  Store store = Open();
  const std::string run = NewRun(store);
  const auto made = Must(RunStage(store, run, "a", "k1", {{"x", {{"f", "content"}}}}));
  // As after a crash between the rename and the row.
  Must(store.FinishRun(run, RunStatus::kOk));
  Must(store.RemoveRun(run));
  fs::rename(made[0].artifact.path().parent_path(), folder_ / "kept");
  ASSERT_EQ(Must(store.Gc()).objects.size(), 1u);
  fs::rename(folder_ / "kept", made[0].artifact.path().parent_path());

  const std::string again = NewRun(store);
  const auto second = Must(RunStage(store, again, "a", "k1", {{"x", {{"f", "content"}}}}));
  EXPECT_EQ(second[0].artifact.digest, made[0].artifact.digest);
  EXPECT_TRUE(Must(store.Fsck()).problems.empty());
  EXPECT_TRUE(Must(store.Lookup("k1")).hit.has_value());
}

TEST_F(ArtifactsTest, MissingOutputIsRefusedUnlessOptional) {
  Store store = Open();
  const std::string run = NewRun(store);
  CommitRequest request;
  request.attempt = Must(store.StartAttempt(Attempt(run, "a", "k")));
  request.end = Done();
  request.outputs = {{"there", "file"}, {"extra", "file", true}};
  {
    Staging staging = Must(store.Stage("k"));
    Spill(Must(staging.Output("there")), "x");
    EXPECT_EQ(Must(store.Commit(std::move(staging), request)).size(), 1u);
  }
  request.attempt = Must(store.StartAttempt(Attempt(run, "a", "k2")));
  EXPECT_EQ(store.Commit(Must(store.Stage("k2")), request).error().ToString(),
            "output 'there' was not written\n"
            "  hint: the stage must create a file or folder at the path given for it");
  EXPECT_THAT(Leftovers(), testing::IsEmpty());
  EXPECT_EQ(Must(store.ListAttempts(run))[1].status, AttemptStatus::kRunning);
}

TEST_F(ArtifactsTest, EndedAttemptIsNotCommittedAgain) {
  Store store = Open();
  const std::string run = NewRun(store);
  CommitRequest request;
  request.attempt = Must(store.StartAttempt(Attempt(run, "a", "k")));
  request.end = Done();
  Must(store.Commit(Must(store.Stage("k")), request));
  EXPECT_EQ(store.Commit(Must(store.Stage("k")), request).error().message,
            "attempt 1 of stage 'a' has already ended");
  request.attempt = 77;
  EXPECT_EQ(store.Commit(Must(store.Stage("k")), request).error().message, "attempt 77 does not exist");
}

TEST_F(ArtifactsTest, OutputPortNamesAreChecked) {
  Store store = Open();
  Staging staging = Must(store.Stage("k"));
  EXPECT_EQ(staging.Output("../x").error().message,
            "output port name '../x' must be letters, digits, '_', '-' and '.'");
  EXPECT_FALSE(staging.Output("").ok());
  EXPECT_TRUE(staging.Output("train.v2-x_1").ok());
  EXPECT_TRUE(fs::is_empty(staging.scratch()));
}

TEST_F(ArtifactsTest, FoldersAreUsedAgainAndGoWithTheStore) {
  std::optional<Store> store = Open();
  const std::string run = NewRun(*store);
  fs::path first;
  {
    Staging staging = Must(store->Stage("first"));
    first = staging.scratch();
    Must(staging.Output("x"));
    Must(store->StateDir("first"));
  }
  EXPECT_FALSE(fs::exists(first)) << "a folder in out/ keeps it from being used again";
  Must(RunStage(*store, run, "a", "first", {{"x", File("x")}}));
  EXPECT_FALSE(fs::exists(root_ / "state/first"));
  {
    Staging staging = Must(store->Stage("second"));
    EXPECT_EQ(staging.scratch().parent_path().filename(), "second-4") << "first-1, first-2, state-3";
    EXPECT_TRUE(fs::is_empty(staging.scratch()));
    EXPECT_FALSE(fs::exists(Must(staging.Output("x"))));
    Spill(staging.scratch() / "left", "behind");
    EXPECT_TRUE(fs::is_empty(Must(store->StateDir("second"))));
    Spill(Must(store->StateDir("second")) / "checkpoint", "step 1");
    EXPECT_EQ(Must(store->StateDir("second")), root_ / "state/second");
  }
  EXPECT_THAT(Leftovers(), testing::IsEmpty());
  {
    Staging staging = Must(store->Stage("third"));
    EXPECT_TRUE(fs::is_empty(staging.scratch())) << "what was left behind is gone";
    fs::permissions(staging.scratch(), fs::perms::owner_read);
  }
  {
    Staging staging = Must(store->Stage("fourth"));
    Spill(staging.scratch() / "x", "may be written");
  }
  EXPECT_EQ(StagingNames().size(), 2u) << "one folder and its lock";
  store.reset();
  EXPECT_THAT(StagingNames(), testing::IsEmpty());
  EXPECT_EQ(Slurp(root_ / "state/second/checkpoint"), "step 1");
}

TEST_F(ArtifactsTest, StateSurvivesUntilTheKeyIsCommitted) {
  Store store = Open();
  const std::string run = NewRun(store);
  Spill(Must(store.StateDir("key-1")) / "checkpoint", "step 10");
  const int64_t failed = Must(store.StartAttempt(Attempt(run, "a", "key-1")));
  Must(store.FinishAttempt(failed, AttemptEnd{}));
  EXPECT_EQ(Slurp(Must(store.StateDir("key-1")) / "checkpoint"), "step 10");
  Must(RunStage(store, run, "a", "key-1", {{"x", File("x")}}));
  EXPECT_FALSE(fs::exists(root_ / "state/key-1"));
}

TEST_F(ArtifactsTest, ExportCopiesAreWritableAndIndependent) {
  Store store = Open();
  const std::string run = NewRun(store);
  const auto made = Must(RunStage(store, run, "a", "k", {{"x", {{"f", "one"}, {"d/g", "two"}}}}));
  Must(store.Export(made[0].artifact, folder_ / "out/copy"));
  Spill(folder_ / "out/copy/f", "edited");
  EXPECT_EQ(Slurp(made[0].artifact.path() / "f"), "one");
  EXPECT_EQ(Slurp(folder_ / "out/copy/d/g"), "two");
  EXPECT_EQ(
      store.Export(made[0].artifact, folder_ / "out/copy").error().ToString(),
      (folder_ / "out/copy").string() + ": exists already\n  hint: remove it, or export to another path");
  Must(store.Export(made[0].artifact, folder_ / "out/linked", ExportMode::kHardLink));
  EXPECT_EQ(fs::hard_link_count(folder_ / "out/linked/f"), 2u);
  // A link changes the ctime: verified by reading, once.
  EXPECT_TRUE(Must(store.Lookup("k")).hit.has_value());

  FlipByte(made[0].artifact.path() / "d/g", 0);
  EXPECT_EQ(
      store.Export(made[0].artifact, folder_ / "bad").error().ToString(),
      "artifact " + made[0].artifact.digest.substr(0, 12) +
          " is damaged: the content of 'd/g' has changed\n  hint: run the pipeline again to make it anew");
  EXPECT_EQ(store.Export(made[0].artifact, folder_ / "bad").error().message,
            "artifact " + made[0].artifact.digest.substr(0, 12) + " was damaged and set aside");
  EXPECT_FALSE(fs::exists(folder_ / "bad"));
}

TEST_F(ArtifactsTest, ArtifactsAreResolvedByRunStageAndPort) {
  Store store = Open();
  const std::string first = NewRun(store);
  Must(RunStage(store, first, "clean", "k1", {{"train", File("old")}}));
  Must(store.FinishRun(first, RunStatus::kOk));
  const std::string second = NewRun(store);
  Must(RunStage(store, second, "clean", "k2", {{"train", File("new")}}));

  EXPECT_EQ(Must(store.ResolveArtifact("clean.train")).digest, Sha256Hex("new"));
  EXPECT_EQ(Must(store.ResolveArtifact(first + ":clean.train")).digest, Sha256Hex("old"));
  EXPECT_EQ(Must(store.ResolveArtifact("latest:clean.train")).digest, Sha256Hex("new"));
  EXPECT_EQ(Must(store.ResolveArtifact(Sha256Hex("old").substr(0, 8))).digest, Sha256Hex("old"));
  EXPECT_EQ(store.ResolveArtifact("clean.trian").error().ToString(),
            "no run has made an artifact 'clean.trian'\n  hint: did you mean 'clean.train'?");
  EXPECT_EQ(
      store.ResolveArtifact("nothing").error().ToString(),
      "there is no artifact 'nothing'\n  hint: write RUN:STAGE.PORT, STAGE.PORT, or at least 4 digits of a "
      "digest; `genflow artifacts ls` shows them");
  EXPECT_EQ(store.ResolveArtifact("20200101-0000-zzzz:clean.train").error().ToString(),
            "there is no run '20200101-0000-zzzz'\n  hint: `genflow runs ls` shows them");
}

TEST_F(ArtifactsTest, LineageIsKept) {
  Store store = Open();
  const std::string run = NewRun(store);
  const auto made = Must(RunStage(store, run, "clean", "k1", {{"train", File("rows")}}));
  const std::string digest = made[0].artifact.digest;
  Must(RunStage(store, run, "tune", "k2", {{"adapter", File("weights")}},
                {{"dataset", digest, "file", "clean.train"}}));
  const auto attempts = Must(store.ListAttempts(run));
  ASSERT_EQ(attempts.size(), 2u);
  ASSERT_EQ(attempts[1].inputs.size(), 1u);
  EXPECT_EQ(attempts[1].inputs[0].source, "clean.train");
  ASSERT_EQ(attempts[1].outputs.size(), 1u);
  EXPECT_EQ(attempts[1].outputs[0].port, "adapter");
  const auto consumers = Must(store.ArtifactConsumers(digest));
  ASSERT_EQ(consumers.size(), 1u);
  EXPECT_EQ(consumers[0].stage, "tune");
  EXPECT_EQ(Must(store.ArtifactProducers(digest))[0].stage, "clean");
}

TEST_F(ArtifactsTest, ModelsHaveVersionsAndAliases) {
  Store store = Open();
  const std::string run = NewRun(store);
  const auto made = Must(RunStage(store, run, "tune", "k", {{"a", File("one")}, {"b", File("two")}}));
  EXPECT_EQ(Must(store.RegisterModel("helper", made[0].artifact.digest, run)).version, 1);
  EXPECT_EQ(Must(store.RegisterModel("helper", made[1].artifact.digest, run)).version, 2);
  Must(store.SetAlias("helper", "production", 2));
  Must(store.SetAlias("helper", "production", 1));
  EXPECT_EQ(Must(store.ResolveArtifact("helper@production")).digest, Sha256Hex("one"));
  EXPECT_EQ(Must(store.ResolveArtifact("helper@2")).digest, Sha256Hex("two"));
  const auto models = Must(store.ListModels());
  ASSERT_EQ(models.size(), 2u);
  EXPECT_EQ(models[0].version, 2);
  EXPECT_THAT(models[1].aliases, testing::ElementsAre("production"));
  EXPECT_EQ(store.SetAlias("helper", "x", 9).error().ToString(), "there is no model 'helper@9'");
  EXPECT_FALSE(store.SetAlias("helper", "2", 1).ok());
  EXPECT_FALSE(store.RegisterModel("a@b", made[0].artifact.digest, run).ok());
}

}  // namespace
}  // namespace genflow
