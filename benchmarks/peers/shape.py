"""What the peers' scripts share: random weights of the GLM-4-9B shape, adapters as ours, and the clock around a training step."""
import time

import torch
from transformers import GlmConfig, GlmForCausalLM


def config(layers=40):
    """The 9B model's sizes, with so many decoder layers."""
    return GlmConfig(
        vocab_size=151552, hidden_size=4096, intermediate_size=13696, num_hidden_layers=layers, num_attention_heads=32,
        num_key_value_heads=2, head_dim=128, attention_bias=True, rms_norm_eps=1.5625e-07, max_position_embeddings=131072,
        pad_token_id=151329, eos_token_id=[151329, 151336, 151338])


def model(layers=40):
    """A model in bfloat16 on the GPU."""
    torch.manual_seed(1)
    torch.set_default_dtype(torch.bfloat16)
    with torch.device("cuda"):
        made = GlmForCausalLM(config(layers))
    torch.set_default_dtype(torch.float32)
    return made


def adapted(base, peft, checkpointing, compiled):
    """The model with an adapter, ready to be trained."""
    from peft import get_peft_model

    made = get_peft_model(base, peft)
    made.config.use_cache = False
    if checkpointing:
        made.gradient_checkpointing_enable()
        made.enable_input_require_grads()
    if compiled:
        for layer in made.get_base_model().model.layers:
            layer.compile()
    made.train()
    return made


def lora():
    """The adapter that is measured: rank 8 on query, key and value."""
    from peft import LoraConfig

    return LoraConfig(task_type="CAUSAL_LM", r=8, lora_alpha=32, lora_dropout=0.1, target_modules=["q_proj", "k_proj", "v_proj"])


def time_steps(trained, rows, tokens, warmup, steps, learning_rate, meet=lambda: None):
    """Seconds of a step, the median of `steps` after `warmup`, and the last loss. `meet` is called before each, so that ranks begin together."""
    optimizer = torch.optim.AdamW([p for p in trained.parameters() if p.requires_grad], lr=learning_rate, fused=True)
    times, loss = [], None
    for step in range(warmup + steps):
        ids = torch.randint(0, 151552, (rows, tokens), device="cuda")
        torch.cuda.synchronize()
        meet()
        torch.cuda.synchronize()
        start = time.perf_counter()
        loss = trained(input_ids=ids, labels=ids).loss
        loss.backward()
        torch.nn.utils.clip_grad_norm_(trained.parameters(), 1.0)
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)
        torch.cuda.synchronize()
        if step >= warmup:
            times.append(time.perf_counter() - start)
    return sorted(times)[len(times) // 2], loss.item()


def memory():
    """Memory in MiB: in use on the whole device, as cudaMemGetInfo counts it, and the most that PyTorch allocated."""
    free, total = torch.cuda.mem_get_info()
    return {"memory_mib": (total - free) >> 20, "allocated_mib": torch.cuda.max_memory_allocated() >> 20}
