#include "nn/vector_math.h"

namespace genflow::nn::kernels {

const float kExpLowest = -87.0f;
const float kExpHighest = 88.0f;

}  // namespace genflow::nn::kernels
