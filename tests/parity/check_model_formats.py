#!/usr/bin/env python3
"""Opens a model that genflow wrote with the libraries it was written for, and compares their answers.

Usage: check_model_formats.py FOLDER MODEL.gguf [TEXT_FILE]
       (needs: pip install torch transformers tokenizers xllamacpp)

FOLDER is a Hugging Face folder, MODEL.gguf the same model for llama.cpp. Checked: transformers loads the folder with no
missing or unexpected weight; llama.cpp and transformers give the same top token and log-probabilities within 5e-2 for
a few prompts through the chat template; both tokenize every line of TEXT_FILE alike. Exits 1 with the differences.
"""
import json
import sys

import torch
import xllamacpp
from transformers import AutoModelForCausalLM, AutoTokenizer

QUESTIONS = ["What is the capital of France?", "Say what `tar` does, in one line.", "2 + 2 = ?", "Wer schrieb \u201eFaust\u201c?"]
TOLERANCE = 5e-2


def main():
    folder, gguf = sys.argv[1:3]
    tokenizer = AutoTokenizer.from_pretrained(folder)
    model, info = AutoModelForCausalLM.from_pretrained(folder, output_loading_info=True, dtype=torch.float32)
    problems = [f"transformers reports {key}: {value}" for key, value in info.items() if value]

    params = xllamacpp.CommonParams()
    params.model.path = gguf
    params.n_ctx = 1024
    params.n_parallel = 1
    params.warmup = False
    server = xllamacpp.Server(params)
    worst = 0.0
    for question in QUESTIONS:
        prompt = tokenizer.apply_chat_template([{"role": "user", "content": question}], tokenize=False, add_generation_prompt=True)
        ids = tokenizer(prompt, add_special_tokens=False, return_tensors="pt").input_ids
        with torch.no_grad():
            expected = torch.log_softmax(model(ids).logits[0, -1], -1)
        answer = server.handle_completions({"prompt": prompt, "n_predict": 1, "n_probs": 8, "temperature": 0.0})
        answer = answer if isinstance(answer, dict) else json.loads(answer)
        if answer["usage"]["prompt_tokens"] != ids.shape[1]:
            problems.append(f"{question!r}: llama.cpp sees {answer['usage']['prompt_tokens']} tokens, transformers {ids.shape[1]}")
            continue
        top = answer["choices"][0]["logprobs"]["content"][0]["top_logprobs"]
        for entry in top:
            difference = abs(entry["logprob"] - expected[entry["id"]].item())
            worst = max(worst, difference)
            if difference > TOLERANCE:
                problems.append(f"{question!r}: token {entry['id']} has log-probability {entry['logprob']:.4f} in llama.cpp, "
                                f"{expected[entry['id']].item():.4f} in transformers")
    print(f"largest difference of log-probabilities: {worst:.4f} (allowed {TOLERANCE})")

    if len(sys.argv) > 3:
        lines = [line for line in open(sys.argv[3], encoding="utf-8", newline="\n").read().split("\n") if line]
        for line in lines:
            ours = tokenizer(line, add_special_tokens=False).input_ids
            answer = server.handle_completions({"prompt": line, "n_predict": 0, "cache_prompt": False})
            answer = answer if isinstance(answer, dict) else json.loads(answer)
            if answer["usage"]["prompt_tokens"] != len(ours):
                problems.append(f"{line!r}: llama.cpp sees {answer['usage']['prompt_tokens']} tokens, transformers {len(ours)}")
        print(f"{len(lines)} lines tokenized by both")
    print("\n".join(problems) or "no differences")
    sys.exit(1 if problems else 0)


main()
