"""Times LoRA steps of transformers + PEFT on random weights of the GLM-4-9B shape: the peer of `glmtune bench train`.

Usage: python train_peft.py ROWS TOKENS [--checkpointing] [--compile] [--steps N] [--virtual-tokens P]
Prints one JSON object. Memory is the whole device's in use, as cudaMemGetInfo counts it.
"""
import argparse
import json

import torch
from peft import PrefixTuningConfig

import shape

parser = argparse.ArgumentParser()
parser.add_argument("rows", type=int)
parser.add_argument("tokens", type=int)
parser.add_argument("--checkpointing", action="store_true")
parser.add_argument("--compile", action="store_true")
parser.add_argument("--steps", type=int, default=10)
parser.add_argument("--virtual-tokens", type=int, default=0)
args = parser.parse_args()

peft = PrefixTuningConfig(task_type="CAUSAL_LM", num_virtual_tokens=args.virtual_tokens) if args.virtual_tokens else shape.lora()
model = shape.adapted(shape.model(), peft, args.checkpointing, args.compile)
median, _ = shape.time_steps(model, args.rows, args.tokens, warmup=3, steps=args.steps, learning_rate=5e-4)
print(json.dumps({
    "rows": args.rows, "tokens": args.tokens, "checkpointing": args.checkpointing, "compile": args.compile,
    "virtual_tokens": args.virtual_tokens, "step_seconds": round(median, 5), "tokens_per_second": round(args.rows * args.tokens / median),
    **shape.memory(), "reserved_mib": torch.cuda.max_memory_reserved() >> 20, "torch": torch.__version__}))
