// Memory for the tensors of a training step: taken from the system once, in huge pages, and used again from
// one step to the next.
#pragma once

namespace genflow::nn {

// From here on, large tensors on the CPU come from an arena that asks for huge pages (madvise) and gives
// nothing back before the process ends. A step that allocates what the step before it freed touches no new
// page: the system's page faults and the processor's TLB misses are what it saves. For processes that run one
// job. Idempotent, thread-safe.
void UsePageArena();

}  // namespace genflow::nn
