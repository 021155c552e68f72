// Shapes of models that tests size.
#pragma once

#include "sizing/memory.h"

namespace genflow::sizing {

inline ModelShape SmolLm2() {
  ModelShape s;
  s.layers = 30;
  s.hidden = 576;
  s.intermediate = 1536;
  s.heads = 9;
  s.kv_heads = 3;
  s.head_dim = 64;
  s.vocab = 49152;
  s.tied = true;
  s.parameters = 134'515'008;
  s.stored_type = "BF16";
  s.tokenizer_bytes = 2'000'000;
  return s;
}

inline Job LoraJob(const ModelShape& shape, int64_t rank) {
  Job job;
  job.ranks = AllLinear(shape, rank);
  job.max_length = 512;
  return job;
}

}  // namespace genflow::sizing
