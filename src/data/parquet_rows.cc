#include "data/parquet_rows.h"

#include <arrow/array.h>
#include <arrow/io/file.h>
#include <arrow/record_batch.h>
#include <arrow/scalar.h>
#include <arrow/type.h>
#include <parquet/arrow/reader.h>
#include <parquet/file_reader.h>
#include <parquet/metadata.h>

#include <algorithm>
#include <charconv>
#include <cmath>
#include <string_view>
#include <utility>

#include "data/arrow_status.h"
#include "data/json_quote.h"

namespace genflow::data {
namespace {

constexpr int64_t kBatchBytes = 16 << 20;

void AppendDouble(double value, std::string* out) {
  if (!std::isfinite(value)) {
    *out += "null";
    return;
  }
  char text[40];
  *out += std::string_view(text, std::to_chars(text, text + sizeof text, value).ptr);
}

arrow::Status AppendValue(const arrow::Array& array, int64_t i, std::string* out);

arrow::Status AppendList(const arrow::Array& values, int64_t begin, int64_t end, std::string* out) {
  *out += '[';
  for (int64_t i = begin; i < end; ++i) {
    if (i > begin) *out += ',';
    ARROW_RETURN_NOT_OK(AppendValue(values, i, out));
  }
  *out += ']';
  return arrow::Status::OK();
}

template <class ListType>
arrow::Status AppendListAt(const arrow::Array& array, int64_t i, std::string* out) {
  const auto& list = static_cast<const ListType&>(array);
  return AppendList(*list.values(), list.value_offset(i), list.value_offset(i) + list.value_length(i), out);
}

arrow::Status AppendStruct(const arrow::StructArray& array, int64_t i, std::string* out) {
  *out += '{';
  bool first = true;
  for (int f = 0; f < array.num_fields(); ++f) {
    const auto field = array.field(f);
    if (field->IsNull(i)) continue;
    if (!first) *out += ',';
    first = false;
    AppendQuoted(array.struct_type()->field(f)->name(), out);
    *out += ':';
    ARROW_RETURN_NOT_OK(AppendValue(*field, i, out));
  }
  *out += '}';
  return arrow::Status::OK();
}

arrow::Status AppendValue(const arrow::Array& array, int64_t i, std::string* out) {
  if (array.IsNull(i)) {
    *out += "null";
    return arrow::Status::OK();
  }
  switch (array.type_id()) {
    case arrow::Type::STRING:
      AppendQuoted(static_cast<const arrow::StringArray&>(array).GetView(i), out);
      return arrow::Status::OK();
    case arrow::Type::LARGE_STRING:
      AppendQuoted(static_cast<const arrow::LargeStringArray&>(array).GetView(i), out);
      return arrow::Status::OK();
    case arrow::Type::STRING_VIEW:
      AppendQuoted(static_cast<const arrow::StringViewArray&>(array).GetView(i), out);
      return arrow::Status::OK();
    case arrow::Type::BINARY:
      AppendQuoted(static_cast<const arrow::BinaryArray&>(array).GetView(i), out);
      return arrow::Status::OK();
    case arrow::Type::BOOL:
      *out += static_cast<const arrow::BooleanArray&>(array).Value(i) ? "true" : "false";
      return arrow::Status::OK();
    case arrow::Type::FLOAT:
      AppendDouble(static_cast<const arrow::FloatArray&>(array).Value(i), out);
      return arrow::Status::OK();
    case arrow::Type::DOUBLE:
      AppendDouble(static_cast<const arrow::DoubleArray&>(array).Value(i), out);
      return arrow::Status::OK();
    case arrow::Type::LIST:
      return AppendListAt<arrow::ListArray>(array, i, out);
    case arrow::Type::MAP:
      return AppendListAt<arrow::MapArray>(array, i, out);
    case arrow::Type::LARGE_LIST:
      return AppendListAt<arrow::LargeListArray>(array, i, out);
    case arrow::Type::FIXED_SIZE_LIST:
      return AppendListAt<arrow::FixedSizeListArray>(array, i, out);
    case arrow::Type::STRUCT:
      return AppendStruct(static_cast<const arrow::StructArray&>(array), i, out);
    case arrow::Type::DICTIONARY: {
      const auto& dictionary = static_cast<const arrow::DictionaryArray&>(array);
      return AppendValue(*dictionary.dictionary(), dictionary.GetValueIndex(i), out);
    }
    default: {
      ARROW_ASSIGN_OR_RAISE(const auto scalar, array.GetScalar(i));
      if (arrow::is_integer(array.type_id())) {
        *out += scalar->ToString();
      } else {
        AppendQuoted(scalar->ToString(), out);
      }
      return arrow::Status::OK();
    }
  }
}

class ArrowRows : public ParquetRows {
 public:
  explicit ArrowRows(const std::filesystem::path& file)
      : file_(file), what_("cannot read Parquet file '" + file.string() + "'") {}

  Status Open() {
    GF_ARROW(what_, auto in, arrow::io::ReadableFile::Open(file_.string()));
    parquet::ReaderProperties properties = parquet::default_reader_properties();
    properties.enable_buffered_stream();
    properties.set_page_checksum_verification(true);
    parquet::arrow::FileReaderBuilder builder;
    GF_ARROW_OK(what_, builder.Open(std::move(in), properties));
    const auto metadata = builder.raw_reader()->metadata();
    int64_t bytes = 0;
    for (int g = 0; g < metadata->num_row_groups(); ++g) bytes += metadata->RowGroup(g)->total_byte_size();
    rows_ = metadata->num_rows();
    // Row groups of other tools may be large: batches are sized by the mean row.
    const int64_t mean = rows_ > 0 ? std::max<int64_t>(bytes / rows_, 1) : 1;
    parquet::ArrowReaderProperties arrow_properties;
    arrow_properties.set_pre_buffer(false);
    arrow_properties.set_batch_size(std::clamp<int64_t>(kBatchBytes / mean, 1, 4096));
    builder.properties(arrow_properties);
    GF_ARROW_OK(what_, builder.Build(&reader_));
    GF_ARROW(what_, batches_, reader_->GetRecordBatchReader());
    return Ok();
  }

  uint64_t rows() const override { return static_cast<uint64_t>(rows_); }

  Result<bool> Next(std::string* json) override {
    while (batch_ == nullptr || at_ == batch_->num_rows()) {
      std::shared_ptr<arrow::RecordBatch> next;
      GF_ARROW_OK(what_, batches_->ReadNext(&next));
      if (next == nullptr) {
        if (done_ != rows_) {
          return MakeError(Code::kCorrupt, what_ + ": it holds " + std::to_string(done_) +
                                               " rows where its footer says " + std::to_string(rows_));
        }
        return false;
      }
      GF_ARROW_OK(what_, next->ValidateFull());
      GF_ARROW(what_, root_, next->ToStructArray());
      batch_ = std::move(next);
      at_ = 0;
    }
    json->clear();
    GF_ARROW_OK(what_, AppendStruct(*root_, at_, json));
    ++at_;
    ++done_;
    return true;
  }

 private:
  std::filesystem::path file_;
  std::string what_;
  std::unique_ptr<parquet::arrow::FileReader> reader_;
  std::unique_ptr<arrow::RecordBatchReader> batches_;
  std::shared_ptr<arrow::RecordBatch> batch_;
  std::shared_ptr<arrow::StructArray> root_;
  int64_t rows_ = 0, done_ = 0, at_ = 0;
};

}  // namespace

Result<std::unique_ptr<ParquetRows>> ParquetRows::Open(const std::filesystem::path& file) {
  auto rows = std::make_unique<ArrowRows>(file);
  GF_CHECK_OK(rows->Open());
  return std::unique_ptr<ParquetRows>(std::move(rows));
}

}  // namespace genflow::data
