// The store and its disk, as `genflow doctor` sees them.
#include <fcntl.h>
#include <linux/fs.h>
#include <linux/magic.h>
#include <stdlib.h>
#include <sys/file.h>
#include <sys/ioctl.h>
#include <sys/statvfs.h>
#include <sys/vfs.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <ctime>

#include "base/files.h"
#include "base/strings.h"
#include "cli/doctor.h"
#include "cli/times.h"
#include "store/schema.h"
#include "store/store.h"

namespace genflow::cli {

namespace {

namespace fs = std::filesystem;

constexpr uint64_t kMiB = 1ull << 20, kGiB = 1ull << 30;

std::string FileSystemName(int64_t magic) {
  switch (magic) {
    case EXT4_SUPER_MAGIC:
      return "ext4";
    case BTRFS_SUPER_MAGIC:
      return "btrfs";
    case XFS_SUPER_MAGIC:
      return "xfs";
    case TMPFS_MAGIC:
      return "tmpfs";
    case OVERLAYFS_SUPER_MAGIC:
      return "overlay";
    case NFS_SUPER_MAGIC:
      return "nfs";
    case 0xFF534D42:
      return "cifs";
    case 0x2FC12FC1:
      return "zfs";
    case FUSE_SUPER_MAGIC:
      return "fuse";
    default:
      return "file system " + std::to_string(magic);
  }
}

// The folder, or the nearest one above it that exists.
fs::path Existing(fs::path folder) {
  std::error_code ec;
  folder = fs::absolute(folder, ec).lexically_normal();
  while (!fs::is_directory(folder, ec) && folder != folder.parent_path()) folder = folder.parent_path();
  return folder;
}

Finding Disk(const fs::path& folder) {
  Finding out{"disk", Health::kOk, "", "", {}};
  struct statvfs info {};
  if (::statvfs(folder.c_str(), &info) != 0) {
    out.health = Health::kFail;
    out.text = ErrnoError(folder.string(), errno).message;
    return out;
  }
  const uint64_t free = static_cast<uint64_t>(info.f_bavail) * info.f_frsize;
  const uint64_t total = static_cast<uint64_t>(info.f_blocks) * info.f_frsize;
  const bool counts_inodes = info.f_files > 0;
  out.text = HumanBytes(free) + " free of " + HumanBytes(total) + " at " + folder.string();
  out.facts = {{"folder", folder.string()}, {"free_bytes", free}, {"total_bytes", total}};
  if (counts_inodes) out.facts["free_inodes"] = info.f_favail;
  if (free < 100 * kMiB || (counts_inodes && info.f_favail < 100)) {
    out.health = Health::kFail;
    out.hint = "`genflow gc` frees what no kept run uses";
    if (free >= 100 * kMiB) out.text += ", but only " + std::to_string(info.f_favail) + " more files";
  } else if (free < 2 * kGiB) {
    out.health = Health::kWarn;
    out.hint = "a tuned model takes a few GiB on its way; `genflow gc` frees what no kept run uses";
  }
  return out;
}

// Links and locks, tried in a folder of their own that goes again.
Finding FileSystem(const fs::path& folder) {
  Finding out{"file system", Health::kOk, "", "", {}};
  struct statfs info {};
  const std::string kind = ::statfs(folder.c_str(), &info) == 0
                               ? FileSystemName(static_cast<uint32_t>(info.f_type))
                               : std::string("unknown");
  out.facts = {{"type", kind}};
  std::string pattern = (folder / ".genflow-doctor-XXXXXX").string();
  if (::mkdtemp(pattern.data()) == nullptr) {
    out.health = Health::kFail;
    out.text = kind + "; nothing can be written: " + ErrnoError(folder.string(), errno).message;
    out.hint = "give a folder of your own with --store";
    return out;
  }
  const fs::path place = pattern;
  const Fd file(::open((place / "a").c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0600));
  const bool writes = file.valid() && WriteAll(file.get(), "genflow").ok();
  const bool links = writes && ::link((place / "a").c_str(), (place / "b").c_str()) == 0;
  const Fd other(::open((place / "c").c_str(), O_WRONLY | O_CREAT | O_CLOEXEC, 0600));
  const bool clones = writes && other.valid() && ::ioctl(other.get(), FICLONE, file.get()) == 0;
  // Two descriptors of one file: the second must be refused.
  const Fd again(::open((place / "a").c_str(), O_RDWR | O_CLOEXEC));
  const bool locks = writes && ::flock(file.get(), LOCK_EX | LOCK_NB) == 0 && again.valid() &&
                     ::flock(again.get(), LOCK_EX | LOCK_NB) != 0;
  const bool removed = RemoveTree(place).ok();
  out.facts.update({{"writes", writes}, {"hard_links", links}, {"reflinks", clones}, {"locks", locks}});
  out.text = kind + ": " + (links ? "hard links" : "no hard links") + ", " +
             (clones ? "reflinks" : "no reflinks") + ", " + (locks ? "locks" : "no locks");
  if (!writes || !removed || !locks) {
    out.health = Health::kFail;
    out.hint = !locks && writes && removed ? "runs would not see each other: put the store on a local disk"
                                           : "the disk is full or broken: look at `df` and `dmesg`";
  } else if (kind == "nfs" || kind == "cifs") {
    out.health = Health::kWarn;
    out.hint = "SQLite and locks are at the mercy of the server: put the store on a local disk";
  } else if (!links && !clones) {
    out.health = Health::kWarn;
    out.hint = "artifacts are copied, not linked, out of the store: it takes time and space";
  }
  return out;
}

// What a look at the counts finds; the bytes themselves are `genflow fsck`'s to read.
Finding Contents(Store& store) {
  Finding out{"store contents", Health::kOk, "", "", {}};
  FsckOptions options;
  options.hash = false;
  const auto report = store.Fsck(options);
  if (!report.ok()) {
    out.health = Health::kFail;
    out.text = report.error().message;
    out.hint = report.error().code == Code::kCorrupt
                   ? "`genflow fsck --rebuild` makes a new store.db from the objects"
                   : report.error().hint;
    return out;
  }
  int damaged = 0, leftovers = 0;
  for (const auto& problem : report->problems) (problem.harmless() ? leftovers : damaged)++;
  out.text = Counted(report->objects, "object") + ", " + HumanBytes(report->bytes);
  out.facts = {
      {"objects", report->objects}, {"bytes", report->bytes}, {"damaged", damaged}, {"leftovers", leftovers}};
  if (damaged > 0) {
    out.health = Health::kFail;
    out.text += "; " + std::to_string(damaged) + (damaged == 1 ? " is damaged" : " are damaged");
    out.hint = "`genflow fsck` names them, `genflow fsck --repair` sets them aside";
  } else if (leftovers > 0) {
    out.health = Health::kWarn;
    out.text += "; " + Counted(leftovers, "thing") + " left behind";
    out.hint = "what stopped processes left does no harm; `genflow gc` frees it";
  }
  return out;
}

Finding LatestRun(Store& store) {
  Finding out{"runs", Health::kOk, "none", "", {}};
  RunFilter filter;
  filter.limit = 1;
  const auto runs = store.ListRuns(filter);
  if (!runs.ok()) {
    out.health = Health::kFail;
    out.text = runs.error().message;
    out.hint = runs.error().hint;
    return out;
  }
  if (runs->empty()) return out;
  const RunInfo& run = runs->front();
  out.text = "the latest is " + run.id + " of " + run.pipeline + ", " + RunStatusName(run.status);
  out.facts = {{"latest", run.id}, {"status", RunStatusName(run.status)}};
  const double ahead = run.started - static_cast<double>(::time(nullptr));
  if (ahead > 60) {
    out.health = Health::kWarn;
    out.text += "; it began " + HumanDuration(ahead) + " from now";
    out.hint = "the clock was ahead then, or is behind now: runs are named by it";
  }
  return out;
}

}  // namespace

Findings CheckStore(const fs::path& root) {
  std::error_code ec;
  const fs::path folder = Existing(root);
  if (!fs::exists(root / "store.db", ec) && !fs::is_directory(root / "objects", ec)) {
    Finding none{
        "store", Health::kOk, "none yet; a run makes " + root.string(), "", {{"path", root.string()}}};
    return {std::move(none), Disk(folder), FileSystem(folder)};
  }
  Finding found{"store", Health::kOk, "", "", {{"path", root.string()}}};
  StoreOptions options;
  options.create = false;
  options.read_only = true;
  auto store = Store::Open(root, options);
  if (!store.ok()) {
    found.health = Health::kFail;
    found.text = store.error().message;
    found.hint = store.error().code == Code::kCorrupt
                     ? "`genflow fsck --rebuild` makes a new store.db from the objects"
                     : store.error().hint;
    return {std::move(found), Disk(folder), FileSystem(folder)};
  }
  found.text = store->root().string() + ", schema " + std::to_string(kSchemaVersion);
  found.facts["schema"] = kSchemaVersion;
  for (const auto& notice : store->notices()) {
    found.health = Health::kWarn;
    found.text += "; " + notice;
    found.hint = "this is said once; `genflow fsck` shows what is left to do";
  }
  return {std::move(found), LatestRun(*store), Contents(*store), Disk(folder), FileSystem(folder)};
}

}  // namespace genflow::cli
