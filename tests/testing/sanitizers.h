// What a sanitizer in the program keeps from working.
#pragma once

namespace genflow {

// ThreadSanitizer makes a fork of every vfork, so that a child is still about to start when Process::Start
// returns, and its failure to start is not reported; and it starts in no address space but the usual one.
#ifdef __SANITIZE_THREAD__
inline constexpr bool kThreadSanitizer = true;
#else
inline constexpr bool kThreadSanitizer = false;
#endif

}  // namespace genflow
