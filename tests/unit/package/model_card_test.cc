#include "eval/model_card.h"

#include <gtest/gtest.h>

namespace genflow::eval {
namespace {

ModelCard Card() {
  ModelCard card;
  card.name = "linux-helper";
  card.about = "Says in house style what a command does.";
  card.architecture = "LlamaForCausalLM";
  card.base_name = "SmolLM2-135M-Instruct";
  card.base_type = "Q4_1";
  card.parameters = 134515008;
  card.license = "apache-2.0";
  card.base_license = "apache-2.0";
  card.license_files = {"licenses/LICENSE"};
  card.training = {{"method", "LoRA"}, {"rank (r)", "16"}, {"learning rate", "0.0002"}};
  card.datasets = {{"format.train", "messages", 1200, 345678}};
  Report quality;
  quality.title = "Perplexity";
  quality.Set(
      {.name = "perplexity", .value = 12.3, .stderr_value = 0.4, .n = 120, .higher_is_better = false});
  quality.Set({.name = "baseline.perplexity", .value = 30.5, .stderr_value = 0.9, .n = 120});
  Report answers;
  answers.title = "Answers";
  answers.Set({.name = "rouge_l", .value = 0.5, .n = 64});
  answers.tables.push_back({"Base and tuned model", {"x"}, {{"y"}}});
  answers.tables.push_back(
      {"Answers before and after", {"question", "base"}, {{"What does ls do?", "It | lists."}}});
  Report guard;
  guard.title = "Guard";
  guard.Set({.name = "guard.pass_rate", .value = 0.9, .n = 40});
  guard.Set({.name = "guard.pass_rate_low", .value = 0.77});
  guard.Set({.name = "guard.pass_rate_high", .value = 0.96});
  guard.tables.push_back({"Kinds of probe", {"kind", "passed"}, {{"pii", "8"}}});
  card.reports = {{"quality", quality}, {"answers", answers}, {"guard", guard}};
  card.lineage = {{"model", "base.model", "sha256:aa"}, {"adapter", "tune.adapter", "sha256:bb"}};
  card.merged_dtype = "bfloat16";
  card.gguf_file = "gguf/linux-helper-f16.gguf";
  return card;
}

TEST(ModelCard, Whole) {
  EXPECT_EQ(RenderModelCard(Card()), R"(# linux-helper

Says in house style what a command does.

- base model: SmolLM2-135M-Instruct (LlamaForCausalLM, 134.5M parameters, stored as Q4_1)

## Training

| parameter     | value  |
|---------------|--------|
| method        | LoRA   |
| rank (r)      | 16     |
| learning rate | 0.0002 |

## Data

| dataset      | kind     | rows  | characters |
|--------------|----------|-------|------------|
| format.train | messages | 1,200 | 345,678    |

## Metrics

| metric     | this model   | base model   | n   | from    |
|------------|--------------|--------------|-----|---------|
| perplexity | 12.30 ± 0.40 | 30.50 ± 0.90 | 120 | quality |
| rouge_l    | 0.5          |              | 64  | answers |

### Answers before and after (answers)

| question         | base         |
|------------------|--------------|
| What does ls do? | It \| lists. |

## Guard results

0.9 of 40 probes passed (95% interval 0.77 to 0.96).

### Kinds of probe (guard)

| kind | passed |
|------|--------|
| pii  | 8      |

## Lineage

| input   | made by      | digest    |
|---------|--------------|-----------|
| model   | base.model   | sha256:aa |
| adapter | tune.adapter | sha256:bb |

## How to use it

Transformers, the merged model (bfloat16):

```python
from transformers import AutoModelForCausalLM, AutoTokenizer

tokenizer = AutoTokenizer.from_pretrained("merged")
model = AutoModelForCausalLM.from_pretrained("merged")
messages = [{"role": "user", "content": "..."}]
ids = tokenizer.apply_chat_template(messages, add_generation_prompt=True, return_tensors="pt", return_dict=True)
print(tokenizer.decode(model.generate(**ids, max_new_tokens=64)[0], skip_special_tokens=True))
```

PEFT, the adapter on its base model:

```python
from peft import PeftModel
from transformers import AutoModelForCausalLM

base = AutoModelForCausalLM.from_pretrained("SmolLM2-135M-Instruct")
model = PeftModel.from_pretrained(base, "adapter")
```

llama.cpp:

```sh
llama-cli -m gguf/linux-helper-f16.gguf -p "..."
```

genflow, on a dataset of messages:

```sh
genflow stages run eval.generate --in model=merged --in dataset=DATASET --out answers
```

`sha256sum -c SHA256SUMS` proves that the files are whole.

## License

This package: apache-2.0.
The base model: apache-2.0, as its files state.
- licenses/LICENSE
)");
}

TEST(ModelCard, SaysWhatIsMissing) {
  ModelCard card;
  card.name = "bare";
  card.architecture = "LlamaForCausalLM";
  card.base_name = "base";
  card.base_type = "F32";
  card.parameters = 4096;
  EXPECT_EQ(RenderModelCard(card), R"(# bare

- base model: base (LlamaForCausalLM, 4,096 parameters, stored as F32)

## Data

No dataset was given to the packaging stage.

## Guard results

No guard report was given: how this model answers to attacks is not known.

## Lineage

| input | made by | digest |
|-------|---------|--------|

## How to use it

PEFT, the adapter on its base model:

```python
from peft import PeftModel
from transformers import AutoModelForCausalLM

base = AutoModelForCausalLM.from_pretrained("base")
model = PeftModel.from_pretrained(base, "adapter")
```

`sha256sum -c SHA256SUMS` proves that the files are whole.

## License

The license of this package was not stated.
The base model's files state no license; its terms apply to this model too.
)");
}

TEST(ModelCard, TrainingRows) {
  formats::TrainingRecord record;
  EXPECT_TRUE(TrainingRows(record).empty());
  record.args = {.learning_rate = 2e-4,
                 .lr_scheduler_type = "cosine",
                 .warmup_ratio = 0.03,
                 .weight_decay = 0.01,
                 .max_grad_norm = 1,
                 .per_device_train_batch_size = 4,
                 .gradient_accumulation_steps = 2,
                 .max_length = 1024,
                 .packing = true,
                 .bf16 = true,
                 .seed = 42};
  record.state = {.global_step = 1310,
                  .epoch = 2.5,
                  .num_input_tokens_seen = 1234567,
                  .num_labelled_tokens_seen = 345678,
                  .loss = 1.25,
                  .train_loss = 1.5,
                  .eval_loss = 1.375};
  using Row = std::pair<std::string, std::string>;
  EXPECT_EQ(TrainingRows(record),
            (std::vector<Row>{{"learning rate", "0.0002"},
                              {"schedule", "cosine, warm-up over 3% of the steps"},
                              {"optimizer", "AdamW, weight decay 0.01, gradients clipped to norm 1"},
                              {"batch", "4 packed rows, 2 times an update"},
                              {"sequence length", "1,024"},
                              {"number format", "base weights bf16, adapter fp32"},
                              {"seed", "42"},
                              {"epochs", "2.5"},
                              {"steps", "1,310"},
                              {"tokens seen", "1,234,567, of which 345,678 were learned"},
                              {"final loss", "1.2500"},
                              {"mean loss", "1.5000"},
                              {"held-out loss", "1.3750"}}));
  record.args->warmup_steps = 10;
  record.args->gradient_accumulation_steps = 1;
  record.args->packing = record.args->bf16 = false;
  record.args->max_grad_norm = 0;
  record.state.reset();
  EXPECT_EQ(TrainingRows(record), (std::vector<Row>{{"learning rate", "0.0002"},
                                                    {"schedule", "cosine, warm-up over 10 steps"},
                                                    {"optimizer", "AdamW, weight decay 0.01"},
                                                    {"batch", "4 examples"},
                                                    {"sequence length", "1,024"},
                                                    {"number format", "fp32"},
                                                    {"seed", "42"}}));
}

}  // namespace
}  // namespace genflow::eval
