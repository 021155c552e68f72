#!/usr/bin/env python3
"""Writes tests/parity/fixtures/formats/quantization.json: what llama.cpp's own quantiser makes of models.

Usage: make_quantization_fixtures.py LIBLLAMA.so      (needs: pip install gguf numpy)

LIBLLAMA.so is the shared library of the llama.cpp whose sources cmake/dependencies.json pins (group llama, the whole
archive): cmake -S vendor/llama.cpp -B build -DBUILD_SHARED_LIBS=ON -DGGML_NATIVE=OFF && cmake --build build --target llama

models: the type that llama-quantize gives each matrix of Q4_K_M files, for shapes of the llama and qwen2 families.
tensors: a small model of numbers that the test makes again, in F32, quantised by llama_model_quantize to Q8_0 and Q4_K_M:
type and SHA-256 of the bytes of each tensor. Its rows of 288 are no whole blocks of 256.
"""
import ctypes
import hashlib
import json
import os
import sys
import tempfile

import gguf
import numpy as np

HERE = os.path.join(os.path.dirname(os.path.abspath(__file__)), "fixtures", "formats", "quantization.json")
Q8_0, Q4_K_M = 7, 15  # enum llama_ftype

MODELS = [  # name, architecture, layers, hidden, ffn, heads, kv heads, vocabulary, tied
    ("smollm2-135m", "llama", 30, 576, 1536, 9, 3, 49152, True),
    ("llama-7b", "llama", 32, 4096, 11008, 32, 32, 32000, False),
    ("llama-70b", "llama", 80, 8192, 28672, 64, 8, 128256, False),
    ("llama-3.2-1b", "llama", 16, 2048, 8192, 32, 8, 128256, True),
    ("qwen2-0.5b", "qwen2", 24, 896, 4864, 14, 2, 151936, True),
    ("odd-rows", "llama", 5, 80, 100, 4, 2, 512, False),
]
TINY = dict(layers=4, hidden=256, ffn=288, heads=4, kv_heads=2, vocab=512)


class QuantizeParams(ctypes.Structure):
    _fields_ = [("nthread", ctypes.c_int32), ("ftype", ctypes.c_int), ("output_tensor_type", ctypes.c_int),
                ("token_embedding_type", ctypes.c_int), ("allow_requantize", ctypes.c_bool), ("quantize_output_tensor", ctypes.c_bool),
                ("only_copy", ctypes.c_bool), ("pure", ctypes.c_bool), ("keep_split", ctypes.c_bool), ("dry_run", ctypes.c_bool),
                ("imatrix", ctypes.c_void_p), ("kv_overrides", ctypes.c_void_p), ("tt_overrides", ctypes.c_void_p),
                ("prune_layers", ctypes.c_void_p), ("max_buf_size", ctypes.c_size_t)]


class ModelDesc(ctypes.Structure):
    _fields_ = [("architecture", ctypes.c_char_p)] + [(name, ctypes.c_uint32) for name in (
        "n_embd", "n_ff", "n_layer", "n_head", "n_head_kv", "n_expert", "n_embd_head_k", "n_embd_head_v")]


class InitParams(ctypes.Structure):
    _fields_ = [("mem_size", ctypes.c_size_t), ("mem_buffer", ctypes.c_void_p), ("no_alloc", ctypes.c_bool)]


def shapes(layers, hidden, ffn, heads, kv_heads, vocab, tied, **_):
    """GGUF name -> (rows, columns) of the matrices."""
    kv = hidden // heads * kv_heads
    out = {"token_embd.weight": (vocab, hidden)}
    if not tied:
        out["output.weight"] = (vocab, hidden)
    for i in range(layers):
        out |= {f"blk.{i}.{name}.weight": shape for name, shape in (
            ("attn_q", (hidden, hidden)), ("attn_k", (kv, hidden)), ("attn_v", (kv, hidden)), ("attn_output", (hidden, hidden)),
            ("ffn_gate", (ffn, hidden)), ("ffn_up", (ffn, hidden)), ("ffn_down", (hidden, ffn)))}
    return out


def order(name):
    """llama.cpp's weight_name_comparer."""
    return (int(name.split(".")[1]) if name.startswith("blk.") else -1, name)


def mixture(llama, ggml, model):
    name, arch, layers, hidden, ffn, heads, kv_heads, vocab, tied = model
    desc = ModelDesc(arch.encode(), hidden, ffn, layers, heads, kv_heads, 0, hidden // heads, hidden // heads)
    # C++ functions that llama-ext.h declares for tests.
    mock = llama._Z31llama_quant_model_from_metadataPK22llama_quant_model_desc
    init = llama._Z16llama_quant_initPK11llama_modelPK27llama_model_quantize_params
    compute = llama._Z25llama_quant_compute_typesP19quantize_state_impl11llama_ftypePP11ggml_tensorP9ggml_typem
    mock.restype = init.restype = ctypes.c_void_p
    compute.argtypes = [ctypes.c_void_p, ctypes.c_int, ctypes.c_void_p, ctypes.c_void_p, ctypes.c_size_t]
    init.argtypes = [ctypes.c_void_p, ctypes.POINTER(QuantizeParams)]
    params = llama.llama_model_quantize_default_params()
    params.ftype = Q4_K_M
    state = init(mock(ctypes.byref(desc)), ctypes.byref(params))
    matrices = shapes(layers, hidden, ffn, heads, kv_heads, vocab, tied)
    names = sorted(matrices, key=order)
    context = ggml.ggml_init(InitParams(1 << 22, None, True))
    tensors = (ctypes.c_void_p * len(names))()
    for i, tensor in enumerate(names):
        rows, columns = matrices[tensor]
        tensors[i] = ggml.ggml_new_tensor_2d(context, 0, columns, rows)
        ggml.ggml_set_name(tensors[i], tensor.encode())
    types = (ctypes.c_int * len(names))()
    compute(state, Q4_K_M, tensors, types, len(names))
    return {"name": name, "architecture": arch, "layers": layers, "heads": heads, "kv_heads": kv_heads, "tied": tied,
            "types": {tensor: [*matrices[tensor], gguf.GGMLQuantizationType(types[i]).name] for i, tensor in enumerate(names)}}


def numbers(name, count):
    """What quantization_test.cc makes, too: a hash of the tensor's name and the index, as multiples of 2^-19."""
    seed = int.from_bytes(hashlib.sha256(name.encode()).digest()[:4], "little")
    h = np.arange(count, dtype=np.uint32) * np.uint32(2654435761) + np.uint32(seed)
    h ^= h >> np.uint32(15)
    h *= np.uint32(2246822519)
    h ^= h >> np.uint32(13)
    return ((h & np.uint32(0xFFFF)).astype(np.float32) - np.float32(32768)) * np.float32(2.0**-19)


def write_model(path):
    """Row orders do not matter here: the tensors are made under their GGUF names."""
    t = TINY
    writer = gguf.GGUFWriter(path, "llama")
    writer.add_context_length(128)
    writer.add_embedding_length(t["hidden"])
    writer.add_block_count(t["layers"])
    writer.add_feed_forward_length(t["ffn"])
    writer.add_head_count(t["heads"])
    writer.add_head_count_kv(t["kv_heads"])
    writer.add_layer_norm_rms_eps(1e-5)
    writer.add_rope_dimension_count(t["hidden"] // t["heads"])
    writer.add_vocab_size(t["vocab"])
    tensors = {name: numbers(name, rows * columns).reshape(rows, columns) for name, (rows, columns) in shapes(**t, tied=True).items()}
    vectors = ["output_norm.weight"] + [f"blk.{i}.{n}_norm.weight" for i in range(t["layers"]) for n in ("attn", "ffn")]
    tensors |= {name: numbers(name, t["hidden"]) for name in vectors}
    for name, values in tensors.items():
        writer.add_tensor(name, values)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


def quantized(llama, folder, ftype):
    source, target = os.path.join(folder, "f32.gguf"), os.path.join(folder, f"{ftype}.gguf")
    params = llama.llama_model_quantize_default_params()
    params.ftype, params.nthread = ftype, 2
    if llama.llama_model_quantize(source.encode(), target.encode(), ctypes.byref(params)) != 0:
        raise SystemExit("llama_model_quantize failed")
    return {tensor.name: [tensor.tensor_type.name, hashlib.sha256(tensor.data.tobytes()).hexdigest()]
            for tensor in gguf.GGUFReader(target).tensors}


def main():
    llama = ctypes.CDLL(sys.argv[1], mode=ctypes.RTLD_GLOBAL)
    llama.llama_model_quantize_default_params.restype = QuantizeParams
    ggml = ctypes.CDLL(os.path.join(os.path.dirname(sys.argv[1]), "libggml-base.so"))
    ggml.ggml_init.restype = ggml.ggml_new_tensor_2d.restype = ctypes.c_void_p
    ggml.ggml_init.argtypes = [InitParams]
    ggml.ggml_new_tensor_2d.argtypes = [ctypes.c_void_p, ctypes.c_int, ctypes.c_int64, ctypes.c_int64]
    ggml.ggml_set_name.argtypes = [ctypes.c_void_p, ctypes.c_char_p]
    llama.llama_backend_init()
    with tempfile.TemporaryDirectory() as folder:
        write_model(os.path.join(folder, "f32.gguf"))
        out = {"models": [mixture(llama, ggml, model) for model in MODELS], "tiny": TINY,
               "tensors": {name: quantized(llama, folder, ftype) for name, ftype in (("q8_0", Q8_0), ("q4_k_m", Q4_K_M))}}
    with open(HERE, "w", encoding="ascii") as file:
        file.write(json.dumps(out, separators=(",", ":")).replace('"name":', '\n"name":') + "\n")


main()
