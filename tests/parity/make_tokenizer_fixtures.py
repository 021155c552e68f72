#!/usr/bin/env python3
"""Writes tests/parity/fixtures/text/{lines.txt.gz, tokenizers/*.json, tokenizer_cases.json} with Hugging Face tokenizers.

Usage: make_tokenizer_fixtures.py SMOLLM2.gguf      (needs: pip install tokenizers gguf numpy)

lines.txt.gz: 10,000 distinct lines of real text: licences of Debian's base system, Python's standard library, and the
glibc's locale data for about every script. It is written only when it is not there, so that the corpus stays.
tokenizers/*.json: byte-level BPE tokenizers of several families, trained on those lines.
tokenizer_cases.json: for each tokenizer, ids of hand-made cases with special tokens on and off, and a SHA-256 over
the ids (little-endian int32) of each 100 lines.
"""
import glob
import gzip
import hashlib
import json
import os
import random
import struct
import sys
import sysconfig

from gguf import GGUFReader
from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers, processors, trainers

HERE = os.path.join(os.path.dirname(os.path.abspath(__file__)), "fixtures", "text")
LINES = os.path.join(HERE, "lines.txt.gz")

LLAMA3 = (r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*"
          r"|\s*[\r\n]+|\s+(?!\S)|\s+")
QWEN2 = LLAMA3.replace(r"\p{N}{1,3}", r"\p{N}")
GPT4O = (r"[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]*[\p{Ll}\p{Lm}\p{Lo}\p{M}]+(?i:'s|'t|'re|'ve|'m|'ll|'d)?"
         r"|[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]+[\p{Ll}\p{Lm}\p{Lo}\p{M}]*(?i:'s|'t|'re|'ve|'m|'ll|'d)?"
         r"|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n/]*|\s*[\r\n]+|\s+(?!\S)|\s+")


def write_lines():
    def read(paths):
        seen = set()
        for path in sorted(paths):
            try:
                text = open(path, encoding="utf-8").read()
            except (UnicodeDecodeError, IsADirectoryError):
                continue
            for line in text.split("\n"):
                if line.strip() and len(line) < 400:
                    seen.add(line)
        return sorted(seen)

    rng = random.Random(20)
    stdlib = sysconfig.get_path("stdlib")
    locales = [line for line in read(glob.glob("/usr/share/i18n/locales/*")) if not line.isascii()]
    lines = (rng.sample(read(glob.glob("/usr/share/common-licenses/*")), 2000)
             + rng.sample(read(glob.glob(f"{stdlib}/*.py") + glob.glob(f"{stdlib}/json/*.py")), 4500)
             + rng.sample(locales, 3500))
    rng.shuffle(lines)
    with gzip.GzipFile(LINES, "wb", 9, mtime=0) as f:
        f.write("\n".join(lines).encode())


def smollm2(path):
    reader = GGUFReader(path)
    value = {name: field.contents() for name, field in reader.fields.items() if name.startswith("tokenizer.ggml.")}
    tokens, types = value["tokenizer.ggml.tokens"], value["tokenizer.ggml.token_type"]
    tokenizer = Tokenizer(models.BPE(vocab={t: i for i, t in enumerate(tokens)},
                                     merges=[tuple(m.split(" ")) for m in value["tokenizer.ggml.merges"]]))
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [pre_tokenizers.Digits(individual_digits=True), pre_tokenizers.ByteLevel(add_prefix_space=False)])
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.add_special_tokens([AddedToken(t, special=True, normalized=False) for t, k in zip(tokens, types) if k == 3])
    return tokenizer


def trained(lines, size, pre, normalizer=None, specials=(), added=(), ignore_merges=False, bos=None):
    tokenizer = Tokenizer(models.BPE(ignore_merges=ignore_merges))
    tokenizer.pre_tokenizer = pre
    if normalizer:
        tokenizer.normalizer = normalizer
    trainer = trainers.BpeTrainer(vocab_size=size, show_progress=False,
                                  initial_alphabet=pre_tokenizers.ByteLevel.alphabet())
    tokenizer.train_from_iterator(lines, trainer)
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.add_special_tokens([AddedToken(t, special=True, normalized=False) for t in specials])
    tokenizer.add_tokens(list(added))
    if bos:
        tokenizer.post_processor = processors.Sequence([
            processors.ByteLevel(trim_offsets=False),
            processors.TemplateProcessing(single=f"{bos} $A", pair=f"{bos} $A {bos} $B",
                                          special_tokens=[(bos, tokenizer.token_to_id(bos))])])
    return tokenizer


def split(pattern):
    return pre_tokenizers.Sequence([pre_tokenizers.Split(Regex(pattern), "isolated"),
                                    pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)])


def tiny(lines):
    some = lines[::4]
    chatml = ["<|endoftext|>", "<|im_start|>", "<|im_end|>"]
    llama = ["<|begin_of_text|>", "<|end_of_text|>", "<|start_header_id|>", "<|end_header_id|>", "<|eot_id|>", "<|eot|>"]
    return {
        "gpt2": trained(some, 900, pre_tokenizers.ByteLevel(add_prefix_space=False), specials=["<|endoftext|>"]),
        "gpt2_prefix_space": trained(some, 700, pre_tokenizers.ByteLevel(add_prefix_space=True), specials=["<|endoftext|>"]),
        "llama3": trained(some, 1500, split(LLAMA3), specials=llama, ignore_merges=True, bos="<|begin_of_text|>"),
        "qwen2": trained(some, 1200, split(QWEN2), normalizer=normalizers.NFC(), specials=chatml,
                         added=[AddedToken("<think>", normalized=False), AddedToken("caf\u00e9", normalized=True)]),
        "gpt4o": trained(some, 800, split(GPT4O), specials=["<|endoftext|>"]),
        "digit_runs": trained(some, 700, pre_tokenizers.Sequence(
            [pre_tokenizers.Digits(individual_digits=False), pre_tokenizers.ByteLevel(add_prefix_space=False)]),
            specials=["<s>", "</s>"],
            added=[AddedToken("<mask>", lstrip=True, normalized=False), AddedToken("[tag]", rstrip=True, normalized=False),
                   AddedToken("word", single_word=True, normalized=False)]),
    }


CASES = [
    "", " ", "  ", "\n", "\t", "\r\n", "a", "Hello, world!", " leading", "trailing ", "two  spaces", "   three before",
    "tabs\tand\t\ttabs", "line\nline\n\nline\n\n\n", "crlf\r\nline\r\n\r\nend", " \n \n x", "x \n y", "x\n  y", "a\u00a0b\u3000c\u2003 d",
    "\u0085next\u2028line\u2029para", "don't can't I'll we've they're he's I'm you'd", "DON'T CAN'T I'LL WE'VE 'S 'T 'RE",
    "x'\u017f y'S 's", "'''quoted''' 'tis 'twas", "\u2019s curly\u2019t", "0 1 12 123 1234 12345 3.14159 1,000,000 1e-9",
    "v2.0.1-rc3 0x1F 2024-01-02T03:04:05Z", "\u0663\u0664\u0665 \u4e09 \u2167 \u00bd \u00b2\u00b3 \u0be7\u0be8\u0be9", "a1b2c3",
    "emoji \U0001f600\U0001f468\u200d\U0001f469\u200d\U0001f467\u200d\U0001f466 \U0001f1e9\U0001f1ea \u2764\ufe0f", "\U0001f600\U0001f600\U0001f600",
    "\u4f60\u597d\uff0c\u4e16\u754c\uff01 \u3053\u3093\u306b\u3061\u306f\u4e16\u754c \uc548\ub155\ud558\uc138\uc694",
    "cafe\u0301 caf\u00e9 \u1e69 s\u0323\u0307 \u0041\u030a \u212b", "\u0301combining first", "Z\u0351\u036b\u0343a\u0329lgo\u0321",
    "\u05e9\u05dc\u05d5\u05dd \u05e2\u05d5\u05dc\u05dd", "\u0627\u0644\u0633\u0644\u0627\u0645 \u0639\u0644\u064a\u0643\u0645\u060c \u064a\u064e\u0648\u0652\u0645", "\u202eRTL\u202c",
    "\u0928\u092e\u0938\u094d\u0924\u0947 \u0926\u0941\u0928\u093f\u092f\u093e", "\u0e2a\u0e27\u0e31\u0e2a\u0e14\u0e35", "\u00df\u0130\u0131\ufb01\u01c5 \ud55c\u1112\u1161\u11ab",
    "zero\u200bwidth\u200djoin\ufeffbom", "\ue000private\U000f0000", "\U00010d40\U00011bf0\U0001e5f1\u1c89", "\x00nul\x01\x7fdel",
    "def f(x):\n    return x ** 2  # square\n\tif not x:\n\t\tpass\n", "for(int i=0;i<n;++i){a[i]+=b[i]*c;}", "std::vector<std::pair<int,int>>&& v",
    "$HOME/.config --flag=value | grep -E '^a+b*$' > /dev/null 2>&1", "https://example.org/a/b?c=d&e=f#g user@example.org",
    "<html><body class=\"x\">&nbsp;</body></html>", "====----____****////\\\\", "!!!???...", " !", "! ", " \u2014 dash\u2026", "\u20ac100 \u00a5 $5",
    "<|im_start|>user\nhi<|im_end|>\n", "<|im_end|><|im_end|>", "a<|im_end|>b", "<|im_end", "<|endoftext|>", " <|endoftext|> ", "<|begin_of_text|>x<|eot_id|><|eot|>",
    "<think>\n\nhm</think>", "caf\u00e9 cafe\u0301 CAF\u00c9", "a <mask> b<mask>", "[tag]  x [tag]", "word words sword word-word _word", "<s>x</s>",
    "antidisestablishmentarianism", "x" * 70, "ab" * 60, "\u00e9" * 40, "supercalifragilistic" * 6, " " * 50 + "x", "\n" * 30, "1" * 40, "-" * 90,
    "aA" * 30, "the " * 30, "\u4e2d" * 60, "XMLHttpRequest getElementById ABCdef HTMLParser's iPhone's",
]
INVALID = [b"abc\xff\xfedef", b"\xc3", b"\xe2\x82", b"a\xe2\x28\xa1b", b"\xf0\x9f\x98", b"\xed\xa0\x80", b"\xc0\xaf", b"\xf4\x90\x80\x80", b"\x80\x80\x80",
           b"ok \xe4\xbd\xa0\xe5\xa5 cut", b"\xf0\x9f\x98\x80\xf0\x9f\x98"]


def digest(rows):
    return hashlib.sha256(b"".join(struct.pack(f"<{len(r)}i", *r) for r in rows)).hexdigest()[:16]


def main():
    os.makedirs(os.path.join(HERE, "tokenizers"), exist_ok=True)
    if not os.path.exists(LINES):
        write_lines()
    lines = gzip.open(LINES, "rt", encoding="utf-8", newline="\n").read().split("\n")
    assert len(lines) == 10000
    tokenizers = {"smollm2": smollm2(sys.argv[1])}
    for name, tokenizer in tiny(lines).items():
        path = os.path.join(HERE, "tokenizers", f"{name}.json")
        if not os.path.exists(path):
            tokenizer.save(path, pretty=False)
        tokenizers[name] = Tokenizer.from_file(path)
    out = {"cases": CASES, "invalid": [b.hex() for b in INVALID], "tokenizers": {}}
    for name, tokenizer in tokenizers.items():
        entry = {"vocab_size": tokenizer.get_vocab_size()}
        for key, literal in (("special", False), ("plain", True)):
            tokenizer.encode_special_tokens = literal
            entry[key] = [tokenizer.encode(text, add_special_tokens=False).ids for text in CASES]
        tokenizer.encode_special_tokens = False
        entry["with_added"] = [tokenizer.encode(text, add_special_tokens=True).ids for text in CASES[:12]]
        entry["decoded"] = [tokenizer.decode(ids, skip_special_tokens=True) for ids in entry["special"]]
        entry["invalid"] = [tokenizer.encode(b.decode("utf-8", "replace"), add_special_tokens=False).ids for b in INVALID]
        ids = [e.ids for e in tokenizer.encode_batch(lines, add_special_tokens=False)]
        entry["tokens"] = sum(map(len, ids))
        entry["digests"] = [digest(ids[i:i + 100]) for i in range(0, len(ids), 100)]
        out["tokenizers"][name] = entry
    with open(os.path.join(HERE, "tokenizer_cases.json"), "w", encoding="ascii") as f:
        json.dump(out, f, separators=(",", ":"))
        f.write("\n")


main()
