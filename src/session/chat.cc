#include "session/chat.h"

#include <algorithm>
#include <chrono>
#include <thread>

#include "formats/model_source.h"
#include "nn/device.h"
#include "nn/page_arena.h"
#include "nn/train/adapter.h"

namespace genflow::session {

Result<Chat> Chat::Load(const LoadRequest& request, const Progress& progress, std::string* why_not_cuda) {
  nn::UsePageArena();
  // Both answer at once.
  nn::SetThreads(request.adapter.empty() ? request.threads : std::max(1, request.threads / 2));
  GF_TRY(auto encoder, text::ChatEncoder::FromModel(request.model));
  GF_TRY(const at::Device device, nn::ResolveDevice(request.device, why_not_cuda));
  GF_TRY(const at::ScalarType dtype, nn::ResolveDtype(request.dtype, device));
  GF_TRY(const formats::ModelSource source, formats::ModelSource::Open(request.model));
  nn::LoadOptions options{.dtype = dtype, .device = device, .read_only = true};
  // Nothing is to be copied, and answers are written fastest, from the file's own types.
  if (request.dtype == "auto" && device.is_cpu() && source.format() == formats::ModelSource::Format::kGguf)
    options.quantization = nn::Quantization::kGguf;
  options.progress = [&](int64_t done, int64_t total) {
    if (progress) progress(done, total);
    return true;
  };
  GF_TRY(auto base, nn::LoadCausalLM(source, options));
  Chat chat(std::move(base), std::move(encoder));
  if (request.adapter.empty()) return chat;
  chat.tuned_ = std::make_shared<nn::CausalLM>(*chat.base_);
  GF_TRY(chat.lora_, nn::train::LoadAdapter(*chat.tuned_, request.adapter));
  return chat;
}

std::string Chat::dtype() const { return nn::DtypeName(base_->dtype()); }

Result<Answer> Chat::One(const nn::CausalLM& model, const std::vector<text::Message>& messages,
                         const ChatRequest& request, const std::function<bool()>& go_on,
                         const std::function<void(std::string_view text)>& on_text) const {
  const auto begin = std::chrono::steady_clock::now();
  GF_TRY(const std::vector<int32_t> prompt, encoder_.EncodePrompt(messages));
  Answer answer;
  nn::GenerateOptions options;
  options.sampling = request.sampling;
  options.max_new_tokens = request.max_new_tokens;
  options.stop_tokens = encoder_.stop_ids();
  options.on_token = [&](size_t, int32_t, std::string_view text) {
    answer.text += text;
    ++answer.tokens;
    if (!text.empty()) on_text(text);
    return go_on();
  };
  options.progress = [&](size_t, size_t) { return go_on(); };
  const auto done = nn::Generate(model, &encoder_.tokenizer(), {prompt}, options);
  if (!done.ok() && done.error().code != Code::kInterrupted) return done.error();
  answer.prompt_tokens = static_cast<int64_t>(prompt.size());
  answer.finish = nn::FinishReasonName(nn::FinishReason::kCancelled);
  if (done.ok()) {
    const nn::Generation& generation = done->front();
    // What a stop string or the end of a character held back.
    if (generation.text.size() > answer.text.size() && generation.text.starts_with(answer.text))
      on_text(std::string_view(generation.text).substr(answer.text.size()));
    answer.text = generation.text;
    answer.tokens = static_cast<int64_t>(generation.tokens.size());
    answer.finish = nn::FinishReasonName(generation.finish);
  }
  answer.seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count();
  return answer;
}

void Chat::Answers(const ChatRequest& request, const std::function<bool()>& go_on,
                   const std::function<void(bool tuned, std::string_view text)>& on_text,
                   const std::function<void(bool tuned, const Result<Answer>& answer)>& on_end) const {
  const auto run = [&](bool tuned) {
    const auto& messages = tuned ? request.messages_tuned : request.messages_base;
    on_end(tuned, One(tuned ? *tuned_ : *base_, messages, request, go_on,
                      [&](std::string_view text) { on_text(tuned, text); }));
  };
  std::thread beside;
  if (has_adapter()) beside = std::thread(run, true);
  run(false);
  if (beside.joinable()) beside.join();
}

}  // namespace genflow::session
