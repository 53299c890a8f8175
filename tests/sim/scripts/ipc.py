"""Pass a tensor on the device to another process; print what both have of it."""
import json
import torch, torch.multiprocessing as mp


def used():
    free, total = torch.cuda.mem_get_info()
    return total - free


def other(inbox, outbox):
    tensor = inbox.get(timeout=60)
    outbox.put({"received": [list(tensor.shape), str(tensor.device), str(tensor.dtype)],
                "other_allocated": torch.cuda.memory_allocated(), "other_used": used(),
                "given_back": [list(tensor[:7, 0].shape)]})
    tensor.add_(1)
    torch.cuda.synchronize()
    del tensor
    outbox.put("done")


if __name__ == "__main__":
    context = mp.get_context("spawn")
    inbox, outbox = context.Queue(), context.Queue()
    process = context.Process(target=other, args=(inbox, outbox))
    process.start()
    tensor = torch.ones(1001, 3003, device="cuda")
    inbox.put(tensor)
    said = outbox.get(timeout=120)
    assert outbox.get(timeout=60) == "done"
    process.join(60)
    said.update(owner_holds=torch.cuda.memory_allocated(), owner_used=used(), status=process.exitcode)
    assert process.exitcode == 0
    print(json.dumps(said))
