#include "stages/model/copy_file.h"

#include <fcntl.h>
#include <linux/fs.h>
#include <sys/ioctl.h>

#include <cerrno>
#include <system_error>

#include "base/files.h"

namespace genflow::stages {

Status CopyFile(const std::filesystem::path& from, const std::filesystem::path& to) {
  const Fd in(::open(from.c_str(), O_RDONLY | O_CLOEXEC));
  if (!in.valid()) return ErrnoError(from.string(), errno);
  const Fd out(::open(to.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0644));
  if (!out.valid()) return ErrnoError(to.string(), errno);
  if (::ioctl(out.get(), FICLONE, in.get()) == 0) return Ok();
  std::error_code ec;
  std::filesystem::copy_file(from, to, std::filesystem::copy_options::overwrite_existing, ec);
  if (ec) return ErrnoError("copying " + from.string() + " to " + to.string(), ec.value());
  // Where it replaces, the library copies permissions too.
  using std::filesystem::perms;
  std::filesystem::permissions(
      to, perms::owner_read | perms::owner_write | perms::group_read | perms::others_read, ec);
  return ec ? Status(ErrnoError(to.string(), ec.value())) : Ok();
}

}  // namespace genflow::stages
