#include "data/parquet_shard.h"

#include <arrow/array.h>
#include <arrow/builder.h>
#include <arrow/io/file.h>
#include <arrow/record_batch.h>
#include <arrow/table.h>
#include <arrow/type.h>
#include <arrow/util/io_util.h>
#include <parquet/arrow/reader.h>
#include <parquet/arrow/writer.h>
#include <parquet/exception.h>

#include <utility>
#include <vector>

#include "data/arrow_status.h"

namespace genflow::data {

Error FromArrow(const arrow::Status& status, const std::string& what) {
  if (const int err = arrow::internal::ErrnoFromStatus(status); err != 0) return ErrnoError(what, err);
  if (status.IsOutOfMemory()) return MakeError(Code::kExhausted, what + ": out of memory");
  std::string reason = status.message();
  for (char& c : reason) {
    if (c == '\n') c = ' ';
  }
  return MakeError(Code::kCorrupt, what + ": " + reason, "the file is damaged; make it again");
}

namespace {

std::shared_ptr<arrow::Schema> SchemaOf(Kind kind) {
  const auto text = arrow::utf8();
  const auto message = arrow::struct_({arrow::field("role", text), arrow::field("content", text)});
  switch (kind) {
    case Kind::kText:
      return arrow::schema({arrow::field("id", text), arrow::field("text", text),
                            arrow::field("source", text), arrow::field("meta", text)});
    case Kind::kMessages:
      return arrow::schema({arrow::field("id", text), arrow::field("messages", arrow::list(message)),
                            arrow::field("meta", text)});
    case Kind::kPreference:
      return arrow::schema({arrow::field("id", text), arrow::field("prompt", text),
                            arrow::field("chosen", text), arrow::field("rejected", text),
                            arrow::field("meta", text)});
  }
  return nullptr;
}

std::string TypeText(const arrow::DataType& type) {
  if (type.id() == arrow::Type::LIST) {
    return "list<" + TypeText(*static_cast<const arrow::ListType&>(type).value_type()) + ">";
  }
  if (type.id() == arrow::Type::STRUCT) {
    std::string out;
    for (const auto& field : type.fields()) {
      out += (out.empty() ? "" : ", ") + field->name() + ": " + TypeText(*field->type());
    }
    return "struct<" + out + ">";
  }
  return type.ToString();
}

std::string TextOf(const arrow::Schema& schema) {
  std::string out;
  for (const auto& field : schema.fields()) {
    out += (out.empty() ? "" : ", ") + field->name() + ": " + TypeText(*field->type());
  }
  return out;
}

std::shared_ptr<parquet::WriterProperties> PropertiesOf(int compression_level) {
  // Long, distinct texts gain nothing from a dictionary or from minima and maxima.
  return parquet::WriterProperties::Builder()
      .created_by("genflow dataset 1")
      ->compression(parquet::Compression::ZSTD)
      ->compression_level(compression_level)
      ->disable_statistics()
      ->disable_dictionary()
      ->enable_dictionary("source")
      ->enable_dictionary("meta")
      ->enable_dictionary("messages.list.element.role")
      ->enable_page_checksum()
      ->build();
}

class ArrowShardWriter : public ShardWriter {
 public:
  ArrowShardWriter(std::filesystem::path file, Kind kind)
      : file_(std::move(file)), what_("cannot write '" + file_.string() + "'"), schema_(SchemaOf(kind)) {
    auto* pool = arrow::default_memory_pool();
    if (kind == Kind::kMessages) {
      role_ = std::make_shared<arrow::StringBuilder>(pool);
      content_ = std::make_shared<arrow::StringBuilder>(pool);
      const auto list_type = schema_->field(1)->type();
      message_ = std::make_shared<arrow::StructBuilder>(
          static_cast<const arrow::ListType&>(*list_type).value_type(), pool,
          std::vector<std::shared_ptr<arrow::ArrayBuilder>>{role_, content_});
      list_ = std::make_shared<arrow::ListBuilder>(pool, message_, list_type);
      columns_ = {std::make_shared<arrow::StringBuilder>(pool), list_,
                  std::make_shared<arrow::StringBuilder>(pool)};
    } else {
      for (int i = 0; i < schema_->num_fields(); ++i) {
        columns_.push_back(std::make_shared<arrow::StringBuilder>(pool));
      }
    }
  }

  Status Open(int compression_level) {
    GF_ARROW(what_, out_, arrow::io::FileOutputStream::Open(file_.string()));
    GF_ARROW(what_, writer_,
             parquet::arrow::FileWriter::Open(*schema_, arrow::default_memory_pool(), out_,
                                              PropertiesOf(compression_level)));
    return Ok();
  }

  Status Append(const TextRow& row) override {
    GF_CHECK_OK(Put(0, row.id));
    GF_CHECK_OK(Put(1, row.text));
    GF_CHECK_OK(Put(2, row.source));
    return PutLast(3, row.meta_json);
  }
  Status Append(const MessagesRow& row) override {
    GF_CHECK_OK(Put(0, row.id));
    GF_ARROW_OK(what_, list_->Append());
    for (const auto& message : row.messages) {
      GF_ARROW_OK(what_, message_->Append());
      GF_ARROW_OK(what_, role_->Append(message.role));
      GF_ARROW_OK(what_, content_->Append(message.content));
    }
    return PutLast(2, row.meta_json);
  }
  Status Append(const PreferenceRow& row) override {
    GF_CHECK_OK(Put(0, row.id));
    GF_CHECK_OK(Put(1, row.prompt));
    GF_CHECK_OK(Put(2, row.chosen));
    GF_CHECK_OK(Put(3, row.rejected));
    return PutLast(4, row.meta_json);
  }

  Status Flush() override {
    if (buffered_rows_ == 0) return Ok();
    std::vector<std::shared_ptr<arrow::Array>> arrays;
    for (auto& column : columns_) {
      GF_ARROW(what_, auto array, column->Finish());
      arrays.push_back(std::move(array));
    }
    const auto table = arrow::Table::Make(schema_, std::move(arrays), buffered_rows_);
    GF_ARROW_OK(what_, writer_->WriteTable(*table, buffered_rows_));
    buffered_rows_ = 0;
    return Ok();
  }

  Result<uint64_t> Close() override {
    GF_CHECK_OK(Flush());
    GF_ARROW_OK(what_, writer_->Close());
    GF_ARROW(what_, const int64_t size, out_->Tell());
    GF_ARROW_OK(what_, out_->Close());
    return static_cast<uint64_t>(size);
  }

 private:
  Status Put(int column, const std::string& text) {
    GF_ARROW_OK(what_, static_cast<arrow::StringBuilder&>(*columns_[column]).Append(text));
    return Ok();
  }
  Status PutLast(int column, const std::string& text) {
    ++buffered_rows_;
    return Put(column, text);
  }

  std::filesystem::path file_;
  std::string what_;
  std::shared_ptr<arrow::Schema> schema_;
  std::vector<std::shared_ptr<arrow::ArrayBuilder>> columns_;
  std::shared_ptr<arrow::StringBuilder> role_, content_;
  std::shared_ptr<arrow::StructBuilder> message_;
  std::shared_ptr<arrow::ListBuilder> list_;
  int64_t buffered_rows_ = 0;
  std::shared_ptr<arrow::io::FileOutputStream> out_;
  std::unique_ptr<parquet::arrow::FileWriter> writer_;
};

class ArrowShardReader : public ShardReader {
 public:
  explicit ArrowShardReader(const std::filesystem::path& file)
      : file_(file), what_("cannot read dataset shard '" + file.string() + "'") {}

  Status Open(Kind kind) {
    GF_ARROW(what_, auto in, arrow::io::ReadableFile::Open(file_.string()));
    parquet::ReaderProperties properties = parquet::default_reader_properties();
    properties.set_page_checksum_verification(true);
    parquet::arrow::FileReaderBuilder builder;
    GF_ARROW_OK(what_, builder.Open(std::move(in), properties));
    parquet::ArrowReaderProperties arrow_properties;
    arrow_properties.set_pre_buffer(false);
    arrow_properties.set_batch_size(4096);
    builder.properties(arrow_properties);
    GF_ARROW_OK(what_, builder.Build(&reader_));
    std::shared_ptr<arrow::Schema> schema;
    GF_ARROW_OK(what_, reader_->GetSchema(&schema));
    const std::string have = TextOf(*schema), want = SchemaText(kind);
    if (have != want) {
      return MakeError(Code::kCorrupt,
                       "dataset shard '" + file_.string() + "' has columns {" + have + "} where {" + want +
                           "} are expected",
                       "read Parquet files of other tools with data.read");
    }
    GF_ARROW(what_, batches_, reader_->GetRecordBatchReader());
    return Ok();
  }

  uint64_t rows() const override {
    return static_cast<uint64_t>(reader_->parquet_reader()->metadata()->num_rows());
  }

  Result<bool> Next(TextRow* row) override {
    GF_TRY(const bool more, Advance());
    if (!more) return false;
    Get(0, &row->id);
    Get(1, &row->text);
    Get(2, &row->source);
    Get(3, &row->meta_json);
    ++at_;
    return true;
  }
  Result<bool> Next(MessagesRow* row) override {
    GF_TRY(const bool more, Advance());
    if (!more) return false;
    Get(0, &row->id);
    const auto& list = static_cast<const arrow::ListArray&>(*columns_[1]);
    const auto& messages = static_cast<const arrow::StructArray&>(*list.values());
    const auto& roles = static_cast<const arrow::StringArray&>(*messages.field(0));
    const auto& contents = static_cast<const arrow::StringArray&>(*messages.field(1));
    const int64_t begin = list.value_offset(at_), end = list.value_offset(at_ + 1);
    row->messages.resize(static_cast<size_t>(end - begin));
    for (int64_t i = begin; i < end; ++i) {
      Message& message = row->messages[static_cast<size_t>(i - begin)];
      message.role.assign(roles.GetView(i));
      message.content.assign(contents.GetView(i));
    }
    Get(2, &row->meta_json);
    ++at_;
    return true;
  }
  Result<bool> Next(PreferenceRow* row) override {
    GF_TRY(const bool more, Advance());
    if (!more) return false;
    Get(0, &row->id);
    Get(1, &row->prompt);
    Get(2, &row->chosen);
    Get(3, &row->rejected);
    Get(4, &row->meta_json);
    ++at_;
    return true;
  }

 private:
  // Makes sure that row at_ of columns_ exists; false at the end.
  Result<bool> Advance() {
    while (batch_ == nullptr || at_ == batch_->num_rows()) {
      std::shared_ptr<arrow::RecordBatch> next;
      GF_ARROW_OK(what_, batches_->ReadNext(&next));
      if (next == nullptr) return false;
      // Offsets and UTF-8 of a file that others may have written.
      GF_ARROW_OK(what_, next->ValidateFull());
      batch_ = std::move(next);
      columns_ = batch_->columns();
      at_ = 0;
    }
    return true;
  }
  void Get(int column, std::string* out) const {
    out->assign(static_cast<const arrow::StringArray&>(*columns_[column]).GetView(at_));
  }

  std::filesystem::path file_;
  std::string what_;
  std::unique_ptr<parquet::arrow::FileReader> reader_;
  std::unique_ptr<arrow::RecordBatchReader> batches_;
  std::shared_ptr<arrow::RecordBatch> batch_;
  std::vector<std::shared_ptr<arrow::Array>> columns_;
  int64_t at_ = 0;
};

}  // namespace

std::string SchemaText(Kind kind) { return TextOf(*SchemaOf(kind)); }

Result<std::unique_ptr<ShardWriter>> ShardWriter::Create(const std::filesystem::path& file, Kind kind,
                                                         int compression_level) {
  auto writer = std::make_unique<ArrowShardWriter>(file, kind);
  GF_CHECK_OK(writer->Open(compression_level));
  return std::unique_ptr<ShardWriter>(std::move(writer));
}

Result<std::unique_ptr<ShardReader>> ShardReader::Open(const std::filesystem::path& file, Kind kind) {
  auto reader = std::make_unique<ArrowShardReader>(file);
  GF_CHECK_OK(reader->Open(kind));
  return std::unique_ptr<ShardReader>(std::move(reader));
}

}  // namespace genflow::data
