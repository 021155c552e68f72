#include "nn/adapted_block.h"

#include <ATen/ATen.h>
#include <c10/core/GradMode.h>
#include <torch/csrc/autograd/custom_function.h>

#include <utility>

#include "nn/adapted_group.h"
#include "nn/flash_attention.h"
#include "nn/fused.h"

namespace genflow::nn {
namespace {

using torch::autograd::AutogradContext;
using torch::autograd::variable_list;

// What a half of a layer needs in both passes besides its tensors.
struct Call : torch::CustomClassHolder {
  Call(const DecoderLayer& layer, uint64_t seed) : layer(layer), seed(seed) {}
  const DecoderLayer& layer;
  Rope::Angles angles;
  std::vector<int64_t> bounds;
  uint64_t seed;  // of dropout
};

const Call& CallOf(AutogradContext* context) {
  return static_cast<const Call&>(*context->saved_data["call"].toCapsule());
}

// q, k and v [N, heads, head_dim] in what their projections gave, [N, at least their sum].
struct Heads {
  Heads(const at::Tensor& projected, const Attention& attention) {
    const int64_t dim = attention.head_dim, kv = attention.num_kv_heads * dim;
    const int64_t queries = attention.num_heads * dim;
    q = projected.narrow(1, 0, queries).unflatten(1, {attention.num_heads, dim});
    k = projected.narrow(1, queries, kv).unflatten(1, {attention.num_kv_heads, dim});
    v = projected.narrow(1, queries + kv, kv).unflatten(1, {attention.num_kv_heads, dim});
  }
  at::Tensor q, k, v;
};

at::Tensor HeadsOf(const at::Tensor& flat, const Attention& attention) {
  return flat.unflatten(1, {attention.num_heads, attention.head_dim});
}

// The end of both halves' backward pass: from the gradient of what `group` made of norm(x), through the
// projections and the norm, to the gradients of the updates and what autograd wants of forward's arguments.
// `dy` is the half's own gradient, which passes by it.
variable_list BackToInput(AutogradContext* context, AdaptedGroup& group, const RmsNorm& norm,
                          const at::Tensor& x, const at::Tensor& margin, const at::Tensor& gradient,
                          const at::Tensor& dy) {
  const uint64_t seed = CallOf(context).seed;
  const at::Tensor input = at::empty({x.size(0), group.in()}, x.options());
  const at::Tensor roots = NormInto(x, norm.weight, norm.eps, input);
  at::Tensor dx;
  if (context->needs_input_grad(0)) dx = at::empty(x.sizes(), x.options());
  group.Backward(gradient, seed, dx);
  group.AddGradients(gradient, input, margin, seed);
  if (dx.defined()) NormBackwardInto(x, norm.weight, roots, dx, dy.contiguous(), dx);
  return {dx, at::Tensor(), at::Tensor()};
}

// [N, out + rank of the group], the columns of dy filled.
at::Tensor GradientFrom(const at::Tensor& dy, const AdaptedGroup& group) {
  const at::Tensor gradient = group.MakeGradient(dy.size(0));
  gradient.narrow(1, 0, group.out()).copy_(dy);
  return gradient;
}

struct AttentionState {
  at::Tensor projected;  // [N, (heads + 2 kv_heads) * head_dim], q and k rotated
  at::Tensor margin;     // [N, rank of q, k, v]
  at::Tensor attended;   // [N, heads * head_dim + rank of o]
  at::Tensor lse;        // [heads, N]
};

at::Tensor ForwardAttention(const Call& call, const at::Tensor& x, AttentionState* state) {
  const Attention& attention = call.layer.self_attn;
  AdaptedGroup &qkv = *attention.qkv_group, &o = *attention.o_group;
  const at::Tensor input = qkv.MakeInput(x.size(0));
  NormInto(x, call.layer.input_layernorm.weight, call.layer.input_layernorm.eps,
           input.narrow(1, 0, qkv.in()));
  const at::Tensor projected = at::empty({x.size(0), qkv.out()}, x.options());
  qkv.Forward(input, call.seed, projected);
  const Heads heads(projected, attention);
  RotateInto(heads.q, call.angles.cos, call.angles.sin, /*back=*/false, heads.q);
  RotateInto(heads.k, call.angles.cos, call.angles.sin, /*back=*/false, heads.k);
  const at::Tensor attended = o.MakeInput(x.size(0));
  at::Tensor lse;
  if (state != nullptr) lse = at::empty({attention.num_heads, x.size(0)}, x.options().dtype(at::kFloat));
  FlashAttention(heads.q, heads.k, heads.v, call.bounds, HeadsOf(attended.narrow(1, 0, o.in()), attention),
                 lse);
  at::Tensor y = at::empty(x.sizes(), x.options());
  o.Forward(attended, call.seed, y, x);
  if (state != nullptr) *state = {projected, qkv.Margin(input).contiguous(), attended, lse};
  return y;
}

struct AttentionFunction : torch::autograd::Function<AttentionFunction> {
  // `anchor` requires a gradient where an update does, so that the result does even if x does not.
  static at::Tensor forward(AutogradContext* context, const at::Tensor& x, const at::Tensor& /*anchor*/,
                            const c10::intrusive_ptr<Call>& call) {
    AttentionState state;
    at::Tensor y = ForwardAttention(*call, x, &state);
    context->save_for_backward({x, state.projected, state.margin, state.attended, state.lse});
    context->saved_data["call"] = c10::IValue::make_capsule(call);
    return y;
  }

  static variable_list backward(AutogradContext* context, variable_list grads) {
    const auto saved = context->get_saved_variables();
    const at::Tensor &x = saved[0], &projected = saved[1], &margin = saved[2], &attended = saved[3];
    const Call& call = CallOf(context);
    const Attention& attention = call.layer.self_attn;
    AdaptedGroup &qkv = *attention.qkv_group, &o = *attention.o_group;
    const int64_t tokens = x.size(0);

    const at::Tensor dout = GradientFrom(grads[0], o);
    const at::Tensor out = attended.narrow(1, 0, o.in());
    const at::Tensor dattended = at::empty({tokens, o.in()}, x.options());
    o.Backward(dout, call.seed, dattended);
    o.AddGradients(dout, out, o.Margin(attended), call.seed);

    const at::Tensor dprojected = qkv.MakeGradient(tokens);
    const Heads heads(projected, attention), dheads(dprojected, attention);
    FlashAttentionBackward(heads.q, heads.k, heads.v, HeadsOf(out, attention), saved[4],
                           HeadsOf(dattended, attention), call.bounds, dheads.q, dheads.k, dheads.v);
    RotateInto(dheads.q, call.angles.cos, call.angles.sin, /*back=*/true, dheads.q);
    RotateInto(dheads.k, call.angles.cos, call.angles.sin, /*back=*/true, dheads.k);

    return BackToInput(context, qkv, call.layer.input_layernorm, x, margin, dprojected, grads[0]);
  }
};

struct MlpState {
  at::Tensor gates;        // [N, 2 * intermediate]: gate, up
  at::Tensor margin;       // [N, rank of gate and up]
  at::Tensor margin_down;  // [N, rank of down]
};

at::Tensor ForwardMlp(const Call& call, const at::Tensor& x, MlpState* state) {
  const DecoderLayer& layer = call.layer;
  AdaptedGroup &gate_up = *layer.mlp.gate_up_group, &down = *layer.mlp.down_group;
  const RmsNorm& norm = layer.post_attention_layernorm;
  const at::Tensor input = gate_up.MakeInput(x.size(0));
  NormInto(x, norm.weight, norm.eps, input.narrow(1, 0, gate_up.in()));
  const at::Tensor gates = at::empty({x.size(0), gate_up.out()}, x.options());
  const at::Tensor active = down.MakeInput(x.size(0));
  gate_up.Forward(input, call.seed, gates, /*residual=*/{},
                  SwiGluBlocks(gates.narrow(1, 0, down.in()), gates.narrow(1, down.in(), down.in()), active));
  at::Tensor y = at::empty(x.sizes(), x.options());
  down.Forward(active, call.seed, y, x);
  if (state != nullptr) {
    *state = {gates, gate_up.Margin(input).contiguous(), down.Margin(active).contiguous()};
  }
  return y;
}

struct MlpFunction : torch::autograd::Function<MlpFunction> {
  static at::Tensor forward(AutogradContext* context, const at::Tensor& x, const at::Tensor& /*anchor*/,
                            const c10::intrusive_ptr<Call>& call) {
    MlpState state;
    at::Tensor y = ForwardMlp(*call, x, &state);
    context->save_for_backward({x, state.gates, state.margin, state.margin_down});
    context->saved_data["call"] = c10::IValue::make_capsule(call);
    return y;
  }

  static variable_list backward(AutogradContext* context, variable_list grads) {
    const auto saved = context->get_saved_variables();
    const at::Tensor &x = saved[0], &gates = saved[1], &margin = saved[2], &margin_down = saved[3];
    const Call& call = CallOf(context);
    const DecoderLayer& layer = call.layer;
    AdaptedGroup &gate_up = *layer.mlp.gate_up_group, &down = *layer.mlp.down_group;
    const int64_t tokens = x.size(0), intermediate = down.in();

    const at::Tensor dout = GradientFrom(grads[0], down);
    const at::Tensor dgates = gate_up.MakeGradient(tokens);
    const at::Tensor active = at::empty({tokens, intermediate}, x.options());
    // The gradient of the down projection's input becomes that input, which its update needs.
    down.Backward(dout, call.seed, active,
                  {.finish = SwiGluBlocks(
                       gates.narrow(1, 0, intermediate), gates.narrow(1, intermediate, intermediate), active,
                       dgates.narrow(1, 0, intermediate), dgates.narrow(1, intermediate, intermediate))});
    down.AddGradients(dout, active, margin_down, call.seed);

    return BackToInput(context, gate_up, layer.post_attention_layernorm, x, margin, dgates, grads[0]);
  }
};

// A tensor of one of the groups that requires a gradient, or x.
at::Tensor AnchorOf(const AdaptedGroup& first, const AdaptedGroup& second, const at::Tensor& x) {
  const at::Tensor anchor = first.Anchor().defined() ? first.Anchor() : second.Anchor();
  return anchor.defined() ? anchor : x;
}

bool Records(const at::Tensor& x, const at::Tensor& anchor) {
  return at::GradMode::is_enabled() && (x.requires_grad() || anchor.requires_grad());
}

}  // namespace

bool HasAdaptedBlocks(const DecoderLayer& layer, const AttentionContext& context) {
  const auto holds = [](const std::shared_ptr<AdaptedGroup>& group) {
    return group != nullptr && group->Holds();
  };
  return context.cache == nullptr && holds(layer.self_attn.qkv_group) && holds(layer.self_attn.o_group) &&
         holds(layer.mlp.gate_up_group) && holds(layer.mlp.down_group) &&
         !layer.input_layernorm.weight.requires_grad() &&
         !layer.post_attention_layernorm.weight.requires_grad();
}

at::Tensor AdaptedAttention(const DecoderLayer& layer, const at::Tensor& x, const AttentionContext& context) {
  const auto call = c10::make_intrusive<Call>(layer, context.dropout_seed);
  call->angles = context.angles;
  call->bounds = context.bounds;
  const at::Tensor anchor = AnchorOf(*layer.self_attn.qkv_group, *layer.self_attn.o_group, x);
  if (!Records(x, anchor)) return ForwardAttention(*call, x, nullptr);
  return AttentionFunction::apply(x, anchor, call);
}

at::Tensor AdaptedMlp(const DecoderLayer& layer, const at::Tensor& x, const AttentionContext& context) {
  const auto call = c10::make_intrusive<Call>(layer, context.dropout_seed);
  const at::Tensor anchor = AnchorOf(*layer.mlp.gate_up_group, *layer.mlp.down_group, x);
  if (!Records(x, anchor)) return ForwardMlp(*call, x, nullptr);
  return MlpFunction::apply(x, anchor, call);
}

}  // namespace genflow::nn
