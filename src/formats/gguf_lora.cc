#include "formats/gguf_lora.h"

#include <cstring>

#include "formats/gguf.h"
#include "formats/gguf_model.h"
#include "formats/gguf_quantization.h"

namespace genflow::formats {
namespace {

// B with its rows where those of the GGUF's weight are.
std::vector<float> PlacedRows(const LoraPair& pair, int64_t heads) {
  std::vector<float> out(static_cast<size_t>(pair.out * pair.rank));
  for (int64_t row = 0; row < pair.out; ++row) {
    const int64_t at = heads > 0 ? GgufRow(row, pair.out / heads) : row;
    std::memcpy(out.data() + at * pair.rank, pair.b + row * pair.rank,
                static_cast<size_t>(pair.rank) * sizeof(float));
  }
  return out;
}

Status WriteFloats(const float* values, int64_t count, DType type, GgufWriter* writer) {
  std::vector<std::byte> out(static_cast<size_t>(count) * DTypeSize(type));
  ConvertElements(values, DType::kF32, out.data(), type, static_cast<size_t>(count));
  return writer->WriteTensor(out.data(), out.size());
}

}  // namespace

Status WriteGgufLora(const std::filesystem::path& file, const ModelSource& base, const GgufLora& adapter,
                     DType type) {
  if (!IsGgufArchitecture(base.model_type())) return NoGgufArchitecture(base.model_type());
  const GgufType stored = type == DType::kF32   ? GgufType::kF32
                          : type == DType::kF16 ? GgufType::kF16
                                                : GgufType::kBF16;
  GgufWriter writer;
  writer.Set("general.architecture", GgufArchitecture(base.model_type()));
  writer.Set("general.type", "adapter");
  writer.Set("adapter.type", "lora");
  writer.Set("general.name", adapter.name);
  writer.SetF32("adapter.lora.alpha", adapter.alpha);
  writer.SetU32("general.quantization_version", kQuantizationVersion);
  for (const LoraPair& pair : adapter.pairs) {
    const auto name = GgufTensorName(pair.weight);
    if (!name) return MakeError(Code::kUnsupported, "tensor '" + pair.weight + "' has no place in a GGUF");
    const int64_t heads = PermutedHeads(pair.weight, base.config());
    if (heads > 0 && pair.out % (heads * 2) != 0)
      return InvalidError("tensor '" + pair.weight + "' does not split into heads");
    const int32_t ggml_type = TensorType(stored, *name, {pair.out, pair.in}, {});
    writer.AddTensor(*name + ".lora_a", {pair.rank, pair.in}, ggml_type);
    writer.AddTensor(*name + ".lora_b", {pair.out, pair.rank}, ggml_type);
  }
  GF_CHECK_OK(writer.Begin(file));
  for (const LoraPair& pair : adapter.pairs) {
    GF_CHECK_OK(WriteFloats(pair.a, pair.rank * pair.in, type, &writer));
    const std::vector<float> b = PlacedRows(pair, PermutedHeads(pair.weight, base.config()));
    GF_CHECK_OK(WriteFloats(b.data(), pair.out * pair.rank, type, &writer));
  }
  return writer.Finish();
}

}  // namespace genflow::formats
