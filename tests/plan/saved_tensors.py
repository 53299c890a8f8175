"""What autograd saves for backward in small Hugging Face models, as JSON on stdout.

Odd sizes, so that no two terms can stand for each other. On CPU: what CUDA does
otherwise is listed in `allowed`, in bytes, or left out.
"""
import json
import sys

import torch
import transformers
from torch.autograd.graph import saved_tensors_hooks

BATCH, SEQ = 3, 40
COMMON = dict(vocab_size=531, hidden_size=96, intermediate_size=260, num_hidden_layers=3,
              num_attention_heads=6)
GROUPED = dict(COMMON, num_key_value_heads=2)
MODELS = {
    "llama": ("LlamaForCausalLM", dict(GROUPED)),
    "mistral": ("MistralForCausalLM", dict(GROUPED)),
    "qwen2": ("Qwen2ForCausalLM", dict(GROUPED)),
    "qwen3": ("Qwen3ForCausalLM", dict(GROUPED, head_dim=32)),
    "phi3": ("Phi3ForCausalLM", dict(GROUPED, pad_token_id=0, resid_pdrop=0.0)),
    "gemma": ("GemmaForCausalLM", dict(GROUPED, head_dim=16)),
    "gpt2": ("GPT2LMHeadModel", dict(vocab_size=531, n_embd=96, n_inner=260, n_layer=3,
                                     n_head=6, n_positions=64, resid_pdrop=0.0,
                                     embd_pdrop=0.0, attn_pdrop=0.0)),
    "gpt_neox": ("GPTNeoXForCausalLM", dict(COMMON)),
    "opt": ("OPTForCausalLM", dict(vocab_size=531, hidden_size=96, ffn_dim=260,
                                   num_hidden_layers=3, num_attention_heads=6, dropout=0.0,
                                   word_embed_proj_dim=96, max_position_embeddings=64)),
}


def saved_bytes(model, run):
    """Distinct storages among the saved tensors, the model's own left out."""
    own = {t.untyped_storage().data_ptr()
           for t in [*model.parameters(), *model.buffers()]}
    seen, keep = {}, []

    def pack(tensor):
        storage = tensor.untyped_storage()
        if storage.data_ptr() not in own and storage.data_ptr() not in seen:
            seen[storage.data_ptr()] = storage.nbytes()
            keep.append(tensor)  # so that no address is used twice
        return tensor

    with saved_tensors_hooks(pack, lambda tensor: tensor):
        loss = run()
    del loss
    return sum(seen.values())


def measure(kind, name, settings, precision, attention):
    config_class = getattr(transformers, name).config_class
    config = config_class(**settings)
    config._attn_implementation = {"flash": "sdpa", "math": "eager"}[attention]
    config.use_cache = False
    torch.manual_seed(1)
    model = getattr(transformers, name)(config).train()
    if precision == "bf16":
        model = model.to(torch.bfloat16)
    ids = torch.randint(1, 531, (BATCH, SEQ))

    def run():
        with torch.autocast("cpu", torch.bfloat16, enabled=precision == "bf16-mixed"):
            return model(input_ids=ids, labels=ids, attention_mask=torch.ones_like(ids)).loss

    tokens, layers = BATCH * SEQ, 3
    # position ids and masks once a model, a number or two a layer
    allowed = 8 * SEQ + 16 * layers + 64
    if kind in ("gpt2", "opt"):
        allowed += 16 * tokens + 5 * SEQ * SEQ * BATCH  # position ids, mask of the attention
    if kind in ("gpt2", "opt", "gpt_neox") and precision == "bf16":
        allowed += 4 * (2 * layers + 1) * tokens  # CPU keeps norm statistics in 16 bits
    if kind == "gpt_neox":
        allowed += 8 * SEQ * 16  # rounding of the rotated part
    return {"name": kind, "precision": precision, "attention": attention, "batch": BATCH,
            "seq": SEQ, "saved": saved_bytes(model, run), "allowed": allowed,
            "config": {"model_type": kind, "head_dim": None,
                       **{k: v for k, v in config.to_dict().items()
                          if isinstance(v, (int, float, bool, str)) and k != "model_type"}}}


def main():
    cases = []
    for kind, (name, settings) in MODELS.items():
        for precision in ("fp32", "bf16", "bf16-mixed"):
            if kind == "gpt2" and precision == "bf16-mixed":
                continue  # CUDA's autocast takes pow() in fp32, CPU's doesn't
            for attention in ("flash", "math"):
                cases.append(measure(kind, name, settings, precision, attention))
    json.dump(cases, sys.stdout, indent=1)


if __name__ == "__main__":
    main()
