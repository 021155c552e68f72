// Element-wise loops over rows, compiled for several instruction sets and chosen at run time. Torch-free but
// for the 16-bit type. Each is written for fp32 and for bf16, which computes in fp32 and rounds where
// Hugging Face's modules round.
#pragma once

#include <c10/util/BFloat16.h>

#include <cstdint>

namespace genflow::nn::kernels {

// y = w * T(x * r), r = 1 / sqrt(mean(x^2) + eps); returns r.
float NormRow(const float* x, const float* w, float* y, int64_t n, float eps);
float NormRow(const c10::BFloat16* x, const c10::BFloat16* w, c10::BFloat16* y, int64_t n, float eps);
// dx from dy: r * (w dy - x r^2 mean(w dy x)), plus `residual` unless it is null.
void NormBackwardRow(const float* x, const float* w, const float* dy, float r, const float* residual,
                     float* dx, int64_t n);
void NormBackwardRow(const c10::BFloat16* x, const c10::BFloat16* w, const c10::BFloat16* dy, float r,
                     const c10::BFloat16* residual, c10::BFloat16* dx, int64_t n);

// y = T(silu(gate)) * up.
void SwiGlu(const float* gate, const float* up, float* y, int64_t n);
void SwiGlu(const c10::BFloat16* gate, const c10::BFloat16* up, c10::BFloat16* y, int64_t n);
// The same of sums, gate + gate_bias and up + up_bias rounded to T; both biases may be null.
void SwiGluOfSums(const float* gate, const float* up, const float* gate_bias, const float* up_bias, float* y,
                  int64_t n);
void SwiGluOfSums(const float* gate, const float* up, const c10::BFloat16* gate_bias,
                  const c10::BFloat16* up_bias, c10::BFloat16* y, int64_t n);
// dgate and dup from dy, which then is y.
void SwiGluBackward(const float* gate, const float* up, float* dy, float* dgate, float* dup, int64_t n);
void SwiGluBackward(const c10::BFloat16* gate, const c10::BFloat16* up, c10::BFloat16* dy,
                    c10::BFloat16* dgate, c10::BFloat16* dup, int64_t n);

// -log softmax(logits)[target]. `gradient`, which may be the logits, becomes scale times its derivative,
// unless null; `scratch` holds n numbers.
float CrossEntropyRow(const float* logits, int64_t n, int64_t target, float scale, float* gradient,
                      float* scratch);
float CrossEntropyRow(const c10::BFloat16* logits, int64_t n, int64_t target, float scale,
                      c10::BFloat16* gradient, float* scratch);

// y = x / (1 - p), or 0 with the probability p, for elements first .. first + n - 1 of a stream of random
// numbers that `seed` names; with `add`, that is added to y.
void Drop(const float* x, int64_t n, uint64_t seed, uint64_t first, float p, bool add, float* y);
void Drop(const c10::BFloat16* x, int64_t n, uint64_t seed, uint64_t first, float p, bool add,
          c10::BFloat16* y);

// One head of 2 * half channels turned by the angles: cos and sin hold `half` values, sin times `sign`.
void RotateHead(const float* x, const float* cos, const float* sin, float sign, float* y, int64_t half);
void RotateHead(const c10::BFloat16* x, const float* cos, const float* sin, float sign, c10::BFloat16* y,
                int64_t half);

}  // namespace genflow::nn::kernels
