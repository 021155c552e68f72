// The architecture as a test: who includes whom, what the binary links, how fresh the reference is.
#include <gtest/gtest.h>

#include <algorithm>
#include <filesystem>
#include <map>
#include <regex>
#include <set>
#include <sstream>

#include "base/files.h"
#include "cli/sandbox.h"

namespace genflow {
namespace {

namespace fs = std::filesystem;

// Folder of src/ -> folders whose headers it may include, besides its own.
const std::map<std::string, std::set<std::string>>& Arrows() {
  static const std::map<std::string, std::set<std::string>> arrows = {
      {"base", {}},
      {"graph", {"base"}},
      {"config", {"base", "graph"}},
      {"store", {"base"}},
      {"host", {"base"}},
      {"engine", {"base", "graph", "config", "store", "host"}},
      {"cli", {"base", "graph", "config", "store", "host", "engine"}},
      {"formats", {"base"}},
      {"text", {"base", "formats"}},
      {"data", {"base", "text"}},
      {"nn", {"base", "formats", "text", "data"}},
      {"eval", {"base", "formats", "text", "data", "nn"}},
      {"guard", {"base", "text", "data", "nn", "eval"}},
      {"stages", {"base", "formats", "text", "data", "nn", "eval", "guard"}},
  };
  return arrows;
}

// Third-party headers that belong to one folder alone.
const std::vector<std::pair<std::string, std::set<std::string>>>& Owners() {
  static const std::vector<std::pair<std::string, std::set<std::string>>> owners = {
      {"yaml-cpp/", {"config"}},   {"sqlite3.h", {"store"}}, {"CLI/", {"cli"}},
      {"dlfcn.h", {"host", "nn"}}, {"arrow/", {"data"}},     {"parquet/", {"data"}},
      {"torch/", {"nn"}},          {"ATen/", {"nn"}},        {"c10/", {"nn"}},
      {"ggml", {"formats"}},       {"gguf.h", {"formats"}},  {"jinja/", {"text"}},
  };
  return owners;
}

std::vector<fs::path> Sources() {
  std::vector<fs::path> out;
  for (const auto& entry : fs::recursive_directory_iterator(fs::path(GENFLOW_SOURCE_DIR) / "src")) {
    const auto extension = entry.path().extension();
    if (extension == ".h" || extension == ".cc") out.push_back(entry.path());
  }
  return out;
}

TEST(Layout, IncludesFollowTheArrows) {
  const fs::path src = fs::path(GENFLOW_SOURCE_DIR) / "src";
  const std::regex include("^\\s*#\\s*include\\s*[\"<]([^\">]+)[\">]");
  size_t seen = 0;
  for (const auto& file : Sources()) {
    const std::string name = fs::relative(file, src).string();
    const std::string folder = name.substr(0, name.find('/'));
    const auto allowed = Arrows().find(folder);
    ASSERT_NE(allowed, Arrows().end())
        << "src/" << folder << " is in no arrow: add it to the design and here";
    std::istringstream lines(*ReadFile(file));
    for (std::string line; std::getline(lines, line);) {
      std::smatch match;
      if (!std::regex_search(line, match, include)) continue;
      ++seen;
      const std::string header = match[1];
      const std::string target = header.substr(0, header.find('/'));
      if (Arrows().count(target) != 0 && fs::exists(src / header) && target != folder) {
        EXPECT_TRUE(allowed->second.count(target) != 0) << "src/" << name << " includes " << header;
      }
      for (const auto& [prefix, owners] : Owners()) {
        EXPECT_TRUE(!header.starts_with(prefix) || owners.count(folder) != 0)
            << "src/" << name << " includes " << header;
      }
    }
  }
  EXPECT_GT(seen, 200u);
}

TEST(Layout, FilesStayReadable) {
  for (const auto& file : Sources()) {
    const std::string text = *ReadFile(file);
    EXPECT_LE(std::count(text.begin(), text.end(), '\n'), 800) << file << " must be split";
  }
}

TEST(Layout, TestsMakeTheirFoldersInOnePlace) {
  const fs::path tests = fs::path(GENFLOW_SOURCE_DIR) / "tests";
  const std::string home_made = std::string("testing::Temp") + "Dir";
  size_t seen = 0;
  for (const auto& entry : fs::recursive_directory_iterator(tests)) {
    const std::string name = fs::relative(entry.path(), tests).string();
    if (!name.ends_with(".cc") && !name.ends_with(".h")) continue;
    ++seen;
    if (ReadFile(entry.path())->find(home_made) == std::string::npos) continue;
    EXPECT_EQ(name, "testing/scratch.h") << "tests/" << name << " should use ScratchFolder";
  }
  EXPECT_GT(seen, 50u);
}

TEST(Layout, TheBinaryLinksNoTorchArrowOrCuda) {
  Sandbox box;
  const auto ldd = box.Shell(std::string("ldd ") + GENFLOW_BINARY);
  ASSERT_EQ(ldd.code, 0) << ldd.err;
  EXPECT_NE(ldd.out.find("libc.so"), std::string::npos);
  for (const char* name :
       {"torch", "c10", "arrow", "parquet", "cuda", "cudart", "nvrtc", "curl", "ggml", "icu"}) {
    EXPECT_EQ(ldd.out.find(name), std::string::npos) << ldd.out;
  }
}

}  // namespace
}  // namespace genflow
