// The tokenizer files of a Hugging Face folder. Used inside this library.
#pragma once

#include <filesystem>

#include "base/result.h"
#include "formats/model_source.h"

namespace genflow::formats {

Result<TokenizerFiles> TokenizerFromFolder(const std::filesystem::path& folder);

}  // namespace genflow::formats
