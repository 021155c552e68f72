// Room kept for the day when the disk is full: a file in the store that is cut shorter then.
#pragma once

#include <filesystem>

namespace genflow {

// SQLite needs a few dozen KiB beside store.db even to read it, and more to write that runs have gone.
// Without them not even what frees space could run. Any number of processes may use the file at once; what
// one of them gives up, another may take first.
class Ballast {
 public:
  explicit Ballast(std::filesystem::path file) : file_(std::move(file)) {}

  // Makes it, or brings it to its full size, where the disk has plenty of room. Whatever goes wrong, there is
  // none then.
  void Fill() const;
  // Where the disk is full, frees room to open the database. False: the disk is not full, or there is nothing
  // left to give.
  bool GiveSome() const;
  // The same with all that is left: for what frees more than it takes.
  bool GiveAll() const;

 private:
  bool Give(bool all) const;
  std::filesystem::path file_;
};

}  // namespace genflow
