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
      {"cli", {"base", "graph", "config", "store", "host", "engine", "formats", "adapter", "sizing"}},
      {"notify", {"base"}},
      {"hub", {"base"}},
      {"formats", {"base"}},
      {"sizing", {"base", "config", "formats"}},
      {"text", {"base", "formats"}},
      {"adapter", {"base", "formats", "text"}},
      {"data", {"base", "text"}},
      {"nn", {"base", "formats", "text", "adapter", "data"}},
      {"eval", {"base", "formats", "text", "data", "nn"}},
      {"guard", {"base", "text", "data", "nn", "eval"}},
      {"session", {"base", "formats", "text", "nn"}},
      {"stages", {"base", "formats", "adapter", "sizing", "text", "data", "nn", "eval", "guard"}},
  };
  return arrows;
}

// Headers, by the beginning of their names, that only some folders may include: those of third parties, and
// the SDK, whose C++ half is for stages alone.
const std::vector<std::pair<std::string, std::set<std::string>>>& Owners() {
  static const std::vector<std::pair<std::string, std::set<std::string>>> owners = {
      {"yaml-cpp/", {"config"}},
      {"sqlite3.h", {"store"}},
      {"CLI/", {"cli"}},
      {"curl/", {"hub", "notify"}},
      {"dlfcn.h", {"host", "nn"}},
      {"arrow/", {"data"}},
      {"parquet/", {"data"}},
      {"torch/", {"nn"}},
      {"ATen/", {"nn"}},
      {"c10/", {"nn"}},
      {"ggml", {"formats"}},
      {"gguf.h", {"formats"}},
      {"jinja/", {"text"}},
      {"genflow/", {"host", "engine", "cli", "stages"}},
      {"genflow/plugin.hpp", {"stages"}},
      {"genflow/json_value.hpp", {"stages"}},
  };
  return owners;
}

// C++ files of more than kManyLines lines, and why they are not split.
const std::map<std::string, std::string>& LongFiles() {
  static const std::map<std::string, std::string> files = {
      {"src/engine/engine.cc", "one class around one event loop, which reads top to bottom"},
  };
  return files;
}
constexpr int64_t kManyLines = 400;

// The C++ files below a folder of the source tree.
std::vector<fs::path> Sources(const std::string& folder) {
  std::vector<fs::path> out;
  for (const auto& entry : fs::recursive_directory_iterator(fs::path(GENFLOW_SOURCE_DIR) / folder)) {
    const auto extension = entry.path().extension();
    if (extension == ".h" || extension == ".hpp" || extension == ".cc") out.push_back(entry.path());
  }
  return out;
}

TEST(Layout, IncludesFollowTheArrows) {
  const fs::path src = fs::path(GENFLOW_SOURCE_DIR) / "src";
  const std::regex include("^\\s*#\\s*include\\s*[\"<]([^\">]+)[\">]");
  size_t seen = 0;
  for (const auto& file : Sources("src")) {
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
  size_t long_files = 0;
  for (const char* folder : {"src", "include", "tests"}) {
    for (const auto& file : Sources(folder)) {
      const std::string name = fs::relative(file, GENFLOW_SOURCE_DIR).string(), text = *ReadFile(file);
      const auto lines = std::count(text.begin(), text.end(), '\n');
      if (lines <= kManyLines) continue;
      ++long_files;
      EXPECT_TRUE(LongFiles().count(name) != 0)
          << name << " has " << lines << " lines: split it, or say in LongFiles() why not";
    }
  }
  EXPECT_EQ(long_files, LongFiles().size()) << "LongFiles() names a file that is short";
}

TEST(Layout, TestsMakeTheirFoldersInOnePlace) {
  const std::string home_made = std::string("testing::Temp") + "Dir";
  size_t seen = 0;
  for (const auto& file : Sources("tests")) {
    ++seen;
    if (ReadFile(file)->find(home_made) == std::string::npos) continue;
    const std::string name = fs::relative(file, GENFLOW_SOURCE_DIR).string();
    EXPECT_EQ(name, "tests/testing/scratch.h") << name << " should use ScratchFolder";
  }
  EXPECT_GT(seen, 50u);
}

TEST(Layout, TheBinaryLinksNoTorchArrowOrCuda) {
  Sandbox box;
  const auto ldd = box.Shell(std::string("ldd ") + GENFLOW_BINARY);
  ASSERT_EQ(ldd.code, 0) << ldd.err;
  EXPECT_NE(ldd.out.find("libc.so"), std::string::npos);
  // Addresses are any digits: "c10" stands in some of them.
  const std::string libraries = std::regex_replace(ldd.out, std::regex("\\(0x[0-9a-f]+\\)"), "");
  for (const char* name :
       {"torch", "c10", "arrow", "parquet", "cuda", "cudart", "nvrtc", "curl", "ggml", "icu"}) {
    EXPECT_EQ(libraries.find(name), std::string::npos) << libraries;
  }
}

}  // namespace
}  // namespace genflow
