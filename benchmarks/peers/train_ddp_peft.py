"""Times data-parallel LoRA steps of transformers + PEFT under DistributedDataParallel on random weights of the GLM-4-9B shape.

Usage: torchrun --nproc-per-node N train_ddp_peft.py ROWS TOKENS [--layers L] [--checkpointing] [--compile] [--steps N]
The peer of `glmtune bench train --zero 0`. Prints one JSON object; speed and memory are of one GPU.
"""
import argparse
import json
import os
import time

import torch
import torch.distributed as dist
from peft import LoraConfig, get_peft_model
from transformers import GlmConfig, GlmForCausalLM

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
torch.manual_seed(1)
config = GlmConfig(
    vocab_size=151552, hidden_size=4096, intermediate_size=13696, num_hidden_layers=args.layers, num_attention_heads=32,
    num_key_value_heads=2, head_dim=128, attention_bias=True, rms_norm_eps=1.5625e-07, max_position_embeddings=131072,
    pad_token_id=151329, eos_token_id=[151329, 151336, 151338])
torch.set_default_dtype(torch.bfloat16)
with torch.device("cuda"):
    model = GlmForCausalLM(config)
torch.set_default_dtype(torch.float32)
model = get_peft_model(
    model, LoraConfig(task_type="CAUSAL_LM", r=8, lora_alpha=32, lora_dropout=0.1, target_modules=["q_proj", "k_proj", "v_proj"]))
model.config.use_cache = False
if args.checkpointing:
    model.gradient_checkpointing_enable()
    model.enable_input_require_grads()
if args.compile:
    for layer in model.get_base_model().model.layers:
        layer.compile()
model.train()
model = torch.nn.parallel.DistributedDataParallel(model, device_ids=[torch.cuda.current_device()])
optimizer = torch.optim.AdamW([p for p in model.parameters() if p.requires_grad], lr=5e-4, fused=True)
times = []
for step in range(3 + args.steps):
    ids = torch.randint(0, config.vocab_size, (args.rows, args.tokens), device="cuda")
    torch.cuda.synchronize()
    dist.barrier()
    torch.cuda.synchronize()
    start = time.perf_counter()
    loss = model(input_ids=ids, labels=ids).loss
    loss.backward()
    torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
    optimizer.step()
    optimizer.zero_grad(set_to_none=True)
    torch.cuda.synchronize()
    if step >= 3:
        times.append(time.perf_counter() - start)
free, total = torch.cuda.mem_get_info()
median = sorted(times)[len(times) // 2]
if dist.get_rank() == 0:
    print(json.dumps({
        "ranks": dist.get_world_size(), "rows": args.rows, "tokens": args.tokens, "layers": args.layers, "checkpointing": args.checkpointing,
        "compile": args.compile, "step_seconds": round(median, 5), "tokens_per_second": round(args.rows * args.tokens / median),
        "memory_mib": (total - free) >> 20, "allocated_mib": torch.cuda.max_memory_allocated() >> 20, "torch": torch.__version__}))
dist.destroy_process_group()
