#!/usr/bin/env python3
"""Writes src/text/unicode_classes.inc: the code points that Hugging Face tokenizers take for letters (\\p{L}),
numbers (\\p{N}), white space (\\s) and digits (its Digits pre-tokenizer, which follows another Unicode version).

Usage: make_unicode_classes.py > src/text/unicode_classes.inc      (needs: pip install tokenizers)
"""
import tokenizers
from tokenizers import Regex, pre_tokenizers

CODE_POINTS = [c for c in range(0x110000) if not 0xD800 <= c < 0xE000]


def members(other):
    """Code points that do not match the regular expression `other`."""
    split = pre_tokenizers.Split(Regex(other), "removed")
    found = set()
    for i in range(0, len(CODE_POINTS), 4096):
        for piece, _ in split.pre_tokenize_str("".join(map(chr, CODE_POINTS[i:i + 4096]))):
            found.update(map(ord, piece))
    return found


def digits():
    split = pre_tokenizers.Digits(individual_digits=True)
    found = set()
    for i in range(0, len(CODE_POINTS), 2048):
        text = "a" + "a".join(map(chr, CODE_POINTS[i:i + 2048])) + "a"
        found.update(ord(p) for p, _ in split.pre_tokenize_str(text) if len(p) == 1 and p != "a")
    return found


def ranges(points):
    out = []
    for point in sorted(points):
        if out and out[-1][1] == point - 1:
            out[-1][1] = point
        else:
            out.append([point, point])
    return out


print("// Written by tests/parity/make_unicode_classes.py from Hugging Face tokenizers "
      f"{tokenizers.__version__}: {{first, last, class}}.")
for name, points in (("kLetter", members(r"[^\p{L}]")), ("kNumber", members(r"[^\p{N}]")),
                     ("kSpace", members(r"\S")), ("kDigit", digits())):
    line = ""
    for first, last in ranges(points):
        item = f"{{0x{first:x}, 0x{last:x}, {name}}}, "
        if len(line) + len(item) > 108:
            print(line.rstrip())
            line = ""
        line += item
    print(line.rstrip())
