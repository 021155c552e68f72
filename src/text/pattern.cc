#include "text/pattern.h"

#define PCRE2_CODE_UNIT_WIDTH 8
#include <pcre2.h>

#include <new>

namespace genflow::text {
namespace {

constexpr uint32_t kMatchLimit = 1'000'000, kHeapLimit = 64 << 10;  // steps, KiB
constexpr uint32_t kNoLimit = UINT32_MAX;

struct FreeCode {
  void operator()(pcre2_code* code) const { pcre2_code_free(code); }
};
struct FreeMatchData {
  void operator()(pcre2_match_data* data) const { pcre2_match_data_free(data); }
};
struct FreeMatchContext {
  void operator()(pcre2_match_context* context) const { pcre2_match_context_free(context); }
};

uint32_t Flags(const PatternOptions& options) {
  return PCRE2_UTF | (options.valid_utf8 ? 0 : PCRE2_MATCH_INVALID_UTF) |
         (options.literal ? PCRE2_LITERAL : PCRE2_UCP) | (options.ignore_case ? PCRE2_CASELESS : 0) |
         (options.whole ? PCRE2_ANCHORED | PCRE2_ENDANCHORED : 0);
}

bool IsLimit(int code) {
  return code == PCRE2_ERROR_MATCHLIMIT || code == PCRE2_ERROR_DEPTHLIMIT || code == PCRE2_ERROR_HEAPLIMIT;
}

std::string PcreMessage(int code) {
  PCRE2_UCHAR text[256];
  pcre2_get_error_message(code, text, sizeof text);
  return reinterpret_cast<const char*>(text);
}

}  // namespace

struct Pattern::Impl {
  std::string text;
  uint32_t match_flags = 0;
  std::unique_ptr<pcre2_code, FreeCode> code;
  std::unique_ptr<pcre2_match_context, FreeMatchContext> context;
};

Result<Pattern> Pattern::Compile(std::string_view pattern, PatternOptions options) {
  int error = 0;
  PCRE2_SIZE at = 0;
  auto impl = std::make_shared<Impl>();
  impl->text = pattern;
  impl->match_flags = options.valid_utf8 ? PCRE2_NO_UTF_CHECK : 0;
  impl->code.reset(pcre2_compile(reinterpret_cast<PCRE2_SPTR>(pattern.data()), pattern.size(), Flags(options),
                                 &error, &at, nullptr));
  if (impl->code == nullptr) {
    return InvalidError("regular expression, column " + std::to_string(at + 1) + ": " + PcreMessage(error) +
                        "\n    " + impl->text + "\n    " + std::string(at, ' ') + "^");
  }
  // Without the JIT (no memory for code) matching is slower, and the same.
  pcre2_jit_compile(impl->code.get(), PCRE2_JIT_COMPLETE);
  impl->context.reset(pcre2_match_context_create(nullptr));
  if (impl->context == nullptr) throw std::bad_alloc();
  pcre2_set_match_limit(impl->context.get(), options.bounded ? kMatchLimit : kNoLimit);
  pcre2_set_depth_limit(impl->context.get(), kNoLimit);
  pcre2_set_heap_limit(impl->context.get(), options.bounded ? kHeapLimit : kNoLimit);
  return Pattern(std::move(impl));
}

const std::string& Pattern::text() const { return impl_->text; }

Result<std::optional<Match>> Pattern::Find(std::string_view subject, size_t from) const {
  static thread_local const std::unique_ptr<pcre2_match_data, FreeMatchData> data(
      pcre2_match_data_create(1, nullptr));
  if (data == nullptr) return MakeError(Code::kExhausted, "out of memory");
  const auto match = [&](uint32_t flags) {
    return pcre2_match(impl_->code.get(), reinterpret_cast<PCRE2_SPTR>(subject.data()), subject.size(), from,
                       impl_->match_flags | flags, data.get(), impl_->context.get());
  };
  int rc = match(0);
  // The JIT's stack is small; the interpreter takes the heap.
  if (rc == PCRE2_ERROR_JIT_STACKLIMIT) rc = match(PCRE2_NO_JIT);
  if (rc == PCRE2_ERROR_NOMATCH) return std::optional<Match>();
  if (rc < 0) {
    return MakeError(IsLimit(rc) || rc == PCRE2_ERROR_NOMEMORY ? Code::kExhausted : Code::kInternal,
                     "regular expression '" + impl_->text + "': " + PcreMessage(rc),
                     IsLimit(rc) ? "nested repeats such as (a+)+ take forever: write it without" : "");
  }
  const PCRE2_SIZE* bounds = pcre2_get_ovector_pointer(data.get());
  return std::optional<Match>(Match{bounds[0], bounds[1]});
}

}  // namespace genflow::text
