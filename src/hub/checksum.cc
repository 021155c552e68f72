#include "hub/checksum.h"

#include <openssl/evp.h>

#include "base/strings.h"

namespace genflow::hub {

constexpr size_t kSha1Digits = 40, kSha256Digits = 64;

struct Checksum::Impl {
  std::string expected;
  std::unique_ptr<EVP_MD_CTX, decltype(&::EVP_MD_CTX_free)> context{nullptr, ::EVP_MD_CTX_free};
};

bool Checksum::IsDigest(std::string_view text) {
  return (text.size() == kSha1Digits || text.size() == kSha256Digits) &&
         text.find_first_not_of("0123456789abcdefABCDEF") == std::string_view::npos;
}

Checksum::Checksum(std::string expected, uint64_t size) : impl_(std::make_unique<Impl>()) {
  impl_->expected = ToLowerAscii(expected);
  if (!IsDigest(impl_->expected)) return;
  const bool git = impl_->expected.size() == kSha1Digits;
  impl_->context.reset(::EVP_MD_CTX_new());
  ::EVP_DigestInit_ex(impl_->context.get(), git ? ::EVP_sha1() : ::EVP_sha256(), nullptr);
  if (git) {
    const std::string head = "blob " + std::to_string(size);
    Add({head.c_str(), head.size() + 1});
  }
}

Checksum::~Checksum() = default;
Checksum::Checksum(Checksum&&) noexcept = default;
Checksum& Checksum::operator=(Checksum&&) noexcept = default;

void Checksum::Add(std::string_view bytes) {
  if (impl_->context != nullptr) ::EVP_DigestUpdate(impl_->context.get(), bytes.data(), bytes.size());
}

bool Checksum::Matches() {
  if (impl_->context == nullptr) return true;
  static constexpr char kHex[] = "0123456789abcdef";
  unsigned char digest[EVP_MAX_MD_SIZE];
  unsigned int size = 0;
  ::EVP_DigestFinal_ex(impl_->context.get(), digest, &size);
  std::string text;
  for (unsigned int i = 0; i < size; ++i) text += {kHex[digest[i] >> 4], kHex[digest[i] & 15]};
  return text == impl_->expected;
}

}  // namespace genflow::hub
