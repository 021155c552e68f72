#!/usr/bin/env python3
"""Writes fixtures/data/foreign.parquet: chats as other tools write them, with pyarrow.

Usage: python3 tests/parity/data_fixtures.py
"""
import datetime
import pathlib

import pyarrow as pa
import pyarrow.parquet as pq

HERE = pathlib.Path(__file__).resolve().parent

message = pa.struct([("role", pa.string()), ("content", pa.large_string())])
schema = pa.schema([
    ("id", pa.int64()),
    ("messages", pa.large_list(message)),
    ("lang", pa.large_string()),
    ("score", pa.float32()),
    ("date", pa.date32()),
    ("tags", pa.list_(pa.string())),
    ("ok", pa.bool_()),
])


def chat(*turns):
    return [{"role": role, "content": content} for role, content in turns]


rows = [
    {"id": 11, "messages": chat(("system", "Be brief."), ("user", "Hi"), ("assistant", 'Hello "you"')),
     "lang": "en", "score": 0.5, "date": datetime.date(2024, 2, 29), "tags": ["a", "b"], "ok": True},
    {"id": 12, "messages": chat(("user", "Grüß"), ("assistant", "Gott")),
     "lang": "de", "score": None, "date": None, "tags": [], "ok": False},
]
out = HERE / "fixtures" / "data" / "foreign.parquet"
out.parent.mkdir(parents=True, exist_ok=True)
pq.write_table(pa.Table.from_pylist(rows, schema=schema), out, compression="snappy")
