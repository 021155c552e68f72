#include "nn/train/recompute.h"

#include <ATen/ATen.h>
#include <c10/core/GradMode.h>
#include <torch/csrc/autograd/custom_function.h>

#include <memory>
#include <utility>
#include <vector>

namespace genflow::nn::train {
namespace {

using torch::autograd::AutogradContext;
using torch::autograd::variable_list;

// What a layer needs to run again. Lives as long as the graph; the layer belongs to the model.
struct LayerCall : torch::CustomClassHolder {
  LayerCall(const DecoderLayer& layer, std::shared_ptr<const AttentionContext> context, int64_t index)
      : layer(layer), context(std::move(context)), index(index) {}

  at::Tensor Run(const at::Tensor& x) const {
    at::manual_seed(context->dropout_seed + static_cast<uint64_t>(index));
    return layer.Forward(x, *context, index);
  }

  const DecoderLayer& layer;
  std::shared_ptr<const AttentionContext> context;
  int64_t index;
};

struct Recomputed : torch::autograd::Function<Recomputed> {
  // `anchor` requires a gradient, so that the result does too where x does not (the first layer).
  static at::Tensor forward(AutogradContext* ctx, const at::Tensor& x, const at::Tensor& /*anchor*/,
                            const c10::intrusive_ptr<LayerCall>& call) {
    ctx->save_for_backward({x});
    ctx->saved_data["call"] = c10::IValue::make_capsule(call);
    return call->Run(x);
  }

  static variable_list backward(AutogradContext* ctx, variable_list outputs) {
    const auto holder = ctx->saved_data["call"].toCapsule();
    const auto& call = static_cast<const LayerCall&>(*holder);
    const bool wants_input = ctx->needs_input_grad(0);
    at::Tensor x = ctx->get_saved_variables()[0].detach();
    x.set_requires_grad(wants_input);
    at::Tensor y;
    {
      const c10::AutoGradMode grad(true);
      y = call.Run(x);
    }
    y.backward(outputs[0]);
    return {wants_input ? x.grad() : at::Tensor(), at::Tensor(), at::Tensor()};
  }
};

// A tensor of the layer that requires a gradient, or an undefined one.
at::Tensor Anchor(const DecoderLayer& layer) {
  std::vector<at::Tensor> tensors = {layer.input_layernorm.weight, layer.post_attention_layernorm.weight};
  for (const Linear* linear : layer.Projections()) {
    tensors.push_back(linear->weight);
    tensors.push_back(linear->bias);
    if (linear->lora) tensors.push_back(linear->lora->a);
  }
  for (const at::Tensor& tensor : tensors) {
    if (tensor.defined() && tensor.requires_grad()) return tensor;
  }
  return {};
}

}  // namespace

at::Tensor HiddenRecomputed(const CausalLM& model, const Batch& batch) {
  const auto context = std::make_shared<const AttentionContext>(model.MakeContext(batch));
  at::Tensor x = model.Embed(batch);  // [N, hidden]
  for (size_t i = 0; i < model.layers.size(); ++i) {
    if (batch.on_layer_input) batch.on_layer_input(x, static_cast<int64_t>(i));
    const auto call = c10::make_intrusive<LayerCall>(model.layers[i], context, static_cast<int64_t>(i));
    const at::Tensor anchor = Anchor(model.layers[i]);
    x = anchor.defined() || x.requires_grad() ? Recomputed::apply(x, anchor.defined() ? anchor : x, call)
                                              : call->Run(x);
  }
  return model.norm.Forward(x);
}

}  // namespace genflow::nn::train
