"""Loads what GlmTune wrote with transformers and PEFT, and compares logits and greedy tokens with GlmTune's own.

Usage: python check_transformers.py MODEL LOGITS BATCH [--adapter FOLDER] [--tolerance 1e-4]
MODEL is a folder in the library's layout, LOGITS what `glmtune forward` wrote for BATCH (a JSON file with input_ids and,
optionally, attention_mask). The tokenizer is loaded too when the folder has one. Exit code 1 when something differs.
"""
import argparse
import json
import os
import sys

import torch
from safetensors.torch import load_file
from transformers import AutoModelForCausalLM, AutoTokenizer

parser = argparse.ArgumentParser()
parser.add_argument("model")
parser.add_argument("logits")
parser.add_argument("batch")
parser.add_argument("--adapter")
parser.add_argument("--tolerance", type=float, default=1e-4)
parser.add_argument("--text", default="你好，世界 hello 123")
parser.add_argument("--ids", help="JSON list of the ids that GlmTune gives the text")
args = parser.parse_args()

model = AutoModelForCausalLM.from_pretrained(args.model, dtype=torch.float32)
if args.adapter:
    from peft import PeftModel
    model = PeftModel.from_pretrained(model, args.adapter)
model.eval()
batch = json.load(open(args.batch))
ids = torch.tensor(batch["input_ids"])
mask = torch.tensor(batch.get("attention_mask") or [[1] * len(row) for row in batch["input_ids"]])
positions = (mask.cumsum(1) - 1).clamp(min=0)
with torch.no_grad():
    theirs = model(input_ids=ids, attention_mask=mask, position_ids=positions).logits.float()
ours = load_file(args.logits)["logits"].float()
real = mask.bool()
error = ((theirs[real] - ours[real]).norm() / theirs[real].norm()).item()
same = (theirs[real].argmax(-1) == ours[real].argmax(-1)).float().mean().item()
print(f"logits: relative error {error:.2e}, same greedy token at {same:.2%} of places")
failed = not error <= args.tolerance
if args.ids and os.path.exists(os.path.join(args.model, "tokenizer_config.json")):
    tokenizer = AutoTokenizer.from_pretrained(args.model)
    encoded = tokenizer.encode(args.text, add_special_tokens=False)
    print("tokenizer:", "same ids" if encoded == json.loads(args.ids) else f"different ids {encoded}")
    failed |= encoded != json.loads(args.ids)
sys.exit(1 if failed else 0)
