#include "nn/quantized_weight.h"

#include <ATen/ATen.h>
#include <ATen/Parallel.h>

#include <algorithm>
#include <cmath>
#include <cstring>
#include <utility>
#include <vector>

#include "formats/gguf.h"
#include "nn/blockwise.h"

namespace genflow::nn {
namespace {

using formats::DType;

// Elements in a piece of work of one thread.
constexpr int64_t kGrain = 1 << 15;

int64_t RowGrain(int64_t columns) { return std::max<int64_t>(1, kGrain / std::max<int64_t>(1, columns)); }

DType FileType(at::ScalarType dtype) {
  TORCH_CHECK(dtype == at::kFloat || dtype == at::kBFloat16 || dtype == at::kHalf,
              "weights are dequantised as fp32, bf16 or fp16");
  return dtype == at::kFloat ? DType::kF32 : dtype == at::kBFloat16 ? DType::kBF16 : DType::kF16;
}

// Calls fill(row, floats) for rows [begin, end), on libtorch's threads, and puts what it wrote into `to`, a
// tensor on the CPU.
template <class Fill>
void FillRows(int64_t begin, int64_t end, int64_t columns, const at::Tensor& to, const Fill& fill) {
  TORCH_CHECK(to.is_cpu() && to.size(0) == end - begin && to.size(1) == columns && to.stride(1) == 1);
  const DType type = FileType(to.scalar_type());
  auto* const out = static_cast<std::byte*>(to.mutable_data_ptr());
  const int64_t step = to.stride(0) * static_cast<int64_t>(formats::DTypeSize(type));
  at::parallel_for(begin, end, RowGrain(columns), [&](int64_t first, int64_t last) {
    std::vector<float> buffer(type == DType::kF32 ? 0 : static_cast<size_t>(columns));
    for (int64_t row = first; row < last; ++row) {
      std::byte* const target = out + (row - begin) * step;
      if (type == DType::kF32) {
        fill(row, reinterpret_cast<float*>(target));
      } else {
        fill(row, buffer.data());
        formats::ConvertElements(buffer.data(), DType::kF32, target, type, static_cast<size_t>(columns));
      }
    }
  });
}

class Int8Weight final : public QuantizedWeight {
 public:
  // codes [rows, columns] int8, scales [rows] fp32: the largest magnitudes.
  Int8Weight(at::Tensor codes, at::Tensor scales)
      : QuantizedWeight(codes.size(0), codes.size(1), codes.device()),
        codes_(std::move(codes)),
        scales_(std::move(scales)) {}

  std::string format() const override { return "INT8"; }
  int64_t bytes() const override { return static_cast<int64_t>(codes_.nbytes() + scales_.nbytes()); }

  void DequantizeRows(int64_t begin, int64_t end, const at::Tensor& to) const override {
    if (!to.is_cpu()) {
      const at::Tensor scales = scales_.narrow(0, begin, end - begin).unsqueeze(1);
      to.copy_(codes_.narrow(0, begin, end - begin).to(at::kFloat).mul_(scales).mul_(kUnit));
      return;
    }
    const int8_t* const codes = codes_.const_data_ptr<int8_t>();
    const float* const scales = scales_.const_data_ptr<float>();
    FillRows(begin, end, columns(), to, [&](int64_t row, float* out) {
      const int8_t* const from = codes + row * columns();
      for (int64_t i = 0; i < columns(); ++i) out[i] = static_cast<float>(from[i]) * scales[row] * kUnit;
    });
  }

 private:
  static constexpr float kUnit = 1.0f / 127.0f;
  at::Tensor codes_, scales_;
};

// The quantiles of a normal distribution in [-1, 1], 0 among them (appendix E of QLoRA).
constexpr float kNf4[16] = {-1.0f,         -0.6961928f, -0.52507305f, -0.3949175f, -0.28444138f, -0.18477343f,
                            -0.091050036f, 0.0f,        0.0795803f,   0.1609302f,  0.2461123f,   0.33791524f,
                            0.44070983f,   0.562617f,   0.72295684f,  1.0f};
constexpr int64_t kNf4Block = 64;

class Nf4Weight final : public QuantizedWeight {
 public:
  Nf4Weight(int64_t rows, int64_t columns, const Nf4Parts& parts, at::Device device)
      : QuantizedWeight(rows, columns, device),
        codes_(parts.codes.to(device)),
        scales_(parts.scales.To(device)),
        offset_(parts.offset) {}

  std::string format() const override { return "NF4"; }
  int64_t bytes() const override {
    return static_cast<int64_t>(codes_.nbytes() + scales_.codes().nbytes() + scales_.scales().nbytes());
  }

  void DequantizeRows(int64_t begin, int64_t end, const at::Tensor& to) const override {
    if (!to.is_cpu()) return DequantizeOnDevice(begin, end, to);
    const uint8_t* const codes = codes_.const_data_ptr<uint8_t>();
    const uint8_t* const scale_codes = scales_.codes().const_data_ptr<uint8_t>();
    const float* const map = scales_.map().const_data_ptr<float>();
    const float* const outer = scales_.scales().const_data_ptr<float>();
    FillRows(begin, end, columns(), to, [&](int64_t row, float* out) {
      const int64_t first = row * columns(), last = first + columns();
      for (int64_t at = first; at < last;) {  // block by block
        const int64_t block = at / kNf4Block, stop = std::min(last, (block + 1) * kNf4Block);
        const float scale = map[scale_codes[block]] * outer[block / Blockwise::kBlock] + offset_;
        float values[16];
        for (int i = 0; i < 16; ++i) values[i] = kNf4[i] * scale;
        if (at % 2 != 0) *out++ = values[codes[at++ / 2] & 15];
        for (; at + 1 < stop; at += 2) {
          const uint8_t pair = codes[at / 2];
          *out++ = values[pair >> 4];
          *out++ = values[pair & 15];
        }
        if (at < stop) *out++ = values[codes[at++ / 2] >> 4];
      }
    });
  }

 private:
  void DequantizeOnDevice(int64_t begin, int64_t end, const at::Tensor& to) const {
    const int64_t first = begin * columns(), count = (end - begin) * columns();
    const int64_t block = first / kNf4Block, blocks = (first + count - 1) / kNf4Block - block + 1;
    const at::Tensor bytes =
        codes_.narrow(0, first / 2, (first + count + 1) / 2 - first / 2);  // each of two elements
    const at::Tensor pairs = at::stack({bytes.bitwise_right_shift(4), bytes.bitwise_and(15)}, 1).flatten();
    const at::Tensor table = at::tensor(at::ArrayRef<float>(kNf4, 16), at::kFloat).to(device());
    const at::Tensor values = table.index_select(0, pairs.narrow(0, first % 2, count).to(at::kInt));
    const at::Tensor scales = (scales_.Values().narrow(0, block, blocks) + offset_)
                                  .unsqueeze(1)
                                  .expand({blocks, kNf4Block})
                                  .flatten()
                                  .narrow(0, first % kNf4Block, count);
    to.copy_((values * scales).view({end - begin, columns()}));
  }

  at::Tensor codes_;
  Blockwise scales_;
  float offset_;
};

class GgufWeight final : public QuantizedWeight {
 public:
  GgufWeight(formats::ModelSource source, const formats::GgmlMatrix& matrix, at::Device device)
      : QuantizedWeight(static_cast<int64_t>(matrix.rows), static_cast<int64_t>(matrix.columns), device),
        source_(std::move(source)),
        matrix_(matrix) {}

  std::string format() const override { return formats::GgmlTypeName(matrix_.type); }
  int64_t bytes() const override { return static_cast<int64_t>(matrix_.rows * matrix_.row_bytes); }
  std::optional<formats::GgmlMatrix> ggml() const override { return matrix_; }

  void DequantizeRows(int64_t begin, int64_t end, const at::Tensor& to) const override {
    if (!to.is_cpu()) {
      const at::Tensor host = at::empty(to.sizes(), to.options().device(at::kCPU));
      DequantizeRows(begin, end, host);
      to.copy_(host);
      return;
    }
    if (to.scalar_type() == at::kBFloat16 && format() == "BF16") return CopyRows(begin, end, to);
    FillRows(begin, end, columns(), to, [&](int64_t row, float* out) { Fill(row, out); });
  }

  at::Tensor DequantizeRows(const at::Tensor& ids, at::ScalarType dtype) const override {
    const at::Tensor wanted = ids.to(at::kCPU);
    const int64_t* const rows = wanted.const_data_ptr<int64_t>();
    for (int64_t i = 0; i < wanted.numel(); ++i) {
      TORCH_CHECK_INDEX(rows[i] >= 0 && rows[i] < this->rows(), "row ", rows[i], " of ", this->rows());
    }
    const at::Tensor out = at::empty({wanted.numel(), columns()}, dtype);
    FillRows(0, wanted.numel(), columns(), out, [&](int64_t i, float* to) { Fill(rows[i], to); });
    return out.to(device());
  }

 private:
  const std::byte* Row(int64_t row) const {
    return matrix_.data + matrix_.FileRow(static_cast<uint64_t>(row)) * matrix_.row_bytes;
  }

  void CopyRows(int64_t begin, int64_t end, const at::Tensor& to) const {
    TORCH_CHECK(to.size(0) == end - begin && to.size(1) == columns() && to.stride(1) == 1);
    auto* const out = to.mutable_data_ptr<c10::BFloat16>();
    at::parallel_for(begin, end, RowGrain(columns()), [&](int64_t first, int64_t last) {
      for (int64_t row = first; row < last; ++row)
        std::memcpy(out + (row - begin) * to.stride(0), Row(row), matrix_.row_bytes);
    });
  }

  // The type was found to be dequantisable when the matrix was made.
  void Fill(int64_t row, float* out) const {
    const Status status = formats::DequantizeRows(matrix_.type, Row(row), 1, matrix_.columns, out);
    TORCH_INTERNAL_ASSERT(status.ok(), status.ok() ? "" : status.error().message);
  }

  formats::ModelSource source_;  // keeps the file mapped
  formats::GgmlMatrix matrix_;
};

// [rows, columns] fp32, dense.
at::Tensor Wide(const at::Tensor& weight) {
  TORCH_CHECK(weight.dim() == 2 && weight.is_cpu() && weight.numel() > 0);
  return weight.to(at::kFloat).contiguous();
}

}  // namespace

std::optional<Quantization> QuantizationFromName(std::string_view name) {
  if (name == "none") return Quantization::kNone;
  if (name == "int8") return Quantization::kInt8;
  if (name == "nf4") return Quantization::kNf4;
  if (name == "gguf") return Quantization::kGguf;
  return std::nullopt;
}

const PackedWeight* QuantizedWeight::Packed() const {
  std::call_once(packing_, [&] {
    const std::optional<formats::GgmlMatrix> matrix = ggml();
    const std::optional<PackedType> type = PackedTypeOf(format(), columns_);
    if (!matrix || !type || !device_.is_cpu()) return;
    const auto bytes = static_cast<int64_t>(PackedWeight::BytesOf(*type, rows_, columns_));
    const auto storage = std::make_shared<at::Tensor>(at::empty({bytes}, at::kByte));
    auto packed = std::make_unique<PackedWeight>(
        *type, rows_, columns_, std::shared_ptr<uint8_t>(storage, storage->mutable_data_ptr<uint8_t>()));
    at::parallel_for(0, packed->panels(), 8, [&](int64_t begin, int64_t end) {
      for (int64_t panel = begin; panel < end; ++panel) {
        packed->PackPanel(panel, [&](int64_t row) {
          return matrix->data + matrix->FileRow(static_cast<uint64_t>(row)) * matrix->row_bytes;
        });
      }
    });
    packed_ = std::move(packed);
    made_.store(packed_.get(), std::memory_order_release);
  });
  return packed_.get();
}

at::Tensor QuantizedWeight::Dequantize(at::ScalarType dtype) const {
  const at::Tensor out = at::empty({rows_, columns_}, at::TensorOptions().dtype(dtype).device(device_));
  DequantizeRows(0, rows_, out);
  return out;
}

at::Tensor QuantizedWeight::DequantizeRows(const at::Tensor& ids, at::ScalarType dtype) const {
  return Dequantize(dtype).index_select(0, ids.to(device_));
}

at::Tensor Matrix::To(at::ScalarType dtype) const {
  return quantized ? quantized->Dequantize(dtype) : tensor.to(dtype);
}

at::Tensor Matrix::Rows(int64_t begin, int64_t end, at::ScalarType dtype) const {
  if (!quantized) return tensor.narrow(0, begin, end - begin).to(dtype);
  const at::Tensor out =
      at::empty({end - begin, columns()}, at::TensorOptions().dtype(dtype).device(device()));
  quantized->DequantizeRows(begin, end, out);
  return out;
}

std::shared_ptr<const QuantizedWeight> QuantizeInt8(const at::Tensor& weight, at::Device device) {
  const at::Tensor narrow = Wide(weight).to(at::kHalf).to(at::kFloat);
  const at::Tensor scales = narrow.abs().amax(1);  // [rows]
  // A row of zeros stays one.
  const at::Tensor factors = at::where(scales > 0, scales.reciprocal() * 127.0f, at::zeros_like(scales));
  const at::Tensor codes = at::round(narrow * factors.unsqueeze(1)).to(at::kChar);
  return std::make_shared<Int8Weight>(codes.to(device), scales.to(device));
}

Nf4Parts QuantizeNf4Parts(const at::Tensor& weight) {
  const at::Tensor wide = Wide(weight);
  const int64_t size = wide.numel(), blocks = (size + kNf4Block - 1) / kNf4Block;
  const float* const values = wide.const_data_ptr<float>();
  const at::Tensor codes = at::empty({(size + 1) / 2}, at::kByte), scales = at::empty({blocks}, at::kFloat);
  auto* const packed = codes.mutable_data_ptr<uint8_t>();
  auto* const largest = scales.mutable_data_ptr<float>();
  float borders[15];
  for (int i = 0; i < 15; ++i) borders[i] = (kNf4[i] + kNf4[i + 1]) / 2;
  at::parallel_for(0, blocks, kGrain / kNf4Block, [&](int64_t first, int64_t last) {
    for (int64_t block = first; block < last; ++block) {
      const int64_t begin = block * kNf4Block, count = std::min(kNf4Block, size - begin);
      float peak = 0;
      for (int64_t i = 0; i < count; ++i) peak = std::max(peak, std::abs(values[begin + i]));
      largest[block] = peak;
      const float factor = 1.0f / std::max(peak, 1e-38f);
      uint8_t found[kNf4Block] = {};
      for (int64_t i = 0; i < count; ++i) {
        const float scaled = std::clamp(values[begin + i] * factor, -1.0f, 1.0f);
        for (const float border : borders) found[i] = static_cast<uint8_t>(found[i] + (scaled > border));
      }
      for (int64_t i = 0; i < count; i += 2) {
        packed[(begin + i) / 2] = static_cast<uint8_t>(found[i] << 4 | (i + 1 < count ? found[i + 1] : 7));
      }
    }
  });
  const float offset = scales.mean().item<float>();
  Blockwise nested(blocks, /*has_sign=*/true, at::kCPU);
  nested.Keep(scales - offset);
  return {codes, std::move(nested), offset};
}

std::shared_ptr<const QuantizedWeight> QuantizeNf4(const at::Tensor& weight, at::Device device) {
  return std::make_shared<Nf4Weight>(weight.size(0), weight.size(1), QuantizeNf4Parts(weight), device);
}

std::shared_ptr<const QuantizedWeight> GgmlWeight(const formats::ModelSource& source, std::string_view name,
                                                  at::Device device) {
  const auto matrix = source.Ggml(name);
  if (!matrix) return nullptr;
  std::vector<float> row(matrix->columns);
  const Status status = formats::DequantizeRows(matrix->type, matrix->data, 1, matrix->columns, row.data());
  TORCH_CHECK(status.ok(), status.ok() ? "" : status.error().message);
  return std::make_shared<GgufWeight>(source, *matrix, device);
}

}  // namespace genflow::nn
