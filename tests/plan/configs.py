#!/usr/bin/env python3
"""Writes tests/plan/configs: for each family the config.json that transformers itself saves, with
every field that it has, and how many parameters the model built from it has.

    tidemark simulate -q -- python tests/plan/configs.py [FAMILY…]    with PyTorch and transformers

The parameters are summed on the meta device, where no memory is taken, and stand in counted.json.
Fields that only steer text generation are left as they are: a file from the Hub has them too."""
import json
import pathlib
import sys

FOLDER = pathlib.Path(__file__).resolve().parent / "configs"
COUNTED = FOLDER.parent / "counted.json"
FAMILIES = (
    "llama", "mistral", "qwen2", "qwen3", "phi3", "gemma", "gpt2", "gpt_neox", "starcoder2",
    "granite", "olmo2", "stablelm", "cohere", "phi", "gemma2", "opt", "gptj", "codegen", "gpt_neo",
    "bloom", "mpt", "gemma3_text", "olmo", "smollm3", "cohere2", "glm", "nemotron", "exaone4",
    "vit", "t5", "mt5", "bart", "whisper", "bert", "roberta", "xlm-roberta", "distilbert",
    "electra", "albert", "deberta-v2", "falcon", "mixtral", "qwen2_moe", "qwen3_moe",
    "deepseek_v2", "deepseek_v3", "llama4_text", "mamba2", "resnet", "convnext", "swin", "clip")


# An encoder's class for words as a decoder is not what people train.
NO_DECODER = {"bert", "roberta", "xlm-roberta", "electra", "bart", "whisper"}
# What the family's own defaults lack to build a model.
NEEDED = {"nemotron": {"num_key_value_heads": 8}}


def model_class(config):
    from transformers.models.auto import modeling_auto as auto
    maps = [auto.MODEL_FOR_SEQ_TO_SEQ_CAUSAL_LM_MAPPING, auto.MODEL_FOR_SPEECH_SEQ_2_SEQ_MAPPING,
            auto.MODEL_FOR_SEQUENCE_CLASSIFICATION_MAPPING,
            auto.MODEL_FOR_IMAGE_CLASSIFICATION_MAPPING, auto.MODEL_MAPPING]
    if config.model_type == "clip":  # pictures and words, not its tower of pictures alone
        return auto.MODEL_MAPPING[type(config)]
    if config.model_type not in NO_DECODER:
        maps.insert(0, auto.MODEL_FOR_CAUSAL_LM_MAPPING)
    for known in maps:
        if type(config) in known:
            return known[type(config)]
    raise SystemExit(f"configs.py: transformers has no model for {config.model_type}")


def write(path, value):
    path.write_text(json.dumps(value, indent=1, sort_keys=True) + "\n")


def main():
    import torch
    from transformers import AutoConfig
    FOLDER.mkdir(exist_ok=True)
    counted = json.loads(COUNTED.read_text()) if COUNTED.exists() else {}
    for family in sys.argv[1:] or FAMILIES:
        config = AutoConfig.for_model(family, **NEEDED.get(family, {}))
        cls = model_class(config)
        config.architectures = [cls.__name__]
        with torch.device("meta"):
            model = cls._from_config(config)
        counted[family] = sum(p.numel() for p in model.parameters())
        write(FOLDER / f"{family}.json", json.loads(config.to_json_string(use_diff=False)))
        print(family, cls.__name__, f"{counted[family]:,}", flush=True)
    write(COUNTED, counted)


if __name__ == "__main__":
    main()
