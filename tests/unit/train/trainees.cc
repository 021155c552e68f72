#include "unit/train/trainees.h"

#include <gtest/gtest.h>

#include <csignal>

#include "base/files.h"

namespace genflow::testing_support {

using nlohmann::json;

std::vector<Trainee> RunTrainees(const std::filesystem::path& folder, json settings,
                                 const std::map<int, json>& of_rank,
                                 const std::map<std::string, std::string>& env) {
  static int calls = 0;  // a place to meet is used once
  const std::string here = (folder / std::to_string(calls++)).string();
  settings["rendezvous"] = here + ".processes";
  std::vector<Process> processes;
  for (int rank = 0; rank < settings.value("processes", 1); ++rank) {
    json own = settings;
    own["rank"] = rank;
    own["out"] = here + ".out" + std::to_string(rank);
    if (const auto more = of_rank.find(rank); more != of_rank.end()) own.update(more->second);
    ProcessOptions options;
    options.argv = {TRAINEE, own.dump()};
    auto added = env;
    added["OMP_NUM_THREADS"] = "1";
    options.env = EnvironmentWith(added);
    options.fds = {{1, 1}, {2, 2}};
    auto process = Process::Start(options);
    EXPECT_TRUE(process.ok());
    if (process.ok()) processes.push_back(std::move(*process));
  }
  std::vector<Trainee> out;
  for (size_t rank = 0; rank < processes.size(); ++rank) {
    Trainee trainee;
    if (rank > 0 && settings.value("kill_rest", false)) processes[rank].SignalGroup(SIGKILL);
    trainee.status = processes[rank].Wait();
    if (const auto text = ReadFile(here + ".out" + std::to_string(rank)); text.ok())
      trainee.out = json::parse(*text);
    out.push_back(std::move(trainee));
  }
  return out;
}

}  // namespace genflow::testing_support
