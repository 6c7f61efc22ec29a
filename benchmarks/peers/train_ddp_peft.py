"""Times data-parallel LoRA steps of transformers + PEFT under DistributedDataParallel on random weights of the GLM-4-9B shape.

Usage: torchrun --nproc-per-node N train_ddp_peft.py ROWS TOKENS [--layers L] [--checkpointing] [--compile] [--steps N]
The peer of `glmtune bench train --zero 0`. Prints one JSON object; speed and memory are of one GPU.
"""
import argparse
import json
import os

import torch
import torch.distributed as dist

import shape

parser = argparse.ArgumentParser()
parser.add_argument("rows", type=int)
parser.add_argument("tokens", type=int)
parser.add_argument("--layers", type=int, default=40)
parser.add_argument("--checkpointing", action="store_true")
parser.add_argument("--compile", action="store_true")
parser.add_argument("--steps", type=int, default=8)
args = parser.parse_args()

torch.cuda.set_device(int(os.environ.get("LOCAL_RANK", 0)))
dist.init_process_group("nccl", device_id=torch.device("cuda", torch.cuda.current_device()))
model = shape.adapted(shape.model(args.layers), shape.lora(), args.checkpointing, args.compile)
model = torch.nn.parallel.DistributedDataParallel(model, device_ids=[torch.cuda.current_device()])
median, _ = shape.time_steps(model, args.rows, args.tokens, warmup=3, steps=args.steps, learning_rate=5e-4, meet=dist.barrier)
if dist.get_rank() == 0:
    print(json.dumps({
        "ranks": dist.get_world_size(), "rows": args.rows, "tokens": args.tokens, "layers": args.layers, "checkpointing": args.checkpointing,
        "compile": args.compile, "step_seconds": round(median, 5), "tokens_per_second": round(args.rows * args.tokens / median),
        **shape.memory(), "torch": torch.__version__}))
dist.destroy_process_group()
