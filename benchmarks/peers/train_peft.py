"""Times LoRA steps of transformers + PEFT on random weights of the GLM-4-9B shape: the peer of `glmtune bench train`.

Usage: python train_peft.py ROWS TOKENS [--checkpointing] [--compile] [--steps N] [--virtual-tokens P]
Prints one JSON object. Memory is the whole device's in use, as cudaMemGetInfo counts it.
"""
import argparse
import json
import time

import torch
from peft import LoraConfig, PrefixTuningConfig, get_peft_model
from transformers import GlmConfig, GlmForCausalLM

parser = argparse.ArgumentParser()
parser.add_argument("rows", type=int)
parser.add_argument("tokens", type=int)
parser.add_argument("--checkpointing", action="store_true")
parser.add_argument("--compile", action="store_true")
parser.add_argument("--steps", type=int, default=10)
parser.add_argument("--virtual-tokens", type=int, default=0)
args = parser.parse_args()

torch.manual_seed(1)
config = GlmConfig(
    vocab_size=151552, hidden_size=4096, intermediate_size=13696, num_hidden_layers=40, num_attention_heads=32,
    num_key_value_heads=2, head_dim=128, attention_bias=True, rms_norm_eps=1.5625e-07, max_position_embeddings=131072,
    pad_token_id=151329, eos_token_id=[151329, 151336, 151338])
torch.set_default_dtype(torch.bfloat16)
with torch.device("cuda"):
    model = GlmForCausalLM(config)
torch.set_default_dtype(torch.float32)
if args.virtual_tokens:
    peft = PrefixTuningConfig(task_type="CAUSAL_LM", num_virtual_tokens=args.virtual_tokens)
else:
    peft = LoraConfig(task_type="CAUSAL_LM", r=8, lora_alpha=32, lora_dropout=0.1, target_modules=["q_proj", "k_proj", "v_proj"])
model = get_peft_model(model, peft)
model.config.use_cache = False
if args.checkpointing:
    model.gradient_checkpointing_enable()
    model.enable_input_require_grads()
if args.compile:
    for layer in model.get_base_model().model.layers:
        layer.compile()
model.train()
optimizer = torch.optim.AdamW([p for p in model.parameters() if p.requires_grad], lr=5e-4, fused=True)
times, losses = [], []
for step in range(3 + args.steps):
    ids = torch.randint(0, config.vocab_size, (args.rows, args.tokens), device="cuda")
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
        losses.append(loss.item())
free, total = torch.cuda.mem_get_info()
median = sorted(times)[len(times) // 2]
print(json.dumps({
    "rows": args.rows, "tokens": args.tokens, "checkpointing": args.checkpointing, "compile": args.compile,
    "virtual_tokens": args.virtual_tokens, "step_seconds": round(median, 5), "tokens_per_second": round(args.rows * args.tokens / median),
    "memory_mib": (total - free) >> 20, "reserved_mib": torch.cuda.max_memory_reserved() >> 20,
    "allocated_mib": torch.cuda.max_memory_allocated() >> 20, "torch": torch.__version__}))
