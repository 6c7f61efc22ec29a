"""Times PyTorch's NCCL collectives as `glmtune bench collectives` does: bfloat16, sizes from 1 MiB, each 4 times the one before.

Usage: torchrun --nproc-per-node 2 nccl_torch.py [--from BYTES] [--to BYTES] [--rounds N]
Prints one line a collective and size; bytes are of the whole that is gathered, scattered or summed, as nccl-tests counts them.
"""
import argparse
import os
import time

import torch
import torch.distributed as dist

parser = argparse.ArgumentParser()
parser.add_argument("--from", dest="smallest", type=int, default=1 << 20)
parser.add_argument("--to", dest="largest", type=int, default=1 << 30)
parser.add_argument("--rounds", type=int, default=20)
args = parser.parse_args()

torch.cuda.set_device(int(os.environ.get("LOCAL_RANK", 0)))
dist.init_process_group("nccl", device_id=torch.device("cuda", torch.cuda.current_device()))
rank, size = dist.get_rank(), dist.get_world_size()


def timed(name, count, bus_factor, call):
    for _ in range(5):
        call()
    torch.cuda.synchronize()
    dist.barrier()
    torch.cuda.synchronize()
    start = time.perf_counter()
    for _ in range(args.rounds):
        call()
    torch.cuda.synchronize()
    dist.barrier()
    torch.cuda.synchronize()
    seconds = (time.perf_counter() - start) / args.rounds
    bandwidth = count * 2 / seconds / 1e9
    if rank == 0:
        print(f"{name:<14} {count * 2:>12} bytes on {size} ranks: {seconds * 1e6:10.1f} us, {bandwidth:8.2f} GB/s, bus {bandwidth * bus_factor:8.2f} GB/s")


length = args.smallest
while length <= args.largest:
    count = length // 2 // size * size
    full = torch.ones(count, dtype=torch.bfloat16, device="cuda")
    shard = torch.ones(count // size, dtype=torch.bfloat16, device="cuda")
    share = (size - 1) / size
    timed("all-reduce", count, 2 * share, lambda: dist.all_reduce(full))
    timed("all-gather", count, share, lambda: dist.all_gather_into_tensor(full, shard))
    timed("reduce-scatter", count, share, lambda: dist.reduce_scatter_tensor(shard, full))
    length *= 4
dist.destroy_process_group()
