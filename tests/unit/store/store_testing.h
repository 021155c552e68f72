// What the tests of the run store share: a store in a fresh folder, files, stages with outputs.
#pragma once

#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sqlite3.h>
#include <sys/stat.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>
#include <map>
#include <string>
#include <vector>

#include "base/files.h"
#include "base/sha256.h"
#include "store/store.h"
#include "testing/scratch.h"

namespace genflow {

// The value, or a test failure and an exit from this program.
template <class T>
T Must(Result<T> result) {
  if (result.ok()) return std::move(result).value();
  ADD_FAILURE() << result.error().ToString();
  std::abort();
}
inline void Must(const Status& status) {
  if (status.ok()) return;
  ADD_FAILURE() << status.error().ToString();
  std::abort();
}

inline std::string Slurp(const std::filesystem::path& path) { return Must(ReadFile(path)); }

inline void Spill(const std::filesystem::path& path, std::string_view bytes) {
  std::filesystem::create_directories(path.parent_path());
  std::ofstream out(path, std::ios::binary | std::ios::trunc);
  out << bytes;
  ASSERT_TRUE(out.good()) << path;
}

using Tree = std::map<std::string, std::string>;  // relative path -> content

inline void SpillTree(const std::filesystem::path& root, const Tree& tree) {
  std::filesystem::create_directories(root);
  for (const auto& [path, content] : tree) Spill(root / path, content);
}

class StoreTest : public testing::Test {
 protected:
  Store Open() { return Must(Store::Open(root_)); }

  static std::string NewRun(Store& store, const std::string& pipeline = "demo") {
    RunStart start;
    start.pipeline = pipeline;
    start.file = "/srv/demo/" + pipeline + ".yaml";
    start.params_json = R"({"epochs":2})";
    start.argv = {"genflow", "run", pipeline + ".yaml"};
    start.version = "0.1.0";
    start.stages = {"a", "b"};
    return Must(store.StartRun(start));
  }

  static AttemptStart Attempt(const std::string& run, const std::string& stage, const std::string& key) {
    AttemptStart start;
    start.run = run;
    start.stage = stage;
    start.uses = "test." + stage;
    start.key = key;
    return start;
  }

  static AttemptEnd Done() {
    AttemptEnd end;
    end.status = AttemptStatus::kRun;
    return end;
  }

  // Runs a stage whose outputs are the trees given, by port; a tree with the one path "" is a file.
  static Result<std::vector<PortArtifact>> RunStage(Store& store, const std::string& run,
                                                    const std::string& stage, const std::string& key,
                                                    const std::map<std::string, Tree>& outputs,
                                                    std::vector<InputUse> inputs = {}) {
    AttemptStart start = Attempt(run, stage, key);
    start.inputs = std::move(inputs);
    CommitRequest request;
    GF_TRY(request.attempt, store.StartAttempt(start));
    request.end = Done();
    GF_TRY(Staging staging, store.Stage(key));
    for (const auto& [port, tree] : outputs) {
      GF_TRY(const auto path, staging.Output(port));
      if (tree.size() == 1 && tree.begin()->first.empty()) {
        Spill(path, tree.begin()->second);
        request.outputs.push_back({port, "file"});
      } else {
        SpillTree(path, tree);
        request.outputs.push_back({port, "dataset"});
      }
    }
    return store.Commit(std::move(staging), request);
  }

  // SQL past the store, as another program would run it.
  static void Sql(const std::filesystem::path& path, const std::string& sql) {
    sqlite3* db = nullptr;
    ASSERT_EQ(sqlite3_open(path.c_str(), &db), SQLITE_OK);
    EXPECT_EQ(sqlite3_exec(db, sql.c_str(), nullptr, nullptr, nullptr), SQLITE_OK) << sqlite3_errmsg(db);
    sqlite3_close(db);
  }

  // As if the clock had been ten years ahead during the run.
  void MoveAhead(const std::string& run) const {
    Sql(root_ / "store.db",
        "UPDATE runs SET started = started + 315576000, finished = finished + 315576000 "
        "WHERE id = '" +
            run + "'");
  }

  static Tree File(const std::string& content) { return {{"", content}}; }

  // What stands in staging/: a folder and a lock for every open store that has staged anything.
  std::vector<std::string> StagingNames() const {
    std::vector<std::string> names;
    for (const auto& entry : std::filesystem::directory_iterator(root_ / "staging"))
      names.push_back(entry.path().filename().string());
    return names;
  }

  // Files that attempts have left in staging/; the empty folders of an open store are none.
  std::vector<std::string> Leftovers() const {
    std::vector<std::string> names;
    for (const auto& entry : std::filesystem::recursive_directory_iterator(root_ / "staging")) {
      if (!entry.is_directory() && entry.path().extension() != ".lock")
        names.push_back(entry.path().lexically_relative(root_ / "staging").string());
    }
    return names;
  }

  const ScratchFolder scratch_;
  const std::filesystem::path folder_ = scratch_.path();
  std::filesystem::path root_ = folder_ / ".genflow";
};

// Changes the bytes of a read-only file in the store, keeping its size.
inline void FlipByte(const std::filesystem::path& path, size_t at) {
  const Fd fd(::open(path.c_str(), O_RDWR));
  // A read-only file opens for writing only for the superuser.
  Fd writable;
  if (!fd.valid()) {
    ASSERT_EQ(::chmod(path.c_str(), 0644), 0);
    writable = Fd(::open(path.c_str(), O_RDWR));
  }
  const int use = fd.valid() ? fd.get() : writable.get();
  char byte = 0;
  ASSERT_EQ(::pread(use, &byte, 1, static_cast<off_t>(at)), 1);
  byte = static_cast<char>(byte ^ 0x40);
  ASSERT_EQ(::pwrite(use, &byte, 1, static_cast<off_t>(at)), 1);
}

}  // namespace genflow
