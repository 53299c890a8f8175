"""Have a random Llama of Transformers write eight tokens; print how many forwards it took."""
import json
import torch
from transformers import LlamaConfig, LlamaForCausalLM

model = LlamaForCausalLM(LlamaConfig(
    hidden_size=64, intermediate_size=128, num_hidden_layers=1, num_attention_heads=2,
    vocab_size=128, pad_token_id=0)).cuda().eval()
forwards = []


def count(*args):
    forwards.append(1)
    assert len(forwards) < 50, "it does not stop"


model.register_forward_hook(count)
ids = torch.randint(3, 100, (2, 16)).cuda()
said = {}
for name, how in (("greedy", {}), ("sampled", {"do_sample": True}), ("beams", {"num_beams": 3}),
                  ("static cache", {"cache_implementation": "static"})):
    forwards.clear()
    out = model.generate(ids, attention_mask=torch.ones_like(ids), max_new_tokens=8,
                         **{"do_sample": False, **how})
    said[name] = [len(forwards), list(out.shape)]
print(json.dumps(said))
