#include "store/staging.h"

#include <sys/stat.h>

#include <algorithm>
#include <cerrno>

#include "store/hashing.h"
#include "store/impl.h"
#include "store/staging_impl.h"

namespace genflow {

namespace fs = std::filesystem;

namespace {

bool IsPortName(const std::string& port) {
  if (port.empty() || port.size() > 100 || port.front() == '.') return false;
  return std::all_of(port.begin(), port.end(), [](char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_' ||
           c == '-' || c == '.';
  });
}

Error BadPortName(const std::string& port) {
  return InvalidError("output port name '" + port + "' must be letters, digits, '_', '-' and '.'");
}

}  // namespace

StagingImpl::~StagingImpl() {
  // A leftover that cannot be removed now is removed by the next process that opens the store.
  (void)RemoveTree(folder);
}

fs::path StagingImpl::ObjectFolder(const std::string& port) const { return folder / "out" / port; }

Staging::Staging(std::unique_ptr<StagingImpl> impl) : impl_(std::move(impl)) {}
Staging::Staging(Staging&&) noexcept = default;
Staging& Staging::operator=(Staging&&) noexcept = default;
Staging::~Staging() = default;

const std::string& Staging::key() const { return impl_->key; }
const fs::path& Staging::scratch() const { return impl_->scratch; }

Result<fs::path> Staging::Output(const std::string& port) {
  if (!IsPortName(port)) return BadPortName(port);
  const fs::path folder = impl_->ObjectFolder(port);
  GF_CHECK_OK(MakeDirectories(folder));
  return folder / "data";
}

Status StagingImpl::Seal(const std::vector<OutputSpec>& specs) {
  if (sealed) return Ok();
  std::vector<SealedOutput> done;
  for (const OutputSpec& spec : specs) {
    if (!IsPortName(spec.port)) return BadPortName(spec.port);
    const fs::path data = ObjectFolder(spec.port) / "data";
    struct stat info {};
    if (::lstat(data.c_str(), &info) != 0) {
      if (errno != ENOENT) return ErrnoError(data.string(), errno);
      if (spec.optional) continue;
      return InvalidError("output '" + spec.port + "' was not written",
                          "the stage must create a file or folder at the path given for it");
    }
    SealedOutput output;
    output.spec = spec;
    GF_TRY(output.listing, ListTree(data));
    GF_CHECK_OK(HashListing(data, output.listing, HashMode::kSeal));
    output.digest = output.listing.Digest();
    done.push_back(std::move(output));
  }
  outputs = std::move(done);
  sealed = true;
  return Ok();
}

std::vector<fs::path> StagingImpl::SyncList() const {
  std::vector<fs::path> paths;
  if (synced) return paths;
  for (const SealedOutput& output : outputs) {
    AppendSyncPaths(ObjectFolder(output.spec.port) / "data", output.listing, paths);
  }
  return paths;
}

Status Staging::Seal(const std::vector<OutputSpec>& outputs) {
  GF_CHECK_OK(impl_->Seal(outputs));
  GF_CHECK_OK(SyncPaths(impl_->SyncList()));
  impl_->synced = true;
  return Ok();
}

}  // namespace genflow
