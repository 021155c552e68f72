#include "nn/train/checkpoint.h"

#include "train_testing.h"

namespace genflow::nn::train {
namespace {

namespace fs = std::filesystem;

Checkpoint Make(int64_t step, const std::string& fingerprint = "run") {
  const auto value = static_cast<double>(step);
  return {step,
          fingerprint,
          {{"loss_sum", value / 3}},
          {{"parameters", at::full({5}, value)},
           {"codes", at::full({3}, step % 200, at::kByte)},
           {"exp_avg_sq", at::full({5}, value + 0.5)}}};
}

at::Tensor TensorOf(const Checkpoint& checkpoint, const std::string& name) {
  for (const auto& [other, tensor] : checkpoint.tensors) {
    if (other == name) return tensor;
  }
  return {};
}

bool Saved(CheckpointStore& store, const Checkpoint& checkpoint) {
  return store.Save(checkpoint).ok() && store.Finish().ok();
}

TEST(CheckpointStore, WritesBesideTheTrainingWhatItWasGiven) {
  const ScratchFolder scratch;
  const fs::path folder = scratch / "state";
  const at::Tensor weights = at::full({1 << 20}, 1.0);
  {
    CheckpointStore store(folder);
    ASSERT_TRUE(store.Save({1, "run", {}, {{"parameters", weights}}}).ok());
    weights.fill_(2);  // the training goes on
    ASSERT_TRUE(store.Save({2, "run", {}, {{"parameters", weights}}}).ok());
    weights.fill_(3);
  }  // what was begun is finished
  std::vector<std::string> notes;
  const auto loaded = CheckpointStore(folder).LoadNewest("run", &notes);
  ASSERT_TRUE(loaded.ok() && loaded->has_value());
  EXPECT_EQ((*loaded)->step, 2);
  EXPECT_TRUE(TensorOf(**loaded, "parameters").eq(2).all().item<bool>());
}

TEST(CheckpointStore, AFailureIsToldAtTheNextCall) {
  const ScratchFolder scratch;
  ASSERT_TRUE(WriteFileAtomic(scratch / "state", "a file where a folder should be").ok());
  CheckpointStore store(scratch / "state");
  ASSERT_TRUE(store.Save(Make(1)).ok());
  EXPECT_FALSE(store.Finish().ok());
  EXPECT_TRUE(store.Finish().ok()) << "once";
}

TEST(CheckpointStore, KeepsTheNewestTwo) {
  const ScratchFolder scratch;
  const fs::path folder = scratch / "state";
  CheckpointStore store(folder);
  for (const int64_t step : {8, 9, 10, 11}) ASSERT_TRUE(Saved(store, Make(step)));
  std::vector<std::string> files;
  for (const auto& entry : fs::directory_iterator(folder)) files.push_back(entry.path().filename());
  std::sort(files.begin(), files.end());
  EXPECT_EQ(files, (std::vector<std::string>{"step-10.safetensors", "step-11.safetensors"}));

  std::vector<std::string> notes;
  const auto loaded = store.LoadNewest("run", &notes);
  ASSERT_TRUE(loaded.ok()) << loaded.error().ToString();
  ASSERT_TRUE(loaded->has_value());
  EXPECT_EQ((*loaded)->step, 11);
  EXPECT_EQ((*loaded)->state["loss_sum"].get<double>(), 11.0 / 3);
  EXPECT_TRUE(at::equal(TensorOf(**loaded, "exp_avg_sq"), at::full({5}, 11.5)));
  EXPECT_TRUE(at::equal(TensorOf(**loaded, "codes"), at::full({3}, 11, at::kByte)));
  EXPECT_TRUE(notes.empty());
}

TEST(CheckpointStore, LeavesNothingOfARunThatIsNotContinued) {
  const ScratchFolder scratch;
  const fs::path folder = scratch / "state";
  CheckpointStore store(folder);
  for (const int64_t step : {800, 900}) ASSERT_TRUE(Saved(store, Make(step, "other")));
  ASSERT_TRUE(WriteFileAtomic(folder / "step-7.safetensors.tmp", "half").ok());
  ASSERT_TRUE(Saved(store, Make(10)));
  std::vector<std::string> files;
  for (const auto& entry : fs::directory_iterator(folder)) files.push_back(entry.path().filename());
  EXPECT_EQ(files, std::vector<std::string>{"step-10.safetensors"});
}

// As many as there may be after kills between the renaming of one and the removal of others, and no more.
TEST(CheckpointStore, RemovesWhatKillsLeftBeforeItWrites) {
  const ScratchFolder scratch;
  const fs::path folder = scratch / "state";
  CheckpointStore store(folder);
  ASSERT_TRUE(Saved(store, Make(9)));
  for (const std::string step : {"3", "6"})
    fs::copy_file(folder / "step-9.safetensors", folder / ("step-" + step + ".safetensors"));
  // A folder under its name: the next one is written and cannot get there.
  fs::create_directories(folder / "step-12.safetensors" / "taken");
  ASSERT_TRUE(store.Save(Make(12)).ok());
  EXPECT_FALSE(store.Finish().ok());
  EXPECT_FALSE(fs::exists(folder / "step-3.safetensors"));
  EXPECT_TRUE(fs::exists(folder / "step-6.safetensors"));
  EXPECT_TRUE(fs::exists(folder / "step-9.safetensors"));
}

TEST(CheckpointStore, PassesOverDamageAndSaysSo) {
  const ScratchFolder scratch;
  const fs::path folder = scratch / "state";
  CheckpointStore store(folder);
  ASSERT_TRUE(Saved(store, Make(1)));
  ASSERT_TRUE(Saved(store, Make(2)));
  const fs::path newest = folder / "step-2.safetensors";
  const auto whole = ReadFile(newest);
  ASSERT_TRUE(whole.ok());

  // One flipped bit in the last tensor.
  std::string flipped = *whole;
  flipped.back() = static_cast<char>(flipped.back() ^ 1);
  ASSERT_TRUE(WriteFileAtomic(newest, flipped).ok());
  std::vector<std::string> notes;
  auto loaded = store.LoadNewest("run", &notes);
  ASSERT_TRUE(loaded.ok() && loaded->has_value());
  EXPECT_EQ((*loaded)->step, 1);
  EXPECT_EQ(notes, std::vector<std::string>{
                       "checkpoint 'step-2.safetensors' has damaged data: trying an older one"});

  // Cut short anywhere.
  for (const size_t keep : {whole->size() - 1, whole->size() / 2, size_t{4}, size_t{0}}) {
    ASSERT_TRUE(WriteFileAtomic(newest, whole->substr(0, keep)).ok());
    notes.clear();
    loaded = store.LoadNewest("run", &notes);
    ASSERT_TRUE(loaded.ok() && loaded->has_value()) << keep;
    EXPECT_EQ((*loaded)->step, 1) << keep;
    EXPECT_EQ(notes.size(), 1u) << keep;
  }
}

TEST(CheckpointStore, IgnoresOtherRunsAndUnfinishedFiles) {
  const ScratchFolder scratch;
  const fs::path folder = scratch / "state";
  CheckpointStore store(folder);
  std::vector<std::string> notes;
  auto none = store.LoadNewest("run", &notes);
  ASSERT_TRUE(none.ok()) << none.error().ToString();
  EXPECT_FALSE(none->has_value());

  ASSERT_TRUE(Saved(store, Make(3, "another run")));
  ASSERT_TRUE(WriteFileAtomic(folder / "step-9.safetensors.tmp", "half").ok());
  ASSERT_TRUE(WriteFileAtomic(folder / "notes.txt", "mine").ok());
  none = store.LoadNewest("run", &notes);
  ASSERT_TRUE(none.ok()) << none.error().ToString();
  EXPECT_FALSE(none->has_value());
  EXPECT_EQ(notes, std::vector<std::string>{"checkpoint 'step-3.safetensors' is of another run: not used"});
}

}  // namespace
}  // namespace genflow::nn::train
