// What starts a schedule: a marked block in the user's crontab, or a timer of the user's systemd.
#pragma once

#include <filesystem>
#include <string>
#include <vector>

#include "base/result.h"
#include "cli/schedules.h"

namespace genflow::cli {

// Whether a program of that name is in $PATH.
bool HasProgram(const std::string& name);

// Puts the trigger in the place of one of the same name. `definition`: the schedule's file. Returns sentences
// that the user must see, for instance that systemd did not answer.
Result<std::vector<std::string>> InstallTrigger(const Schedule& schedule,
                                                const std::filesystem::path& definition);
// Also one that is not there.
Result<std::vector<std::string>> RemoveTrigger(const std::string& name, const std::string& backend);

// The backends that have a trigger of that name, whatever its schedule says.
Result<std::vector<std::string>> FindTriggers(const std::string& name);

// A crontab with the block of `name` replaced by `block`, or without it where `block` is empty; the rest
// byte for byte. kCorrupt where a block does not end.
Result<std::string> ReplaceBlock(const std::string& crontab, const std::string& name,
                                 const std::string& block);
std::string CrontabBlock(const Schedule& schedule, const std::filesystem::path& definition);
std::string ServiceUnit(const Schedule& schedule, const std::filesystem::path& definition);
std::string TimerUnit(const Schedule& schedule);

}  // namespace genflow::cli
