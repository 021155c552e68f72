// A catalog as the plugins of the design declare it, built by hand.
#pragma once

#include "base/manifest.h"

namespace genflow {

inline ParamInfo Param(std::string name, ParamType type,
                       std::optional<nlohmann::json> default_value = std::nullopt) {
  ParamInfo out;
  out.name = std::move(name);
  out.type = type;
  out.default_value = std::move(default_value);
  return out;
}

inline ParamInfo Ranged(ParamInfo param, double min, double max) {
  param.min = min;
  param.max = max;
  return param;
}

inline ParamInfo Required(ParamInfo param, std::string doc = {}) {
  param.required = true;
  param.doc = std::move(doc);
  return param;
}

inline PortInfo Port(std::string name, std::string type, bool optional = false, bool many = false) {
  return {std::move(name), std::move(type), optional, many, ""};
}

inline Catalog TestCatalog() {
  using enum ParamType;
  std::vector<StageInfo> stages;
  auto add = [&](std::string name, std::vector<ParamInfo> params, std::vector<PortInfo> inputs,
                 std::vector<PortInfo> outputs) {
    StageInfo info;
    info.name = std::move(name);
    info.version = "1.0.0";
    info.summary = "Stage " + info.name + ".";
    info.params = std::move(params);
    info.inputs = std::move(inputs);
    info.outputs = std::move(outputs);
    stages.push_back(std::move(info));
  };
  add("data.clean",
      {Param("min_chars", kInt, 0), Param("dedup", kBool, true),
       Param("drop", kStringList, nlohmann::json::array())},
      {Port("dataset", "dataset")}, {Port("train", "dataset"), Port("test", "dataset")});
  add("data.read", {Required(Param("path", kFiles), "Files to read."), Param("format", kEnum, "auto")}, {},
      {Port("dataset", "dataset")});
  stages.back().params[1].choices = {"auto", "jsonl", "parquet", "text"};
  add("eval.perplexity", {Ranged(Param("batch", kInt, 8), 1, 1024)},
      {Port("model", "model"), Port("adapter", "adapter", true), Port("dataset", "dataset")},
      {Port("report", "report")});
  add("gate.metrics", {Required(Param("require", kStringList), "Conditions.")},
      {Port("report", "report", false, true)}, {});
  add("model.import", {Required(Param("path", kPath), "A GGUF file or a folder."), Param("token", kString)},
      {}, {Port("model", "model")});
  stages.back().params[1].secret = true;
  add("train.lora",
      {Ranged(Param("epochs", kInt, 1), 1, 1000), Ranged(Param("lora.r", kInt, 8), 1, 1024),
       Ranged(Param("lora.dropout", kFloat, 0.0), 0, 1),
       Param("lora.target_modules", kStringList, nlohmann::json::array({"all-linear"})),
       Param("lr", kFloat, 1e-4), Param("schedule", kEnum, "cosine"),
       Ranged(Param("cache", kSize, 1 << 30), 1 << 20, 1e18),
       Ranged(Param("save_every", kDuration, 600), 1, 86400), Param("extra", kJson),
       Param("threads", kInt, 0), Param("packing", kBool, true), Param("note", kString)},
      {Port("dataset", "dataset"), Port("model", "model"), Port("init", "adapter", true)},
      {Port("adapter", "adapter")});
  stages.back().params[5].choices = {"cosine", "linear", "constant"};
  stages.back().params[9].is_volatile = true;
  stages.back().processes = true;
  return Catalog(std::move(stages));
}

}  // namespace genflow
