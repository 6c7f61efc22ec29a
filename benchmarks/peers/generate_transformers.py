"""Times transformers' `generate` on random weights of the GLM-4-9B shape: the peer of `glmtune bench generate`.

Usage: python generate_transformers.py [--batch 1 16 64] [--prompt-tokens N] [--new-tokens N] [--first-token-prompt N] [--static]
Prints one JSON object with the fields of `glmtune bench generate --json`. Greedy, eager, SDPA; with --static a static cache, which
transformers compiles. Tokens a second are those after the first, by the difference between whole answers and first tokens alone.
Memory is the whole device's in use, as cudaMemGetInfo counts it.
"""
import argparse
import json
import statistics
import time

import torch
import transformers
from transformers import GenerationConfig

import shape

parser = argparse.ArgumentParser()
parser.add_argument("--batch", type=int, nargs="+", default=[1, 16, 64])
parser.add_argument("--prompt-tokens", type=int, default=128)
parser.add_argument("--new-tokens", type=int, default=32)
parser.add_argument("--first-token-prompt", type=int, default=1000)
parser.add_argument("--static", action="store_true")
args = parser.parse_args()

model = shape.model()
model.eval()


def seconds(batch, prompt_tokens, new_tokens):
    ids = torch.randint(0, 100_000, (batch, prompt_tokens), device="cuda")
    settings = GenerationConfig(
        max_new_tokens=new_tokens, min_new_tokens=new_tokens, do_sample=False, use_cache=True, pad_token_id=151329, eos_token_id=None,
        cache_implementation="static" if args.static else None)
    torch.cuda.synchronize()
    start = time.perf_counter()
    with torch.inference_mode():
        answer = model.generate(ids, attention_mask=torch.ones_like(ids), generation_config=settings)
    torch.cuda.synchronize()
    elapsed = time.perf_counter() - start
    assert answer.shape == (batch, prompt_tokens + new_tokens), answer.shape
    return elapsed


first = None
if args.first_token_prompt:
    for _ in range(3):
        seconds(1, args.first_token_prompt, 1)
    first = statistics.median(seconds(1, args.first_token_prompt, 1) for _ in range(7))
cases = []
read = sum(p.numel() * p.element_size() for p in model.parameters()) - model.get_input_embeddings().weight.numel() * 2
for batch in args.batch:
    seconds(batch, args.prompt_tokens, args.new_tokens if args.static else 4)
    begin = statistics.median(seconds(batch, args.prompt_tokens, 1) for _ in range(3))
    whole = seconds(batch, args.prompt_tokens, args.new_tokens)
    step = (whole - begin) / (args.new_tokens - 1)
    cached = 2 * 40 * 2 * 128 * 2 * batch * (args.prompt_tokens + args.new_tokens / 2)
    cases.append({
        "batch": batch, "prompt_tokens": args.prompt_tokens, "new_tokens": args.new_tokens, "first_token_seconds": round(begin, 5),
        "tokens_per_second": round(batch / step, 1), "step_seconds": round(step, 6), "read_gigabytes_per_second": round((read + cached) / step / 1e9, 1),
        "memory_mib": shape.memory()["memory_mib"]})
print(json.dumps({
    "kernels": f"transformers {transformers.__version__}, torch {torch.__version__}, {'static cache, compiled' if args.static else 'eager'}",
    "type": "BFloat16", "cases": cases, "first_token_prompt": args.first_token_prompt, "first_token_seconds": first and round(first, 5)}))
