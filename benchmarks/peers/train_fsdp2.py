"""Times full fine-tuning steps under PyTorch's FSDP2 on random weights of the GLM-4-9B shape: float32 masters, bfloat16 computation.

Usage: torchrun --nproc-per-node N train_fsdp2.py ROWS TOKENS [--layers L] [--zero2] [--no-checkpointing] [--compile] [--offload] [--steps N]
The peer of `glmtune bench train --lora-rank 0 --zero 3` (with --zero2, weights stay gathered between forward and backward, as under ZeRO-2).
Prints one JSON object; speed and memory are of one GPU, model FLOP utilisation of 989 TFLOP/s counts as `glmtune bench train` does.
"""
import argparse
import json
import os

import torch
import torch.distributed as dist
from torch.distributed.fsdp import CPUOffloadPolicy, MixedPrecisionPolicy, fully_shard
from transformers import GlmForCausalLM

import shape

parser = argparse.ArgumentParser()
parser.add_argument("rows", type=int)
parser.add_argument("tokens", type=int)
parser.add_argument("--layers", type=int, default=40)
parser.add_argument("--zero2", action="store_true")
parser.add_argument("--no-checkpointing", action="store_true")
parser.add_argument("--compile", action="store_true")
parser.add_argument("--offload", action="store_true")
parser.add_argument("--steps", type=int, default=6)
args = parser.parse_args()

torch.cuda.set_device(int(os.environ.get("LOCAL_RANK", 0)))
dist.init_process_group("cpu:gloo,cuda:nccl" if args.offload else "nccl", device_id=torch.device("cuda", torch.cuda.current_device()))
torch.manual_seed(1)
torch.set_default_dtype(torch.float32)
with torch.device("meta"):
    model = GlmForCausalLM(shape.config(args.layers))
model.config.use_cache = False
if not args.no_checkpointing:
    model.gradient_checkpointing_enable()
if args.compile:
    for layer in model.model.layers:
        layer.compile()
options = {"mp_policy": MixedPrecisionPolicy(param_dtype=torch.bfloat16, reduce_dtype=torch.bfloat16), "reshard_after_forward": not args.zero2}
if args.offload:
    options["offload_policy"] = CPUOffloadPolicy()
fully_shard(model.model.embed_tokens, **options)
for layer in model.model.layers:
    fully_shard(layer, **options)
fully_shard(model.lm_head, **options)
fully_shard(model, **options)
model.to_empty(device="cpu" if args.offload else "cuda")
with torch.no_grad():
    for name, parameter in model.named_parameters():
        local = parameter.to_local()
        local.normal_(0, 0.02) if parameter.dim() > 1 else local.fill_(0 if name.endswith("bias") else 1)
# Angles are not parameters; what to_empty left is made anew.
rotary = model.model.rotary_emb
rotary.inv_freq = 1.0 / (10000.0 ** (torch.arange(0, 64, 2, device="cuda").float() / 64))
model.train()
median, last_loss = shape.time_steps(model, args.rows, args.tokens, warmup=2, steps=args.steps, learning_rate=1e-5, meet=dist.barrier)
tokens = args.rows * args.tokens
per_layer = 4096 * 4608 + 4096 * 4096 + 4096 * 27392 + 13696 * 4096
flops = 6 * (tokens * args.layers * per_layer + tokens * 151552 * 4096) + 7 * args.rows * args.tokens**2 * args.layers * 4096
if dist.get_rank() == 0:
    print(json.dumps({
        "ranks": dist.get_world_size(), "rows": args.rows, "tokens": args.tokens, "layers": args.layers, "zero2": args.zero2,
        "checkpointing": not args.no_checkpointing, "compile": args.compile, "offload": args.offload, "step_seconds": round(median, 5),
        "tokens_per_second": round(tokens / median), "mfu": round(flops / median / 989e12, 4), **shape.memory(),
        "last_loss": round(last_loss, 4), "torch": torch.__version__}))
dist.destroy_process_group()
