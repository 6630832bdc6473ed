"""One of several processes: `ranks_sharded.py RANK SIZE FOLDER` computes each sharded loss and leaves what it found there.

What it is given (`batch.pt`) and what it is compared with come from `test_sharded.py`.
"""

import sys
from pathlib import Path

import torch
from made_up_batches import make

import losses

rank, size, folder = int(sys.argv[1]), int(sys.argv[2]), Path(sys.argv[3])
store = torch.distributed.FileStore(str(folder / "store"), size)
torch.distributed.init_process_group("gloo", store=store, rank=rank, world_size=size)
group = losses.Group(rank, size)
given = torch.load(folder / "batch.pt")
found = {}
for (name, share, steps), hyper in given["asked"].items():
    criterion = losses.Sharded(make(name, **hyper).double(), given["classes"], group, share=share, seed=3)
    optimizer = torch.optim.SGD(criterion.parameters(), lr=0.5, momentum=0.9, weight_decay=0.1)
    seen = []
    for embeddings, labels in given["batches"][:steps]:
        mine = group.share(len(labels))
        x = embeddings[mine].clone().requires_grad_()
        optimizer.zero_grad()
        loss = criterion(group.gather(x), group.gather(labels[mine]))
        loss.backward()
        # `DistributedDataParallel` takes the mean: of the other processes, these rows get nothing.
        gradients = {name: value.grad for name, value in criterion.spread.items()}
        seen.append({"loss": loss.detach(), "x": x.grad / size, "drawn": criterion.drawn, "gradients": gradients})
        criterion.step(optimizer)
    state = {name: value for name, value in criterion.base.named_buffers()}
    found[name, share, steps] = {"seen": seen, "weights": dict(criterion.spread), "state": state}
torch.save(found, folder / f"{rank}.pt")
torch.distributed.destroy_process_group()
