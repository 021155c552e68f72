// Arrow's errors as ours. Included by the Parquet adapters alone.
#pragma once

#include <arrow/result.h>
#include <arrow/status.h>

#include <string>

#include "base/result.h"

namespace genflow::data {

// An Arrow status while doing something with a file: I/O errors keep their errno, running out of memory is
// kExhausted, everything else says that the bytes are not what they must be.
Error FromArrow(const arrow::Status& status, const std::string& what);

}  // namespace genflow::data

// GF_ARROW(what, auto x, ArrowResult()) and GF_ARROW_OK(what, ArrowStatus()): as GF_TRY and GF_CHECK_OK.
#define GF_ARROW(what, decl, ...) GF_ARROW_INNER(GF_CONCAT(gf_arrow_, __LINE__), what, decl, __VA_ARGS__)
#define GF_ARROW_INNER(tmp, what, decl, ...)                            \
  auto tmp = (__VA_ARGS__);                                             \
  if (!tmp.ok()) return ::genflow::data::FromArrow(tmp.status(), what); \
  decl = std::move(tmp).ValueUnsafe()
#define GF_ARROW_OK(what, ...)                                      \
  do {                                                              \
    if (::arrow::Status gf_arrow = (__VA_ARGS__); !gf_arrow.ok()) { \
      return ::genflow::data::FromArrow(gf_arrow, what);            \
    }                                                               \
  } while (false)
